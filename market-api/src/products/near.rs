//! Lists by distance, exact to the last bit: boxes grow until the last row of a page lies inside the
//! circle that the box holds whole.
//!
//! What is near the middle of a cell is read once for all who are in the cell, and is enough for a
//! page of theirs as far as it reaches.

use std::collections::HashMap;
use std::time::Duration;

use shared::clock::UnixMillis;
use shared::ids::ProductId;
use shared::web::CommonError;
use sqlx::AnyConnection;

use super::geo::{FARTHEST_M, FirstFew, Hit};
use super::hours::is_open;
use super::lists::{CacheEntry, ListRequest, jittered, resolve};
use super::repo::{self, Spots, Within};
use super::rows::{Batch, OfferRow, SpotRow};
use super::sort::{Cursor, Filter, ListOrder, SortKey};
use super::{Kind, Position, Products};
use crate::db::Dialect;
use crate::http::ApiError;

impl Products {
    /// A page by distance: from what is near the cell, if that reaches so far, else from the index.
    pub(super) async fn read_near_page(
        &self,
        asked: ListRequest,
        at: Position,
    ) -> Result<Batch, ApiError> {
        let walk = asked.walk();
        let few = usize::from(asked.query.size.get()) + 1;
        let after = match asked.query.after {
            None => None,
            Some(cursor) => {
                let mut connection = self.db.read().await?;
                match resolve(&mut connection, walk, cursor).await? {
                    SortKey::Place(place) => Some((at.distance_m(place), cursor.id())),
                    SortKey::Number(_) => return Err(CommonError::Parameter.into()),
                }
            }
        };
        // Reading a cell costs as much as several pages: from the second who asks there on. (Measured
        // with 70 members in as many cells: for the first p95 was four times that without a cache.)
        let cell = Cell::of(at);
        let place = cell.place(walk.kind, asked.now);
        if self.is_asked_again(&place).await {
            let own = self.clone();
            let kind = walk.kind;
            let work = Box::pin(async move { own.read_cell(kind, cell.middle()).await });
            let near = self.batch(place, work).await?;
            let whole_m = near.whole_within_m - at.distance_m(cell.middle()) - SLACK_M;
            if let Some(hits) = first_of(&near, asked, at, after, few, whole_m) {
                return near_page(walk, hits, near.rows.clone(), few);
            }
        }
        let mut connection = self.db.read().await?;
        let spots = Spots {
            dialect: self.db.dialect(),
            kind: walk.kind,
            open_at: (walk.filter == Filter::Open).then(|| asked.minute()),
        };
        let hits = nearest(&mut connection, spots, at, after, few).await?;
        let ids: Vec<_> = hits.iter().map(|hit| hit.id).collect();
        let rows = repo::offers(&mut connection, &ids).await?;
        near_page(walk, hits, rows, few)
    }

    /// What is near the middle of a cell, for all who are in it.
    async fn read_cell(&self, kind: Kind, middle: Position) -> Result<Batch, ApiError> {
        let mut connection = self.db.read().await?;
        let spots = Spots {
            dialect: self.db.dialect(),
            kind,
            open_at: None,
        };
        let hits = nearest(&mut connection, spots, middle, None, CELL_SPOTS).await?;
        let ids: Vec<_> = hits.iter().map(|hit| hit.id).collect();
        let rows = repo::offers(&mut connection, &ids).await?;
        let mut batch = Batch::page(in_order(&hits, rows), None);
        if let Some(last) = hits.last().filter(|_| hits.len() == CELL_SPOTS) {
            batch.whole_within_m = last.distance_m;
        }
        Ok(batch)
    }
}

