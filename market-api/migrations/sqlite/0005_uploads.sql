-- What became of a place: files that nobody uses are removed. Of places from before that is not known, so they stay.
alter table upload add column state text not null default 'USED' check (state in ('OPEN', 'USED', 'DOOMED'));
create index upload_unused on upload (expires_at) where state <> 'USED';
