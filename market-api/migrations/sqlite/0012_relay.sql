-- The relay deletes the rows that the chat server has stored, so a mark of the done ones is not needed. Dead rows are
-- those that the chat server refused by their ids; they stay for an operator.
drop index outbox_open;
delete from outbox where done_at is not null;
alter table outbox drop column done_at;
alter table outbox add column dead_at bigint;
alter table outbox add column dead_reason text;
create index outbox_open on outbox (id) where dead_at is null;
create index outbox_dead on outbox (id) where dead_at is not null;

-- One row: the instance that relays, and until when.
create table relay_lease (
    id bigint primary key check (id = 1),
    holder text not null,
    held_until bigint not null
);
insert into relay_lease (id, holder, held_until) values (1, '', 0);
