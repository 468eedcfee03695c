//! The SQL of searches by distance: candidates from an index, ordered by exact distance.

use futures_util::TryStreamExt as _;
use shared::ids::{MemberId, ProductId};
use sqlx::any::AnyRow;
use sqlx::{AnyConnection, AssertSqlSafe, Row as _, query};

use super::super::geo::{Bounds, FirstFew, Hit, Ring};
use super::super::hours::OPEN;
use super::super::{Kind, Position};
use super::list::bind_reader;
use super::read::stored_position;
use crate::blocks::listed;
use crate::db::Dialect;
use crate::db::row::column;

type Sql<T> = Result<T, sqlx::Error>;

/// The spots to search.
#[derive(Clone, Copy, Debug)]
pub(in crate::products) struct Spots {
    pub(in crate::products) dialect: Dialect,
    pub(in crate::products) kind: Kind,
    /// Only those open at this minute of the day in Seoul.
    pub(in crate::products) open_at: Option<u16>,
    /// Without spots of sellers who are separated from this reader.
    pub(in crate::products) apart_from: Option<MemberId>,
}

/// The condition on `product p` and `spot s` for visible spots of a kind. `$1` is the kind's name, `$2` the
/// minute of the day at which they must be open, or -1, `reader` the parameter of the reader, if it counts.
fn shown(spots: Spots, reader: &str) -> String {
    let listed = listed("p.member_id", spots.apart_from.map(|_| reader));
    format!(
        "p.kind = $1 and p.state = 'ACTIVE' and (cast($2 as bigint) < 0 or {OPEN}) and {listed}"
    )
}

/// The first spots of PostgreSQL's nearest-neighbour index, by [`Position::flat_distance`], as the index orders
/// them. Fewer than `limit` only if there are no more.
pub(in crate::products) async fn nearest_on_flat_map(
    connection: &mut AnyConnection,
    spots: Spots,
    centre: Position,
    limit: usize,
) -> Sql<Vec<Hit>> {
    let text = format!(
        "select p.id, s.latitude, s.longitude from spot s join product p on p.id = s.product_id \
         where s.place is not null and {} \
         order by s.place <-> point($4 * 0.804, $3) limit $5",
        shown(spots, "$6")
    );
    let select = query(AssertSqlSafe(text))
        .bind(spots.kind.name())
        .bind(spots.open_at.map_or(-1, i64::from))
        .bind(centre.latitude())
        .bind(centre.longitude())
        .bind(i64::try_from(limit).unwrap_or(i64::MAX));
    let rows = bind_reader(select, spots.apart_from)
        .fetch_all(connection)
        .await?;
    rows.iter().map(|row| hit(row, centre)).collect()
}

/// Streams into `first` the spots of a box that are at most `radius_m` away and after a given distance and id.
/// Row by row, since the box may contain very many. The database filters by the ring
/// first.
pub(in crate::products) async fn scan_box(
    connection: &mut AnyConnection,
    spots: Spots,
    bounds: Bounds,
    within: &Within,
    first: &mut FirstFew,
) -> Sql<()> {
    let from = match spots.dialect {
        Dialect::Postgres => {
            "spot s join product p on p.id = s.product_id \
             where s.place <@ box(point($5 * 0.804, $3), point($6 * 0.804, $4)) \
             and (s.latitude - $7) * (s.latitude - $7) \
             + (s.longitude - $8) * (s.longitude - $8) * $9 between $10 and $11"
        }
        Dialect::Sqlite => {
            "spot_place r join spot s on s.product_id = r.product_id \
             join product p on p.id = r.product_id \
             where r.latitude_max >= $3 and r.latitude_min <= $4 \
             and r.longitude_max >= $5 and r.longitude_min <= $6 \
             and (r.latitude_min - $7) * (r.latitude_min - $7) \
             + (r.longitude_min - $8) * (r.longitude_min - $8) * $9 between $10 and $11"
        }
    };
    let shown = shown(spots, "$12");
    let text = format!("select p.id, s.latitude, s.longitude from {from} and {shown}");
    let select = query(AssertSqlSafe(text))
        .bind(spots.kind.name())
        .bind(spots.open_at.map_or(-1, i64::from))
        .bind(bounds.south)
        .bind(bounds.north)
        .bind(bounds.west)
        .bind(bounds.east)
        .bind(within.ring.centre.latitude())
        .bind(within.ring.centre.longitude())
        .bind(within.ring.east_squared)
        .bind(within.ring.least)
        .bind(within.ring.most);
    let mut rows = bind_reader(select, spots.apart_from).fetch(connection);
    while let Some(row) = rows.try_next().await? {
        let hit = hit(&row, within.ring.centre)?;
        // Single precision and the margin of a box make two boxes overlap; this assigns each row to one.
        let inside = (bounds.south..=bounds.north).contains(&hit.at.latitude())
            && (bounds.west..=bounds.east).contains(&hit.at.longitude());
        if inside && hit.distance_m <= within.radius_m && hit.is_after(within.after) {
            first.offer(hit);
        }
    }
    Ok(())
}

/// A ring around a point.
#[derive(Clone, Copy, Debug)]
pub(in crate::products) struct Within {
    pub(in crate::products) ring: Ring,
    pub(in crate::products) radius_m: f64,
    /// Start after this distance and id.
    pub(in crate::products) after: Option<(f64, ProductId)>,
}

fn hit(row: &AnyRow, centre: Position) -> Sql<Hit> {
    let id = column(row, "id")?;
    let at = stored_position(row.try_get(1)?, row.try_get(2)?)?;
    Ok(Hit {
        distance_m: centre.distance_m(at),
        id,
        at,
    })
}
