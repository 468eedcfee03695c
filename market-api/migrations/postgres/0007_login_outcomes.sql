-- A callback that comes twice (back button, double click) ends as the first one did: what became of an attempt stays
-- with it until it expires.
alter table login_attempt add column taken_at bigint;
-- 0: logged in; otherwise what the front end was told.
alter table login_attempt add column outcome bigint;
alter table login_attempt add column member_id bigint references member (id);
