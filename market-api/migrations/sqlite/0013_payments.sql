-- Charges through the payment gateway, refunds with their legs, and what the gateway has that the books do not.

-- An order and the charge it becomes. Never deleted: an order id belongs to its first saver.
create table charge (
    id integer primary key autoincrement check (id between 1 and 2147483647),
    order_id text not null unique check (length(order_id) between 6 and 64),
    member_id bigint not null references member (id),
    amount bigint not null check (amount between 1 and 10000000),
    state text not null default 'CREATED' check (state in ('CREATED', 'CONFIRMING', 'UNKNOWN', 'WAITING', 'CAPTURED',
        'FAILED', 'EXPIRED', 'MISMATCH')),
    payment_key text,
    method text,
    receipt_url text,
    -- The gateway's last code; for operators.
    last_code text,
    -- Sent to the gateway for the first time.
    confirmed_at bigint,
    captured_at bigint,
    -- The end of the time for a deposit into a virtual account.
    due_at bigint,
    -- When the reconciler queries next, null: not at all. How often it has, and when it last did.
    next_check_at bigint,
    checks bigint not null default 0,
    checked_at bigint not null default 0,
    needs_attention bigint not null default 0 check (needs_attention in (0, 1)),
    -- Won: taken by the gateway; given back by refunds; held for a refund's leg in flight; given back by others.
    captured bigint not null default 0 check (captured in (0, amount)),
    refunded bigint not null default 0 check (refunded >= 0),
    reserved bigint not null default 0 check (reserved >= 0),
    reversed bigint not null default 0 check (reversed >= 0),
    -- The leg in flight: one per charge.
    busy_leg bigint,
    last_cancel_at bigint not null default 0,
    trade_id bigint references trade (id),
    created_at bigint not null,
    check (refunded + reserved + reversed <= captured),
    check ((state = 'CAPTURED') = (captured > 0)),
    check ((state = 'CAPTURED') = (trade_id is not null))
);
create index charge_due on charge (next_check_at) where next_check_at is not null;
create index charge_attention on charge (id) where needs_attention = 1;
create index charge_member on charge (member_id, id desc);
create unique index charge_trade on charge (trade_id) where trade_id is not null;
create index charge_captured on charge (captured_at) where captured_at is not null;

-- Each payment at the gateway confirms one charge.
create table payment_key (
    key text primary key check (length(key) between 1 and 200),
    charge_id bigint not null references charge (id)
);

-- A member's cash on the way out. Never deleted: a request id is used once.
create table refund (
    id integer primary key autoincrement check (id between 1 and 2147483647),
    member_id bigint not null references member (id),
    request_id text not null check (length(request_id) between 1 and 64),
    amount bigint not null check (amount between 1 and 1000000000000),
    -- The buckets it came from.
    charged bigint not null check (charged >= 0),
    earned bigint not null check (earned >= 0),
    -- Won of these that came back to the wallet.
    returned_charged bigint not null default 0 check (returned_charged between 0 and charged),
    returned_earned bigint not null default 0 check (returned_earned between 0 and earned),
    -- The cash left, as first answered.
    remain_cash bigint not null check (remain_cash >= 0),
    state text not null default 'OPEN' check (state in ('OPEN', 'DONE')),
    trade_id bigint not null unique references trade (id),
    next_check_at bigint,
    needs_attention bigint not null default 0 check (needs_attention in (0, 1)),
    created_at bigint not null,
    unique (member_id, request_id),
    check (charged + earned = amount)
);
create index refund_due on refund (next_check_at) where next_check_at is not null;
create index refund_member on refund (member_id, id desc);

-- A part of a refund: a cancel of one charge, or a payout.
create table refund_leg (
    id integer primary key autoincrement,
    refund_id bigint not null references refund (id),
    n bigint not null check (n >= 1),
    kind text not null check (kind in ('CANCEL', 'PAYOUT')),
    -- Where the money came from, and goes back to.
    bucket text not null check (bucket in ('CHARGED', 'EARNED')),
    charge_id bigint references charge (id),
    amount bigint not null check (amount between 1 and 1000000000000),
    state text not null default 'READY' check (state in ('READY', 'UNKNOWN', 'DONE', 'REFUSED')),
    last_code text,
    sends bigint not null default 0,
    sent_at bigint,
    -- Answers that left its outcome unknown.
    checks bigint not null default 0,
    created_at bigint not null,
    unique (refund_id, n),
    check ((kind = 'CANCEL') = (charge_id is not null))
);
create index refund_leg_charge on refund_leg (charge_id) where charge_id is not null;

-- Captured money that matches nothing: another amount than the order's, or an order that is not ours. With a charge,
-- it is given back; without, only reported: it may be another environment's.
create table suspense_payment (
    id integer primary key autoincrement,
    payment_key text not null unique,
    order_id text not null,
    charge_id bigint references charge (id),
    captured bigint not null check (captured between 1 and 1000000000000),
    canceled bigint not null default 0 check (canceled between 0 and captured),
    next_check_at bigint,
    checks bigint not null default 0,
    needs_attention bigint not null default 1 check (needs_attention in (0, 1)),
    last_code text,
    created_at bigint not null
);
create index suspense_payment_due on suspense_payment (next_check_at) where next_check_at is not null;

-- Each cancel at the gateway that the books have, by its transaction key: a refund's leg, or a reversal.
create table gateway_cancel (
    id integer primary key autoincrement,
    transaction_key text not null unique,
    charge_id bigint references charge (id),
    suspense_id bigint references suspense_payment (id),
    leg_id bigint references refund_leg (id),
    amount bigint not null check (amount between 1 and 1000000000000),
    canceled_at bigint not null,
    created_at bigint not null,
    check ((charge_id is null) <> (suspense_id is null)),
    check (leg_id is null or charge_id is not null)
);
create index gateway_cancel_charge on gateway_cancel (charge_id) where charge_id is not null;
create index gateway_cancel_at on gateway_cancel (canceled_at);

-- What income repaid of a member's debt after a reversal.
create table debt_repayment (
    id integer primary key autoincrement,
    member_id bigint not null references member (id),
    amount bigint not null check (amount between 1 and 1000000000000),
    created_at bigint not null
);

-- Notifications of the gateway, as they came: pointers to a charge, never believed. Deleted after a while.
create table webhook (
    id integer primary key autoincrement,
    received_at bigint not null,
    kind text not null,
    order_id text,
    payment_key text,
    body text not null
);
create index webhook_received on webhook (received_at);

-- Differences between the gateway's transactions and the books, found by the nightly comparison.
create table gateway_difference (
    id integer primary key autoincrement,
    kind text not null check (kind in ('MISSING_IN_BOOKS', 'MISSING_AT_GATEWAY', 'AMOUNT')),
    -- What differs: 'capture ' and the payment's key, or 'cancel ' and its transaction's key.
    reference text not null,
    order_id text not null,
    ours bigint not null,
    theirs bigint not null,
    found_at bigint not null,
    -- Null while it is there.
    resolved_at bigint,
    unique (kind, reference)
);
create index gateway_difference_open on gateway_difference (id) where resolved_at is null;
