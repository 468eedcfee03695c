//! Lists by distance, exact to the last bit: searches a growing radius until the last row of a page lies inside
//! the circle that is fully covered.
//!
//! The spots near the centre of a map cell are read once and cached for all members in the cell; their pages are
//! computed from it as far as it reaches.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use shared::clock::UnixMillis;
use shared::ids::ProductId;
use sqlx::AnyConnection;

use super::geo::{FARTHEST_M, FirstFew, Hit};
use super::hours::is_open;
use super::lists::{CacheEntry, ListRequest, Lists, jittered, resolve};
use super::repo::{self, Spots, Within};
use super::rows::{Batch, OfferRow, SpotRow};
use super::sort::{Cursor, Filter, ListOrder, SortKey};
use super::{Kind, ListError, Position};
use crate::blocks::Separated;
use crate::db::Dialect;

impl Lists {
    /// A page by distance, without offers that are hidden from the reader: from the cached cell if it reaches far
    /// enough, else from the index.
    pub(super) async fn near_page(
        &self,
        asked: ListRequest,
        at: Position,
        separated: &Separated,
    ) -> Result<Batch, ListError> {
        let walk = asked.walk();
        let few = usize::from(asked.query.size.get()) + 1;
        let after = match asked.query.after {
            None => None,
            Some(cursor) => {
                let mut connection = self.db().read().await?;
                match resolve(&mut connection, walk, cursor).await? {
                    SortKey::Place(place) => Some((at.distance_m(place), cursor.id())),
                    SortKey::Number(_) => return Err(ListError::Cursor),
                }
            }
        };
        // Reading a cell costs as much as several pages, so it is read from the second request on. (Measured
        // with 70 members in as many cells: if the first one reads it, p95 is four times that without a
        // cache.)
        let cell = Cell::of(at);
        let own = self.clone();
        let (kind, middle) = (walk.kind, cell.middle());
        let work = async move { own.read_cell(kind, middle).await };
        let near = self.batch_if_shared(cell.entry(kind, asked.now), work);
        if let Some(near) = near.await? {
            let whole_m = near.whole_within_m - at.distance_m(middle) - SLACK_M;
            let is_shown = |row: &&OfferRow| !separated.may_hide(row.seller);
            let rows = near.rows.iter().filter(is_shown);
            let first = first_of(rows, asked, at, after, few, whole_m);
            // If any seller may be hidden, only the database knows who is.
            if let Some(hits) = first.filter(|_| *separated != Separated::Many) {
                let rows = Arc::unwrap_or_clone(near).rows;
                return near_page(walk, hits, rows, few);
            }
        }
        self.count_query();
        let mut connection = self.db().read().await?;
        let spots = Spots {
            dialect: self.db().dialect(),
            kind,
            open_at: (walk.filter == Filter::Open).then(|| asked.minute()),
            apart_from: (!separated.is_nobody()).then_some(asked.query.reader),
        };
        let hits = nearest(&mut connection, spots, at, after, few).await?;
        let ids: Vec<_> = hits.iter().map(|hit| hit.id).collect();
        let rows = repo::offers(&mut connection, &ids).await?;
        near_page(walk, hits, rows, few)
    }

    /// Reads the spots near the centre of a cell, for all members in it.
    async fn read_cell(&self, kind: Kind, middle: Position) -> Result<Batch, ListError> {
        let mut connection = self.db().read().await?;
        let spots = Spots {
            dialect: self.db().dialect(),
            kind,
            open_at: None,
            apart_from: None,
        };
        let hits = nearest(&mut connection, spots, middle, None, CELL_SPOTS).await?;
        let ids: Vec<_> = hits.iter().map(|hit| hit.id).collect();
        let rows = repo::offers(&mut connection, &ids).await?;
        let mut batch = Batch::page(in_order(&hits, rows), None, None);
        if let Some(last) = hits.last().filter(|_| hits.len() == CELL_SPOTS) {
            batch.whole_within_m = last.distance_m;
        }
        Ok(batch)
    }
}

/// The first of a cell's rows, if it is certain that no nearer row is missing: they are all that may be shown
/// within `whole_m`.
fn first_of<'a>(
    rows: impl Iterator<Item = &'a OfferRow>,
    asked: ListRequest,
    at: Position,
    after: Option<(f64, ProductId)>,
    few: usize,
    whole_m: f64,
) -> Option<Vec<Hit>> {
    let minute = asked.minute();
    let mut first = FirstFew::new(few);
    for row in rows {
        let Some((spot, place)) = row
            .spot
            .as_ref()
            .zip(row.spot.as_ref().and_then(SpotRow::at))
        else {
            continue;
        };
        let hit = Hit {
            distance_m: at.distance_m(place),
            id: row.id,
            at: place,
        };
        let shown = match asked.query.filter {
            Filter::Open => is_open(spot.open_minute, spot.close_minute, minute),
            Filter::None | Filter::Units(_) => true,
        };
        if shown && hit.is_after(after) {
            first.offer(hit);
        }
    }
    let hits = first.into_sorted();
    let reaches = hits.len() == few && hits.last().is_some_and(|hit| hit.distance_m < whole_m);
    (reaches || whole_m.is_infinite()).then_some(hits)
}

/// The page of the first `few - 1` hits; one hit more means that another page follows.
fn near_page(
    walk: ListOrder,
    mut hits: Vec<Hit>,
    rows: Vec<OfferRow>,
    few: usize,
) -> Result<Batch, ListError> {
    let follows = hits.len() == few;
    hits.truncate(few - 1);
    let last = hits.last().filter(|_| follows);
    let next = last.map(|last| Cursor::new(walk, SortKey::Place(last.at), last.id));
    Ok(Batch::page(in_order(&hits, rows), next, None))
}

