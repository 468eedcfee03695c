-- The exact position and address of a hotspot, which is its seller's home more often than not. What lists, distances and
-- sort keys use is rounded to a thousandth of a degree, and has no address. Null for Wi-Fi spots, which are shops.
alter table spot add column exact_latitude double precision check (exact_latitude between -90 and 90);
alter table spot add column exact_longitude double precision check (exact_longitude between -180 and 180);
alter table spot add column exact_address text check (length(exact_address) <= 300);

update spot set exact_latitude = latitude, exact_longitude = longitude, exact_address = address,
    latitude = round(latitude * 1000) / 1000, longitude = round(longitude * 1000) / 1000, address = ''
where product_id in (select id from product where kind = 'HOTSPOT');

-- The triggers have just kept the exact positions, as earlier changes have. Pages go on from the rounded ones.
update sort_key_history
set latitude = round(latitude * 1000) / 1000, longitude = round(longitude * 1000) / 1000
where latitude is not null and product_id in (select id from product where kind = 'HOTSPOT');
