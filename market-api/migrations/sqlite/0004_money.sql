-- The books, and trades. Append-only journal; wallets are a cache of it.

create table journal (
    id integer primary key autoincrement,
    kind text not null,
    ref_id bigint not null,
    created_at bigint not null,
    unique (kind, ref_id)
);

create table posting (
    journal_id bigint not null references journal (id),
    line bigint not null,
    account text not null check (account in ('pg_receivable', 'bank', 'wallet_charged', 'wallet_earned', 'in_transit',
        'receivable', 'suspense', 'fee_income')),
    owner bigint,
    amount bigint not null check (amount <> 0 and amount between -1000000000000 and 1000000000000),
    primary key (journal_id, line)
);
create index posting_owner on posting (account, owner);

create trigger journal_refuses_update before update on journal
begin select raise(abort, 'the books are append-only'); end;
create trigger journal_refuses_delete before delete on journal
begin select raise(abort, 'the books are append-only'); end;
create trigger posting_refuses_update before update on posting
begin select raise(abort, 'the books are append-only'); end;
create trigger posting_refuses_delete before delete on posting
begin select raise(abort, 'the books are append-only'); end;

create table wallet (
    member_id bigint primary key references member (id),
    charged bigint not null default 0 check (charged between 0 and 1000000000000),
    earned bigint not null default 0 check (earned between 0 and 1000000000000),
    owed bigint not null default 0 check (owed between 0 and 1000000000000)
);

-- A sale's income, not yet folded into the seller's wallet: a purchase touches no row of the seller's.
create table credit (
    journal_id bigint not null references journal (id),
    member_id bigint not null references member (id),
    amount bigint not null check (amount between 1 and 1000000000000),
    folded bigint not null default 0 check (folded in (0, 1)),
    primary key (journal_id, member_id)
);
create index credit_open on credit (member_id) where folded = 0;

-- One line of one member; a purchase and its sale are two.
create table trade (
    id integer primary key autoincrement check (id between 1 and 2147483647),
    member_id bigint not null references member (id),
    kind text not null check (kind in ('PURCHASE_MOBILE_SINGLE', 'PURCHASE_MOBILE_COMPOSITE', 'PURCHASE_WIFI',
        'PURCHASE_HOTSPOT', 'SALE_MOBILE_DATA', 'SALE_WIFI', 'SALE_HOTSPOT', 'CHARGE', 'REFUND')),
    price bigint not null check (price between 0 and 1000000000000),
    fee bigint not null default 0 check (fee >= 0),
    units bigint check (units between 1 and 20),
    minutes bigint check (minutes > 0),
    month bigint not null,
    created_at bigint not null
);
create index trade_member on trade (member_id, id desc);
create index trade_member_month on trade (member_id, month, kind);
create index trade_kind on trade (kind, created_at);

create table trade_detail (
    trade_id bigint not null references trade (id),
    product_id bigint not null references product (id),
    units bigint,
    price bigint not null,
    primary key (trade_id, product_id)
);
create index trade_detail_product on trade_detail (product_id);