/// The rows of the hits in their order. Leaves out rows deleted or moved since the search.
fn in_order(hits: &[Hit], rows: Vec<OfferRow>) -> Vec<OfferRow> {
    let mut by_id: HashMap<ProductId, OfferRow> =
        rows.into_iter().map(|row| (row.id, row)).collect();
    let found = hits.iter().filter_map(|hit| {
        let row = by_id.remove(&hit.id)?;
        let at = row.spot.as_ref().and_then(SpotRow::at);
        (at == Some(hit.at)).then_some(row)
    });
    found.collect()
}

/// Tolerance for rounding errors between two computations of a distance, in metres.
const SLACK_M: f64 = 1.0;

/// A cell is a hundredth of a degree: 1.1 km from north to south.
const CELLS_PER_DEGREE: f64 = 100.0;

/// Number of spots cached per cell: five pages of twenty, and a margin for the distance between the centre and
/// the corners.
const CELL_SPOTS: usize = 200;

/// Lifetime of a cached cell.
const CELL_KEPT: Duration = Duration::from_secs(60);

/// A square of the map whose members share one cached batch.
#[derive(Clone, Copy, Debug)]
struct Cell {
    north: i32,
    east: i32,
}

impl Cell {
    fn of(at: Position) -> Self {
        let (north, east) = at.rounded(CELLS_PER_DEGREE);
        Self { north, east }
    }

    fn middle(self) -> Position {
        let degrees = |part: i32| f64::from(part) / CELLS_PER_DEGREE;
        Position::new(degrees(self.north), degrees(self.east))
            .expect("rounding keeps whole degrees within their bounds")
    }

    fn entry(self, kind: Kind, now: UnixMillis) -> CacheEntry {
        CacheEntry {
            kind,
            rest: format!("cell:{}:{}", self.north, self.east),
            ttl: jittered(CELL_KEPT),
            until: now.saturating_add(CELL_KEPT).get(),
        }
    }
}

/// The first search radius without an estimate of the density, in metres.
const FIRST_RING_M: f64 = 500.0;

/// The first `few` spots after this distance and id. Fewer only if there are no more.
///
/// Memory is bounded by `few`. Time is not: for a page far out the database skips all nearer spots, 50,000 of
/// them in 10 to 20 ms.
pub(super) async fn nearest(
    connection: &mut AnyConnection,
    spots: Spots,
    centre: Position,
    after: Option<(f64, ProductId)>,
    few: usize,
) -> Result<Vec<Hit>, sqlx::Error> {
    let inner_m = after.map_or(0.0, |(distance_m, _)| distance_m);
    let mut radius_m = inner_m + FIRST_RING_M.max(inner_m / 8.0);
    if spots.dialect == Dialect::Postgres && after.is_none() {
        match nearest_of_flat_map(connection, spots, centre, few).await? {
            Flat::All(hits) => return Ok(hits),
            Flat::Within(distance_m) => radius_m = distance_m,
        }
    }
    let mut grown = false;
    loop {
        let whole = radius_m >= FARTHEST_M;
        let within = Within {
            ring: centre.ring(inner_m, radius_m.min(FARTHEST_M)),
            radius_m: if whole { f64::INFINITY } else { radius_m },
            after,
        };
        let mut first = FirstFew::new(few);
        for bounds in centre.boxes(radius_m.min(FARTHEST_M)) {
            repo::scan_box(connection, spots, bounds, &within, &mut first).await?;
        }
        let hits = first.into_sorted();
        if hits.len() == few || whole {
            return Ok(hits);
        }
        let times = if grown { 16.0 } else { growth(hits.len(), few) };
        radius_m = (inner_m.powi(2) + (radius_m.powi(2) - inner_m.powi(2)) * times).sqrt();
        grown = true;
    }
}

/// Growth factor of the search area to contain `few` spots, from the density of those `found`, with a margin
/// of a half. Used once: at the edge of a dense area the search then goes on in large steps, ten around the
/// world.
#[expect(clippy::cast_precision_loss, reason = "pages have up to 100 rows")]
fn growth(found: usize, few: usize) -> f64 {
    (1.5 * few as f64 / found.max(1) as f64).clamp(2.0, 16.0)
}

/// The result of the search on the flat map.
enum Flat {
    /// Exactly the first few spots.
    All(Vec<Hit>),
    /// An upper bound of their distance, in metres.
    Within(f64),
}

/// Searches the first `few` spots by PostgreSQL's nearest-neighbour index, whose distances are those on a flat
/// map. Requests as many rows as the box around the result's circle would contain at equal density, and a
/// margin: if the rows reach beyond that box, no spot in the circle is missing.
async fn nearest_of_flat_map(
    connection: &mut AnyConnection,
    spots: Spots,
    centre: Position,
    few: usize,
) -> Result<Flat, sqlx::Error> {
    let asked = few * 5 / 2;
    let hits = repo::nearest_on_flat_map(connection, spots, centre, asked).await?;
    let is_everything = hits.len() < asked;
    let reach = hits.last().map_or(0.0, |hit| centre.flat_distance(hit.at));
    let mut first = FirstFew::new(few);
    hits.into_iter().for_each(|hit| first.offer(hit));
    let hits = first.into_sorted();
    let Some(last) = hits.last() else {
        return Ok(Flat::All(hits));
    };
    let circle_m = last.distance_m;
    let holds = match centre.boxes(circle_m)[..] {
        [bounds] => centre.flat_reach(bounds) <= reach,
        _ => false,
    };
    Ok(if is_everything || holds {
        Flat::All(hits)
    } else {
        Flat::Within(circle_m)
    })
}
