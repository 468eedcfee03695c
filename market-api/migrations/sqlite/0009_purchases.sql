-- Purchases: how a trade was paid, the trade that a sale belongs to, and bookings of spots.

alter table trade add column charged bigint not null default 0 check (charged between 0 and 1000000000000);
alter table trade add column earned bigint not null default 0 check (earned between 0 and 1000000000000);
-- A sale's purchase; null for others.
alter table trade add column purchase_id bigint references trade (id);
create index trade_purchase on trade (purchase_id) where purchase_id is not null;
-- Months of a member are read by pages.
drop index trade_member_month;
create index trade_member_month on trade (member_id, month, id desc);

-- `opening`: cash that members had before these books, or that demo data gave them. Nothing was posted before this
-- migration, so the table is made anew with the longer list of accounts.
drop table posting;
create table posting (
    journal_id bigint not null references journal (id),
    line bigint not null,
    account text not null check (account in ('pg_receivable', 'bank', 'wallet_charged', 'wallet_earned', 'in_transit',
        'receivable', 'suspense', 'fee_income', 'opening')),
    owner bigint,
    amount bigint not null check (amount <> 0 and amount between -1000000000000 and 1000000000000),
    primary key (journal_id, line)
);
create index posting_owner on posting (account, owner);
create trigger posting_refuses_update before update on posting
begin select raise(abort, 'the books are append-only'); end;
create trigger posting_refuses_delete before delete on posting
begin select raise(abort, 'the books are append-only'); end;

-- Bought time on a spot, half-open: the end is free again. The wanted times are those of the request: the same request
-- again returns the first trade.
create table booking (
    trade_id bigint primary key references trade (id),
    product_id bigint not null references product (id),
    buyer_id bigint not null references member (id),
    wanted_start bigint not null,
    wanted_end bigint not null,
    starts_at bigint not null,
    ends_at bigint not null,
    -- What the spot's capacity was: a later edit may lower it.
    capacity bigint not null check (capacity between 1 and 1000),
    check (starts_at < ends_at),
    unique (buyer_id, product_id, wanted_start, wanted_end)
);
create index booking_product on booking (product_id, ends_at);
create index booking_buyer on booking (buyer_id, ends_at);
