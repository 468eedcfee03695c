-- Rooms in which a buyer asks a seller about a product. The chat server has the room itself; here are its id and what
-- of it is still to be sent there.

create table chat_room (
    -- Below 2^30: ids from there on are the chat server's own.
    id bigint primary key check (id between 1 and 1073741823),
    product_id bigint not null references product (id),
    buyer_id bigint not null references member (id),
    seller_id bigint not null references member (id),
    -- Names, pictures and hours in the room change: `version` counts that, `sent` is the one that the chat server has,
    -- 0 before it has any.
    version bigint not null default 1 check (version >= 1),
    sent bigint not null default 0 check (sent between 0 and version),
    created_at bigint not null,
    unique (product_id, buyer_id),
    check (buyer_id <> seller_id)
);
create index chat_room_buyer on chat_room (buyer_id);
create index chat_room_seller on chat_room (seller_id);
create index chat_room_outdated on chat_room (id) where sent > 0 and sent < version;

-- The last id given out. Not a sequence: ids that the chat server uses for something else, after a restored backup,
-- are skipped in growing steps.
create table chat_room_number (
    one bigint primary key check (one = 1),
    last bigint not null check (last between 0 and 1073741823)
);
insert into chat_room_number (one, last) values (1, 0);

-- Triggers, so that no change of what a room shows can forget to.
create trigger member_outdates_chat_rooms after update on member
when (old.name, old.image_url) is not (new.name, new.image_url)
begin
    update chat_room set version = version + 1 where buyer_id = new.id or seller_id = new.id;
end;

create trigger spot_outdates_chat_rooms after update on spot
when (old.opens_at, old.closes_at) is not (new.opens_at, new.closes_at)
begin
    update chat_room set version = version + 1 where product_id = new.product_id;
end;
