//! The invariants of charges, refunds and their legs, reversals, debts, and payments in suspense.

use super::{Invariant, rule};

/// The invariants. Each query ends in a `limit` of one row more than is printed.
pub(super) const INVARIANTS: &[Invariant] = &[
    rule(
        "charge-is-given-back-once",
        "select 'charge ' || id || ': captured ' || captured || ', refunded ' || refunded || ', reserved ' \
         || reserved || ', reversed ' || reversed from charge \
         where refunded + reserved + reversed > captured or refunded < 0 or reserved < 0 or reversed < 0 \
         limit 101",
    ),
    rule(
        "charge-equals-its-legs-and-cancels",
        "select 'charge ' || charge || ': refunded ' || sum(refunded) || ', reserved ' || sum(reserved) \
         || ', reversed ' || sum(reversed) from ( \
         select id as charge, refunded, reserved, reversed from charge union all \
         select charge_id, case when state = 'DONE' then -amount else 0 end, \
         case when state in ('READY', 'UNKNOWN') then -amount else 0 end, 0 \
         from refund_leg where charge_id is not null union all \
         select charge_id, 0, 0, -amount from gateway_cancel where charge_id is not null and leg_id is null) \
         as both_sides group by charge \
         having sum(refunded) <> 0 or sum(reserved) <> 0 or sum(reversed) <> 0 limit 101",
    ),
    rule(
        "charge-has-one-leg-in-flight",
        "select 'charge ' || c.id || ': busy leg ' || coalesce(c.busy_leg, 0) || ', in flight ' || count(l.id) \
         from charge c left join refund_leg l on l.charge_id = c.id and l.state in ('READY', 'UNKNOWN') \
         group by c.id, c.busy_leg having count(l.id) > 1 \
         or coalesce(c.busy_leg, 0) <> coalesce(max(l.id), 0) limit 101",
    ),
    rule(
        "canceled-leg-is-one-cancel-at-the-gateway",
        "select 'leg ' || l.id || ': amount ' || l.amount || ', canceled ' || coalesce(sum(g.amount), 0) \
         from refund_leg l left join gateway_cancel g on g.leg_id = l.id \
         group by l.id, l.amount, l.kind, l.state, l.charge_id \
         having count(g.id) <> case when l.kind = 'CANCEL' and l.state = 'DONE' then 1 else 0 end \
         or coalesce(sum(g.amount), l.amount) <> l.amount \
         or coalesce(max(g.charge_id), 0) <> case when count(g.id) = 0 then 0 else coalesce(l.charge_id, 0) end \
         limit 101",
    ),
    rule(
        "captured-charge-has-its-trade",
        "select 'charge ' || id || ', trade ' || trade from ( \
         select c.id, coalesce(t.id, 0) as trade from charge c left join trade t on t.id = c.trade_id \
         and t.kind = 'CHARGE' and t.price = c.captured and t.member_id = c.member_id \
         where (c.state = 'CAPTURED') <> (t.id is not null) \
         or (c.state = 'CAPTURED') <> (c.captured > 0) union all \
         select 0, t.id from trade t left join charge c on c.trade_id = t.id \
         where t.kind = 'CHARGE' and c.id is null) as apart limit 101",
    ),
    // Each event of payments with what it moved, on both sides.
    rule(
        "payment-has-its-journal",
        "select kind || ' ' || ref || ': moved ' || sum(moved) || ', in the books ' || sum(booked) from ( \
         select 'charge' as kind, id as ref, captured as moved, 0 as booked from charge \
         where state = 'CAPTURED' union all \
         select 'refund', id, -amount, 0 from refund union all \
         select 'refund_leg', id, amount, 0 from refund_leg where state = 'DONE' union all \
         select 'refund_return', id, amount, 0 from refund_leg \
         where kind = 'PAYOUT' and state = 'REFUSED' union all \
         select 'reversal', id, -amount, 0 from gateway_cancel \
         where charge_id is not null and leg_id is null union all \
         select 'suspense', id, -captured, 0 from suspense_payment union all \
         select 'suspense_cancel', id, amount, 0 from gateway_cancel where suspense_id is not null union all \
         select 'repayment', id, -amount, 0 from debt_repayment union all \
         select j.kind, j.ref_id, 0, p.amount from journal j join posting p on p.journal_id = j.id \
         where (j.kind in ('charge', 'reversal') and p.account = 'pg_receivable') \
         or (j.kind in ('refund', 'refund_leg', 'refund_return') and p.account = 'in_transit') \
         or (j.kind in ('suspense', 'suspense_cancel') and p.account = 'suspense') \
         or (j.kind = 'repayment' and p.account = 'receivable')) as both_sides \
         group by kind, ref having sum(moved) <> sum(booked) limit 101",
    ),
    rule(
        "in-transit-equals-open-refunds",
        "select 'refund ' || refund || ': open ' || sum(is_open) || ', in transit ' || sum(in_transit) from ( \
         select id as refund, amount - returned_charged - returned_earned as is_open, 0 as in_transit \
         from refund union all \
         select refund_id, -amount, 0 from refund_leg where state = 'DONE' union all \
         select owner, 0, -amount from posting where account = 'in_transit') as both_sides \
         group by refund having sum(is_open) <> sum(in_transit) limit 101",
    ),
    rule(
        "refund-took-its-buckets",
        "select 'refund ' || refund || ': charged ' || sum(charged) || ', earned ' || sum(earned) from ( \
         select id as refund, charged, earned from refund union all \
         select j.ref_id, case when p.account = 'wallet_charged' then -p.amount else 0 end, \
         case when p.account = 'wallet_earned' then -p.amount else 0 end \
         from journal j join posting p on p.journal_id = j.id where j.kind = 'refund') as both_sides \
         group by refund having sum(charged) <> 0 or sum(earned) <> 0 limit 101",
    ),
    rule(
        "refund-is-its-legs-and-returns",
        "select 'refund ' || r.id || ': ' || r.state || ', amount ' || r.amount || ', charged ' || r.charged \
         || ', earned ' || r.earned || ', returned ' || (r.returned_charged + r.returned_earned) \
         || ', legs ' || count(l.id) from refund r left join refund_leg l on l.refund_id = r.id \
         group by r.id having r.amount <> r.charged + r.earned \
         or r.returned_charged <> coalesce(sum(case when l.kind = 'PAYOUT' and l.state = 'REFUSED' \
         and l.bucket = 'CHARGED' then l.amount end), 0) \
         or r.returned_earned <> coalesce(sum(case when l.kind = 'PAYOUT' and l.state = 'REFUSED' \
         and l.bucket = 'EARNED' then l.amount end), 0) \
         or r.charged - r.returned_charged < coalesce(sum(case when l.state <> 'REFUSED' \
         and l.bucket = 'CHARGED' then l.amount end), 0) \
         or r.earned - r.returned_earned < coalesce(sum(case when l.state <> 'REFUSED' \
         and l.bucket = 'EARNED' then l.amount end), 0) \
         or (r.state = 'DONE') <> (r.amount = r.returned_charged + r.returned_earned \
         + coalesce(sum(case when l.state = 'DONE' then l.amount end), 0)) \
         or count(l.id) <> coalesce(max(l.n), 0) \
         or coalesce(sum(case when l.state in ('READY', 'UNKNOWN') then 1 end), 0) > 1 limit 101",
    ),
    rule(
        "refund-trade-is-what-left",
        "select 'refund ' || r.id || ': amount ' || r.amount || ', returned ' \
         || (r.returned_charged + r.returned_earned) || ', trade ' || coalesce(t.price, 0) \
         from refund r left join trade t on t.id = r.trade_id and t.kind = 'REFUND' \
         and t.member_id = r.member_id where t.id is null \
         or t.price <> r.amount - r.returned_charged - r.returned_earned limit 101",
    ),
    rule(
        "reversals-have-their-trades",
        "select 'member ' || member || ': reversed ' || sum(reversed) || ', in trades ' || sum(in_trades) from ( \
         select c.member_id as member, g.amount as reversed, 0 as in_trades from gateway_cancel g \
         join charge c on c.id = g.charge_id where g.leg_id is null union all \
         select t.member_id, 0, t.price from trade t where t.kind = 'REFUND' \
         and not exists (select 1 from refund r where r.trade_id = t.id)) as both_sides \
         group by member having sum(reversed) <> sum(in_trades) limit 101",
    ),
    rule(
        "debt-equals-books",
        "select 'member ' || member || ': owed ' || sum(owed) || ', books ' || sum(books) from ( \
         select member_id as member, owed, 0 as books from wallet union all \
         select owner, 0, amount from posting where account = 'receivable') as both_sides \
         group by member having sum(owed) <> sum(books) limit 101",
    ),
    rule(
        "suspense-equals-its-payments",
        "select 'payment ' || payment || ': canceled ' || sum(canceled) || ', cancels ' || sum(cancels) from ( \
         select id as payment, canceled, 0 as cancels from suspense_payment union all \
         select suspense_id, 0, amount from gateway_cancel where suspense_id is not null) as both_sides \
         group by payment having sum(canceled) <> sum(cancels) limit 101",
    ),
    rule(
        "accounts-equal-payments",
        "select account || ': payments ' || sum(payments) || ', books ' || sum(books) from ( \
         select 'pg_receivable' as account, captured as payments, 0 as books from charge union all \
         select 'pg_receivable', captured, 0 from suspense_payment union all \
         select 'pg_receivable', -amount, 0 from gateway_cancel union all \
         select 'suspense', -captured, 0 from suspense_payment union all \
         select 'suspense', amount, 0 from gateway_cancel where suspense_id is not null union all \
         select 'bank', -amount, 0 from refund_leg where kind = 'PAYOUT' and state = 'DONE' union all \
         select account, 0, amount from posting where account in ('pg_receivable', 'suspense', 'bank')) \
         as both_sides group by account having sum(payments) <> sum(books) limit 101",
    ),
    // In the books, which the wallets equal. What members had before is in no trade.
    rule(
        "cash-equals-trades",
        "select 'member ' || member || ': cash less debt ' || sum(cash) || ', trades ' || sum(traded) from ( \
         select p.owner as member, case when j.kind <> 'opening' then -p.amount else 0 end as cash, \
         0 as traded from posting p join journal j on j.id = p.journal_id \
         where p.account in ('wallet_charged', 'wallet_earned', 'receivable') union all \
         select member_id, 0, case when kind like 'PURCHASE_%' or kind = 'REFUND' then -price \
         else price - fee end from trade) as both_sides \
         group by member having sum(cash) <> sum(traded) limit 101",
    ),
    rule(
        "open-payment-is-checked-again",
        "select what || ' ' || id || ': ' || state from ( \
         select 'charge' as what, id, state from charge \
         where state in ('CONFIRMING', 'UNKNOWN', 'WAITING') and next_check_at is null union all \
         select 'refund', id, state from refund where (state = 'OPEN') <> (next_check_at is not null) union all \
         select 'suspense', id, 'HELD' from suspense_payment \
         where charge_id is not null and canceled < captured and next_check_at is null) as stuck limit 101",
    ),
    // Accepted or charged is one event, and each part that came back is one.
    rule(
        "payment-has-one-event-per-transition",
        "select 'trade ' || trade || ': events ' || sum(events) || ', transitions ' || sum(transitions) from ( \
         select t.id as trade, coalesce(n.last, 0) as events, 1 as transitions from trade t \
         left join outbox_number n on n.aggregate = 'trade:' || t.id \
         where t.kind in ('CHARGE', 'REFUND') union all \
         select r.trade_id, 0, 1 from refund_leg l join refund r on r.id = l.refund_id \
         where l.kind = 'PAYOUT' and l.state = 'REFUSED') as both_sides \
         group by trade having sum(events) <> sum(transitions) limit 101",
    ),
];
