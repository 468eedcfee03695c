-- Lists that have changed, until the cache's version of them is replaced. Written with the change, so that a process
-- that ends between its COMMIT and the cache leaves no list old. Pictures of a spot change with its product.
create table list_change (
    id integer primary key autoincrement,
    space text not null check (space in ('MOBILE_DATA', 'WIFI', 'HOTSPOT'))
);

create trigger product_made_changes_lists after insert on product
begin
    insert into list_change (space) values (new.kind);
end;

create trigger product_changes_lists after update on product
begin
    insert into list_change (space) values (new.kind);
end;

create trigger spot_changes_lists after update on spot
begin
    insert into list_change (space) select kind from product where id = new.product_id;
end;

create trigger member_changes_lists after update on member
when (old.name, old.image_url) is not (new.name, new.image_url)
begin
    insert into list_change (space) values ('MOBILE_DATA'), ('WIFI'), ('HOTSPOT');
end;
