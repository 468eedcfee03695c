-- The kit that every domain uses: events, scheduled work, idempotent requests.

-- Domain events to relay, written in the transaction that they report.
create table outbox (
    id integer primary key autoincrement,
    event_id text not null unique,
    kind text not null,
    aggregate text not null,
    aggregate_seq bigint not null,
    body text not null,
    occurred_at bigint not null,
    done_at bigint,
    unique (aggregate, aggregate_seq)
);
create index outbox_open on outbox (id) where done_at is null;

-- The last sequence number of each aggregate; relayed events are removed.
create table outbox_number (
    aggregate text primary key,
    last bigint not null
);

-- Work due at a time. One instance leases each row; an expired lease is taken again.
create table schedule (
    name text not null,
    key text not null,
    due_at bigint not null,
    taken_until bigint not null default 0,
    attempts bigint not null default 0,
    body text not null,
    primary key (name, key)
);
create index schedule_due on schedule (due_at);

-- Answers of requests that carried an Idempotency-Key, replayed to repetitions.
create table idempotency (
    scope text not null,
    key text not null,
    fingerprint text not null,
    status bigint,
    body text,
    created_at bigint not null,
    primary key (scope, key)
);
create index idempotency_age on idempotency (created_at);
