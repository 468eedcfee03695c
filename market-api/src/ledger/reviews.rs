//! The invariants of ratings and reviews.

use super::{Invariant, rule};

/// The invariants. Each query ends in a `limit` of one row more than is printed.
pub(super) const INVARIANTS: &[Invariant] = &[
    rule(
        "rating-equals-reviews",
        "select 'member ' || member || ': rating ' || sum(rating) || ' of ' || sum(ratings) \
         || ', in reviews ' || sum(reviewed) || ' of ' || sum(reviews) from ( \
         select id as member, rating_sum as rating, rating_count as ratings, 0 as reviewed, 0 as reviews \
         from member union all select reviewee_id, 0, 0, rating, 1 from review) as both_sides \
         group by member having sum(rating) <> sum(reviewed) or sum(ratings) <> sum(reviews) limit 101",
    ),
    // As `members::mean_rate`; both databases divide whole numbers without a remainder.
    rule(
        "offer-shows-the-mean",
        "select 'product ' || p.id || ': rate ' || p.seller_rate || ', ratings ' || m.rating_sum \
         || ' of ' || m.rating_count from product p join member m on m.id = p.member_id \
         where p.state = 'ACTIVE' and p.seller_rate <> case when m.rating_count = 0 then 0 \
         else (m.rating_sum * 100 + m.rating_count / 2) / m.rating_count end limit 101",
    ),
    rule(
        "review-is-between-the-parties",
        "select 'review ' || r.id || ': trade ' || r.trade_id from review r \
         join trade t on t.id = r.trade_id where t.member_id <> r.reviewer_id \
         or not exists (select 1 from trade o where (o.purchase_id = t.id or o.id = t.purchase_id) \
         and o.member_id = r.reviewee_id) \
         or exists (select 1 from trade o where o.purchase_id = t.id and o.member_id <> r.reviewee_id) \
         limit 101",
    ),
];
