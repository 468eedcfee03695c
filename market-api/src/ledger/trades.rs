//! The invariants of the books, trades and stock.

use super::{Invariant, rule};

/// The invariants. Each query ends in a `limit` of one row more than is printed.
pub(super) const INVARIANTS: &[Invariant] = &[
    rule(
        "journal-sums-to-zero",
        "select 'journal ' || j.id || ': sum ' || coalesce(sum(p.amount), 0) || ', lines ' || count(p.line) \
         from journal j left join posting p on p.journal_id = j.id \
         group by j.id having coalesce(sum(p.amount), 0) <> 0 or count(p.line) < 2 limit 101",
    ),
    rule(
        "wallet-charged-equals-books",
        "select 'member ' || member || ': wallet ' || sum(wallet) || ', books ' || sum(books) from ( \
         select member_id as member, charged as wallet, 0 as books from wallet union all \
         select owner, 0, -amount from posting where account = 'wallet_charged') \
         as both_sides group by member having sum(wallet) <> sum(books) limit 101",
    ),
    rule(
        "wallet-earned-and-credits-equal-books",
        "select 'member ' || member || ': wallet and credits ' || sum(wallet) || ', books ' || sum(books) \
         from (select member_id as member, earned as wallet, 0 as books from wallet union all \
         select member_id, amount, 0 from credit where folded = 0 union all \
         select owner, 0, -amount from posting where account = 'wallet_earned') \
         as both_sides group by member having sum(wallet) <> sum(books) limit 101",
    ),
    rule(
        "credit-has-its-posting",
        "select 'journal ' || c.journal_id || ', member ' || c.member_id || ': credit ' || c.amount \
         from credit c where not exists (select 1 from posting p where p.journal_id = c.journal_id \
         and p.account = 'wallet_earned' and p.owner = c.member_id and p.amount = -c.amount) limit 101",
    ),
    rule(
        "income-has-its-credit",
        "select 'journal ' || p.journal_id || ', member ' || p.owner || ': posting ' || p.amount \
         from posting p join journal j on j.id = p.journal_id \
         where j.kind in ('trade', 'opening') and p.account = 'wallet_earned' and p.amount < 0 \
         and not exists (select 1 from credit c where c.journal_id = p.journal_id \
         and c.member_id = p.owner) limit 101",
    ),
    rule(
        "wallet-not-negative",
        "select 'member ' || member_id || ': charged ' || charged || ', earned ' || earned \
         from wallet where charged < 0 or earned < 0 or owed < 0 limit 101",
    ),
    rule(
        "member-has-a-wallet",
        "select 'member ' || m.id from member m \
         where not exists (select 1 from wallet w where w.member_id = m.id) limit 101",
    ),
    rule(
        "units-listed-are-left-sold-or-returned",
        "select 'product ' || id || ': listed ' || units_listed || ', left ' || units_left || ', sold ' \
         || units_sold || ', returned ' || units_returned from product where kind = 'MOBILE_DATA' \
         and (units_listed <> units_left + units_sold + units_returned or units_left < 0 \
         or units_sold < 0 or units_returned < 0 or (state = 'ACTIVE') <> (units_left > 0)) limit 101",
    ),
    rule(
        "units-sold-equal-sales",
        "select 'product ' || product || ': sold ' || sum(sold) || ', in sales ' || sum(in_sales) from ( \
         select id as product, units_sold as sold, 0 as in_sales from product \
         where kind = 'MOBILE_DATA' union all \
         select d.product_id, 0, coalesce(d.units, 0) from trade_detail d join trade t on t.id = d.trade_id \
         where t.kind = 'SALE_MOBILE_DATA') as both_sides \
         group by product having sum(sold) <> sum(in_sales) limit 101",
    ),
    rule(
        "whole-offer-sold-once",
        "select 'product ' || p.id || ': sales ' || count(*) from product p \
         join trade_detail d on d.product_id = p.id join trade t on t.id = d.trade_id \
         where p.split = 0 and t.kind = 'SALE_MOBILE_DATA' group by p.id having count(*) > 1 limit 101",
    ),
    rule(
        "bought-at-most-two-gigabytes",
        "select 'member ' || member_id || ', month ' || month || ': bought ' || bought \
         from member_month where bought < 0 or bought > 20 limit 101",
    ),
    rule(
        "bought-equals-purchases",
        "select 'member ' || member || ', month ' || month || ': bought ' || sum(bought) \
         || ', in purchases ' || sum(in_trades) from ( \
         select member_id as member, month, bought, 0 as in_trades from member_month union all \
         select member_id, month, 0, units from trade \
         where kind in ('PURCHASE_MOBILE_SINGLE', 'PURCHASE_MOBILE_COMPOSITE')) as both_sides \
         group by member, month having sum(bought) <> sum(in_trades) limit 101",
    ),
    rule(
        "listed-and-sold-at-most-two-gigabytes-and-in-the-plan",
        "select 'member ' || p.member_id || ', month ' || p.month || ': left and sold ' \
         || sum(p.units_left + p.units_sold) || ', plan ' \
         || coalesce(min(m.providing + m.bought), 0) from product p \
         left join member_month m on m.member_id = p.member_id and m.month = p.month \
         where p.kind = 'MOBILE_DATA' group by p.member_id, p.month \
         having sum(p.units_left + p.units_sold) > 20 \
         or sum(p.units_left + p.units_sold) > coalesce(min(m.providing + m.bought), 0) limit 101",
    ),
    rule(
        "purchase-is-paid",
        "select 'trade ' || t.id || ': price ' || t.price || ', charged ' || t.charged || ', earned ' \
         || t.earned || ', sales ' || count(s.id) || ' of ' || coalesce(sum(s.price), 0) \
         from trade t left join trade s on s.purchase_id = t.id where t.kind like 'PURCHASE_%' \
         group by t.id, t.price, t.charged, t.earned \
         having t.price <> t.charged + t.earned or count(s.id) = 0 or coalesce(sum(s.price), 0) <> t.price \
         limit 101",
    ),
    rule(
        "sale-has-its-purchase",
        "select 'trade ' || s.id from trade s left join trade t on t.id = s.purchase_id \
         where s.kind like 'SALE_%' and (t.id is null or t.kind not like 'PURCHASE_%' \
         or s.fee > s.price or t.member_id = s.member_id) limit 101",
    ),
    rule(
        "purchase-is-in-the-books",
        "select 'trade ' || t.id || ': price ' || t.price || ', debited ' || coalesce(sum(p.amount), 0) \
         from trade t left join journal j on j.kind = 'trade' and j.ref_id = t.id \
         left join posting p on p.journal_id = j.id and p.owner = t.member_id and p.amount > 0 \
         where t.kind like 'PURCHASE_%' group by t.id, t.price \
         having coalesce(sum(p.amount), 0) <> t.price limit 101",
    ),
    rule(
        "sale-is-in-the-books",
        "select 'trade ' || purchase || ', member ' || member || ': income ' || sum(income) \
         || ', credited ' || sum(credited) from ( \
         select purchase_id as purchase, member_id as member, price - fee as income, 0 as credited \
         from trade where kind like 'SALE_%' and purchase_id is not null union all \
         select purchase_id, 0, fee, 0 from trade \
         where kind like 'SALE_%' and purchase_id is not null union all \
         select j.ref_id, coalesce(p.owner, 0), 0, -p.amount from posting p \
         join journal j on j.id = p.journal_id where j.kind = 'trade' and p.amount < 0 \
         and p.account in ('wallet_earned', 'fee_income')) as both_sides \
         group by purchase, member having sum(income) <> sum(credited) limit 101",
    ),
    rule(
        "trade-journal-has-its-purchase",
        "select 'journal ' || j.id || ': trade ' || j.ref_id from journal j \
         left join trade t on t.id = j.ref_id and t.kind like 'PURCHASE_%' \
         where j.kind = 'trade' and t.id is null limit 101",
    ),
    rule(
        "details-add-up-to-the-trade",
        "select 'trade ' || t.id || ': price ' || t.price || ', details ' || coalesce(sum(d.price), 0) \
         from trade t left join trade_detail d on d.trade_id = t.id \
         where t.kind like 'PURCHASE_%' or t.kind like 'SALE_%' group by t.id, t.price, t.units \
         having coalesce(sum(d.price), 0) <> t.price \
         or coalesce(sum(d.units), 0) <> coalesce(t.units, 0) limit 101",
    ),
    rule(
        "time-bought-has-its-booking",
        "select 'trade ' || t.id || ': minutes ' || coalesce(t.minutes, 0) || ', price ' || t.price \
         from trade t left join booking b on b.trade_id = t.id \
         left join trade_detail d on d.trade_id = t.id and d.product_id = b.product_id \
         left join product p on p.id = d.product_id \
         where t.kind in ('PURCHASE_WIFI', 'PURCHASE_HOTSPOT') \
         and (p.id is null or t.minutes is null or t.kind <> 'PURCHASE_' || p.kind \
         or b.buyer_id <> t.member_id or p.member_id = b.buyer_id \
         or b.ends_at - b.starts_at <= (t.minutes - 1) * 60000 \
         or b.ends_at - b.starts_at > t.minutes * 60000 \
         or t.price % ((t.minutes + 9) / 10) <> 0) limit 101",
    ),
    rule(
        "booking-has-its-purchase-and-sale",
        "select 'booking ' || b.trade_id from booking b \
         join trade t on t.id = b.trade_id join product p on p.id = b.product_id \
         where t.kind not in ('PURCHASE_WIFI', 'PURCHASE_HOTSPOT') or 1 <> \
         (select count(*) from trade s where s.purchase_id = t.id and s.member_id = p.member_id \
         and s.kind = 'SALE_' || p.kind and s.minutes = t.minutes and s.price = t.price) limit 101",
    ),
    rule(
        "booking-is-of-its-request",
        "select 'booking ' || b.trade_id || ': wanted ' || b.wanted_start || ' to ' || b.wanted_end \
         || ', booked ' || b.starts_at || ' to ' || b.ends_at || ', bought ' || t.created_at \
         from booking b join trade t on t.id = b.trade_id \
         where b.ends_at - b.wanted_end not in (0, 86400000) \
         or (b.starts_at - b.wanted_start <> b.ends_at - b.wanted_end \
         and not (b.starts_at = t.created_at and b.ends_at = b.wanted_end \
         and b.wanted_start < t.created_at)) \
         or b.ends_at - b.starts_at >= 86400000 or b.ends_at <= t.created_at \
         or b.starts_at < t.created_at - 600000 or b.starts_at > t.created_at + 604800000 limit 101",
    ),
    // The greatest overlap is at some booking's start. Of those present there, the nth that was bought had a
    // capacity of n at least: bookings of one offer are bought one after the other.
    rule(
        "bookings-fit-the-capacity",
        "select 'booking ' || trade_id || ': number ' || nth || ' at ' || moment || ', capacity ' || capacity \
         from (select c.trade_id, c.capacity, a.starts_at as moment, \
         row_number() over (partition by a.trade_id order by c.trade_id) as nth \
         from booking a join booking c on c.product_id = a.product_id \
         and c.starts_at <= a.starts_at and c.ends_at > a.starts_at) as present \
         where nth > capacity limit 101",
    ),
    // Numbered 1: the purchase, 2 and 3: start and end.
    rule(
        "booking-is-announced-once-or-scheduled",
        "select 'booking ' || b.trade_id || ': events ' || coalesce(n.last, 0) || ', jobs ' \
         || (select count(*) from schedule s where s.name in ('booking-start', 'booking-end') \
         and s.key = cast(b.trade_id as text)) \
         from booking b left join outbox_number n on n.aggregate = 'trade:' || b.trade_id \
         where coalesce(n.last, 0) + (select count(*) from schedule s \
         where s.name in ('booking-start', 'booking-end') and s.key = cast(b.trade_id as text)) <> 3 \
         limit 101",
    ),
    rule(
        "purchase-has-its-event",
        "select 'trade ' || t.id from trade t where t.kind like 'PURCHASE_%' and not exists \
         (select 1 from outbox_number n where n.aggregate = 'trade:' || t.id) limit 101",
    ),
];