/// The first rows of what is near a cell, as long as nothing that is nearer can be missing: all within
/// `whole_m` is there.
fn first_of(
    near: &Batch,
    asked: ListRequest,
    at: Position,
    after: Option<(f64, ProductId)>,
    few: usize,
    whole_m: f64,
) -> Option<Vec<Hit>> {
    let minute = asked.minute();
    let mut first = FirstFew::new(few);
    for row in &near.rows {
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

/// The page of the first `few - 1` hits; one more tells that another page follows.
fn near_page(
    walk: ListOrder,
    mut hits: Vec<Hit>,
    rows: Vec<OfferRow>,
    few: usize,
) -> Result<Batch, ApiError> {
    let more = hits.len() == few;
    hits.truncate(few - 1);
    let last = hits.last().filter(|_| more);
    let next = last.map(|last| Cursor::new(walk, SortKey::Place(last.at), last.id));
    Ok(Batch::page(in_order(&hits, rows), next))
}

/// The rows of the hits in their order. A row that went or moved since it was hit is left out.
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

/// Where a member is, for keys.
pub(super) fn place_of(at: Position) -> String {
    let (north, east) = rounded(at, PLACES_PER_DEGREE);
    format!("{north}:{east}")
}

/// What rounding may take from a distance that two computations compare.
const SLACK_M: f64 = 1.0;

/// Members are at the same place within a thousandth of a degree: 110 m.
const PLACES_PER_DEGREE: f64 = 1_000.0;

/// A cell is a hundredth of a degree: 1.1 km from north to south.
const CELLS_PER_DEGREE: f64 = 100.0;

/// Spots that are kept for a cell: five pages of twenty, and what lies between its middle and its
/// corners.
const CELL_SPOTS: usize = 200;

/// How long what is near a cell is kept for all who are in it.
const CELL_KEPT: Duration = Duration::from_secs(60);

#[expect(
    clippy::cast_possible_truncation,
    reason = "a degree is at most 180 and its parts are thousandths"
)]
fn rounded(at: Position, per_degree: f64) -> (i32, i32) {
    let part = |degrees: f64| (degrees * per_degree).round() as i32;
    (part(at.latitude()), part(at.longitude()))
}

/// A square of the map in which all share what is near.
#[derive(Clone, Copy, Debug)]
struct Cell {
    north: i32,
    east: i32,
}

impl Cell {
    fn of(at: Position) -> Self {
        let (north, east) = rounded(at, CELLS_PER_DEGREE);
        Self { north, east }
    }

    fn middle(self) -> Position {
        let degrees = |part: i32| f64::from(part) / CELLS_PER_DEGREE;
        Position::new(degrees(self.north), degrees(self.east))
            .expect("rounding keeps whole degrees within their bounds")
    }

    fn place(self, kind: Kind, now: UnixMillis) -> CacheEntry {
        CacheEntry {
            kind,
            rest: format!("cell:{}:{}", self.north, self.east),
            ttl: jittered(CELL_KEPT),
            until: now.saturating_add(CELL_KEPT).get(),
        }
    }
}

/// The first ring that is looked through where nothing says how far the next spot is.
const FIRST_RING_M: f64 = 500.0;

/// The first `few` spots behind a place in the order by distance. Fewer only if there are no more.
///
/// Memory is bounded by `few`. Time is not: for a page far out the database passes over all that is
/// nearer, 50,000 spots in 10 to 20 ms.
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

/// How many times as large a ring must be for `few` spots that had `found`, if they are as dense
/// beyond it, with half as much again to be sure. Once only: a place at the edge of a crowd
/// goes on in large steps, ten around the world.
#[expect(clippy::cast_precision_loss, reason = "pages have up to 100 rows")]
fn growth(found: usize, few: usize) -> f64 {
    (1.5 * few as f64 / found.max(1) as f64).clamp(2.0, 16.0)
}

/// What a flat map tells of the first few spots.
enum Flat {
    /// They are these.
    All(Vec<Hit>),
    /// They are at most so far away.
    Within(f64),
}

/// The first `few` spots by PostgreSQL's index of nearest neighbours, which measures on a flat map. It
/// is asked for more than the box around the circle of the first few would have if it were as crowded,
/// twice the circle's area: if what it gave reaches beyond that box, nothing in the circle is missing.
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
