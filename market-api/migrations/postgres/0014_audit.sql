-- The audit log is append-only, as the books are.

create function refuse_audit_change() returns trigger language plpgsql as
$$ begin raise exception 'the audit log is append-only'; end $$;
create trigger audit_is_append_only before update or delete or truncate on audit
    for each statement execute function refuse_audit_change();
