-- The audit log is append-only, as the books are.

create trigger audit_refuses_update before update on audit
begin select raise(abort, 'the audit log is append-only'); end;
create trigger audit_refuses_delete before delete on audit
begin select raise(abort, 'the audit log is append-only'); end;
