-- Offers. A product and its item are one row, so its item id is its own id.

create table product (
    id integer primary key autoincrement check (id between 1 and 2147483647),
    member_id bigint not null references member (id),
    kind text not null check (kind in ('MOBILE_DATA', 'WIFI', 'HOTSPOT')),
    state text not null check (state in ('ACTIVE', 'SOLD_OUT', 'HIDDEN', 'DELETED')),
    -- Mobile data: won for the whole offer, or what was asked for all units of one that is sold in parts (its buyers
    -- pay `unit_price`). Wi-Fi, hotspot: won per started 10 minutes.
    price bigint not null check (price between 1 and 10000000),
    -- Won per 0.1 GB of what can be bought in parts; for whole offers what it comes to, rounded up.
    unit_price bigint check (unit_price between 1 and 10000000),
    split bigint check (split in (0, 1)),
    units_listed bigint check (units_listed between 1 and 20),
    units_left bigint check (units_left between 0 and 20),
    units_sold bigint check (units_sold between 0 and 20),
    units_returned bigint check (units_returned between 0 and 20),
    -- The Seoul month it belongs to, and its end.
    month bigint,
    expires_at bigint,
    -- The mean rating of its seller in thousandths of a star, for sorting; 0 without ratings.
    seller_rate bigint not null default 0 check (seller_rate between 0 and 5000),
    -- When the price last rose or the kind of offer changed.
    raised_at bigint,
    created_at bigint not null,
    updated_at bigint not null,
    sold_out_at bigint,
    check (
        (kind = 'MOBILE_DATA') = (unit_price is not null)
        and (kind = 'MOBILE_DATA') = (split is not null)
        and (kind = 'MOBILE_DATA') = (units_listed is not null)
        and (kind = 'MOBILE_DATA') = (month is not null)
        and (kind = 'MOBILE_DATA') = (expires_at is not null)
    ),
    check (kind <> 'MOBILE_DATA' or units_listed = units_left + units_sold + units_returned)
);
create index product_recent on product (kind, updated_at desc, id) where state = 'ACTIVE';
create index product_price on product (kind, price, id) where state = 'ACTIVE';
create index product_unit_price on product (kind, unit_price, id) where state = 'ACTIVE';
create index product_units on product (kind, units_left, id) where state = 'ACTIVE';
create index product_units_desc on product (kind, units_left desc, id) where state = 'ACTIVE';
create index product_rate on product (kind, seller_rate desc, id) where state = 'ACTIVE';
create index product_member on product (member_id, state, id);
create index product_member_month on product (member_id, month) where kind = 'MOBILE_DATA';
create index product_expiry on product (expires_at) where state = 'ACTIVE';
create index product_sold_out on product (sold_out_at) where state = 'SOLD_OUT';

-- What a product was sorted by before it changed. A page begins behind the place where the last one ended, also when
-- that row has moved since. Triggers write it, so that no change of a sort key can forget to. A row has either the
-- product's columns or the spot's. `replaced_at` is set by the first cleaning that meets the row, a later one removes it.
create table sort_key_history (
    id integer primary key autoincrement,
    product_id bigint not null references product (id),
    price bigint,
    unit_price bigint,
    units_left bigint,
    seller_rate bigint,
    updated_at bigint,
    latitude real,
    longitude real,
    replaced_at bigint
);
create index sort_key_history_product on sort_key_history (product_id, id);
create index sort_key_history_new on sort_key_history (id) where replaced_at is null;
create index sort_key_history_age on sort_key_history (replaced_at);

create trigger product_keeps_its_place after update on product
when (old.price, old.unit_price, old.units_left, old.seller_rate, old.updated_at)
    is not (new.price, new.unit_price, new.units_left, new.seller_rate, new.updated_at)
begin
    insert into sort_key_history (product_id, price, unit_price, units_left, seller_rate, updated_at)
    values (old.id, old.price, old.unit_price, old.units_left, old.seller_rate, old.updated_at);
end;

-- Wi-Fi and hotspots: where and when.
create table spot (
    product_id bigint primary key references product (id),
    title text not null check (length(title) between 1 and 100),
    content text not null check (length(content) <= 1000),
    latitude real not null check (latitude between -90 and 90),
    longitude real not null check (longitude between -180 and 180),
    address text not null check (length(address) <= 300),
    -- Local times as they were sent; only the minute of the day counts.
    opens_at bigint not null,
    closes_at bigint not null,
    open_minute bigint not null check (open_minute between 0 and 1439),
    close_minute bigint not null check (close_minute between 0 and 1439),
    capacity bigint not null check (capacity between 1 and 1000),
    -- 1 as long as it may be found by its distance.
    listed bigint not null default 1 check (listed in (0, 1))
);
-- Of the listed ones, for boxes around a place. Its numbers are single precision, rounded outwards: a box finds too many
-- rather than too few.
create virtual table spot_place using rtree (product_id, latitude_min, latitude_max, longitude_min, longitude_max);

create trigger spot_is_placed after insert on spot when new.listed = 1
begin
    insert into spot_place values (new.product_id, new.latitude, new.latitude, new.longitude, new.longitude);
end;
create trigger spot_is_placed_again after update of latitude, longitude, listed on spot
begin
    delete from spot_place where product_id = old.product_id;
    insert into spot_place
    select new.product_id, new.latitude, new.latitude, new.longitude, new.longitude where new.listed = 1;
end;
create trigger spot_keeps_its_place after update on spot
when (old.latitude, old.longitude) is not (new.latitude, new.longitude)
begin
    insert into sort_key_history (product_id, latitude, longitude) values (old.product_id, old.latitude, old.longitude);
end;

create table product_image (
    product_id bigint not null references product (id),
    priority bigint not null,
    url text not null check (length(url) <= 2048),
    primary key (product_id, priority)
);

-- Files that members have been given a place for.
create table upload (
    key text primary key,
    member_id bigint not null references member (id),
    created_at bigint not null,
    expires_at bigint not null
);
create index upload_age on upload (expires_at);
