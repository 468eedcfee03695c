-- The cheapest offers of a month, for scrap: whole ones by size, split ones by unit price. With every column that the
-- optimizer reads.
create index product_whole on product (month, units_left, price, expires_at, id, member_id)
    where kind = 'MOBILE_DATA' and state = 'ACTIVE' and split = 0;
create index product_split on product (month, unit_price, units_left, expires_at, id, member_id)
    where kind = 'MOBILE_DATA' and state = 'ACTIVE' and split = 1;
