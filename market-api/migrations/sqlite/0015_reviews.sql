-- Reviews, reports, members who block each other, closed accounts.

alter table member add column closed_at bigint;
-- Reports before this time do not count towards an automatic block: an administrator has undone one.
alter table member add column reports_from bigint not null default 0;
create index member_blocked on member (id) where blocked = 1;

-- The listings of a blocked account leave the lists.
drop trigger member_changes_lists;
create trigger member_changes_lists after update on member
when (old.name, old.image_url, old.blocked) is not (new.name, new.image_url, new.blocked)
begin
    insert into list_change (space) values ('MOBILE_DATA'), ('WIFI'), ('HOTSPOT');
end;

-- One member blocks another. Both are hidden from each other.
create table member_block (
    id integer primary key autoincrement check (id between 1 and 2147483647),
    blocker_id bigint not null references member (id),
    blocked_id bigint not null references member (id),
    created_at bigint not null,
    unique (blocker_id, blocked_id),
    check (blocker_id <> blocked_id)
);
create index member_block_blocked on member_block (blocked_id, blocker_id);

-- What a member is separated from is cached by the member's id modulo 16 (`Namespace::blocks_of`). SQLite cannot
-- change a check; what the table held is noted again.
drop table list_change;
create table list_change (
    id integer primary key autoincrement,
    space text not null
        check (space in ('MOBILE_DATA', 'WIFI', 'HOTSPOT') or space like 'BLOCKS%')
);
insert into list_change (space) values ('MOBILE_DATA'), ('WIFI'), ('HOTSPOT');
create trigger block_made_changes_lists after insert on member_block
begin
    insert into list_change (space)
    values ('BLOCKS' || (new.blocker_id % 16)), ('BLOCKS' || (new.blocked_id % 16));
end;
create trigger block_undone_changes_lists after delete on member_block
begin
    insert into list_change (space)
    values ('BLOCKS' || (old.blocker_id % 16)), ('BLOCKS' || (old.blocked_id % 16));
end;

-- One for each trade: the buyer's trade and the seller's are two.
create table review (
    id integer primary key autoincrement check (id between 1 and 2147483647),
    trade_id bigint not null unique references trade (id),
    reviewer_id bigint not null references member (id),
    reviewee_id bigint not null references member (id),
    product_id bigint not null references product (id),
    -- Tenths of a star.
    rating bigint not null check (rating between 10 and 50),
    comment text not null check (length(comment) <= 50),
    created_at bigint not null,
    updated_at bigint not null,
    check (reviewer_id <> reviewee_id)
);
create index review_received on review (reviewee_id, id);
create index review_received_rating on review (reviewee_id, rating, id);
create index review_written on review (reviewer_id, id);
create index review_written_rating on review (reviewer_id, rating, id);

create table report (
    id integer primary key autoincrement check (id between 1 and 2147483647),
    reporter_id bigint not null references member (id),
    -- As it was sent.
    category text not null check (category in ('MEMBER', 'PRODUCT', 'REVIEW', 'CHAT')),
    target_id bigint not null,
    -- What it is about: the front end sends some ids under another category (`domain.md` 3.4).
    subject text not null check (subject in ('MEMBER', 'PRODUCT', 'REVIEW', 'CHAT')),
    subject_id bigint not null,
    -- The member reported.
    member_id bigint not null references member (id),
    reason text not null check (length(reason) between 1 and 100),
    -- The text reported, as it was then.
    excerpt text check (length(excerpt) <= 1000),
    -- Whether the reporter had a room or a trade with the member: only then it counts.
    known bigint not null check (known in (0, 1)),
    state text not null default 'OPEN' check (state in ('OPEN', 'UPHELD', 'DISMISSED')),
    decided_by bigint references member (id),
    decided_at bigint,
    note text check (length(note) <= 200),
    created_at bigint not null,
    unique (reporter_id, subject, subject_id),
    check ((state = 'OPEN') = (decided_at is null))
);
create index report_state on report (state, id);
create index report_member on report (member_id, created_at);
create index report_reporter on report (reporter_id, created_at);
