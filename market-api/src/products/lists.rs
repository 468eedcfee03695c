//! Lists of what is offered, page by page: from the cache, or read once for all who ask.
//!
//! What is kept depends on neither the asking member nor the clock: distance and "open" are worked
//! out when a row is shown. What cannot be kept so has it in its key, and an end in the value: a page
//! of what is open ends with its minute, a page of mobile data with its month, a page by distance is
//! one member's at one place. An answer is shown only while it is younger than its end and its version
//! is the present one.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use shared::clock::{LocalDateTime, UnixMillis};
use shared::ids::MemberId;
use shared::web::{CommonError, PageSize};

use super::hours::is_open;
use super::near::place_of;
use super::repo::{self, Range};
use super::rows::{Batch, ListedOffer, OfferPage, OfferRow, SpotRow};
use super::sort::{Cursor, Filter, ListOrder, Sort, SortKey};
use super::{Kind, Position, Products};
use crate::cache::{Joined, Seen};
use crate::db::DbError;
use crate::http::ApiError;

/// How long a page is kept at most.
const PAGE_KEPT: Duration = Duration::from_secs(30 * 60);

/// How long a member's page by distance is kept.
const NEAR_PAGE_KEPT: Duration = Duration::from_secs(5 * 60);

/// A minute, after which other spots may be open.
const MINUTE_MS: i64 = 60_000;

/// A page that somebody asks for.
#[derive(Clone, Copy, Debug)]
pub struct ListQuery {
    /// Who asks.
    pub reader: MemberId,
    /// What of.
    pub kind: Kind,
    /// In which order; one of [`Sort::of`] its kind.
    pub sort: Sort,
    /// Which of them.
    pub filter: Filter,
    /// How many.
    pub size: PageSize,
    /// Where the page before ended.
    pub after: Option<Cursor>,
    /// Where they are. For spots.
    pub at: Option<Position>,
}

/// A question and the time it came.
#[derive(Clone, Copy, Debug)]
pub(super) struct ListRequest {
    pub(super) query: ListQuery,
    pub(super) now: UnixMillis,
}

/// Where a batch is kept, and for how long.
pub(super) struct CacheEntry {
    pub(super) kind: Kind,
    /// What comes after the version in its key.
    pub(super) rest: String,
    pub(super) ttl: Duration,
    pub(super) until: i64,
}

type Work = BoxFuture<'static, Result<Batch, ApiError>>;

impl Products {
    /// A page of what is offered. Walking from page to page skips and repeats nothing that does not
    /// change meanwhile, whatever happens to the row a page ended with.
    ///
    /// # Errors
    /// [`CommonError::Parameter`] for a cursor of another list, and for spots without a position.
    pub async fn list(&self, query: ListQuery) -> Result<OfferPage, ApiError> {
        if !Sort::of(query.kind).contains(&query.sort) {
            return Err(ApiError::SortOption);
        }
        let request = ListRequest {
            query,
            now: self.clock.unix_millis(),
        };
        let batch = match query.sort {
            Sort::Nearest => {
                let at = query.at.ok_or(CommonError::Parameter)?;
                let own = self.clone();
                let work = Box::pin(async move { own.read_near_page(request, at).await });
                self.batch(request.near_entry(at), work).await?
            }
            Sort::Recent
            | Sort::UnitPrice
            | Sort::Price
            | Sort::FewestUnits
            | Sort::MostUnits
            | Sort::BestRated => {
                let own = self.clone();
                let work = Box::pin(async move { own.read_page(request).await });
                self.batch(request.page_entry(), work).await?
            }
        };
        let rows = batch.rows.iter().map(|row| request.show(row));
        Ok(OfferPage {
            rows: rows.collect(),
            next: batch.next,
        })
    }

    /// What is kept at a place, or else the result of `work`, which is then kept.
    pub(super) async fn batch(
        &self,
        place: CacheEntry,
        work: Work,
    ) -> Result<Arc<Batch>, ApiError> {
        let seen = self.cache.seen(place.kind.namespace()).await;
        let kind = place.kind.name();
        let (key, kept) = match seen {
            Seen::Version(version) => (format!("list:{kind}:v{version}:{}", place.rest), true),
            Seen::Away(changes) => (format!("list:{kind}:away{changes}:{}", place.rest), false),
        };
        if kept && let Some(batch) = self.kept(&key).await {
            self.count("cache");
            return Ok(batch);
        }
        let (own, looked_up) = (self.clone(), key.clone());
        let look_up = async move {
            // Whoever landed just before this one began has put it there.
            if kept && let Some(batch) = own.kept(&looked_up).await {
                return Ok(batch);
            }
            own.metrics.list_queries.inc();
            let mut batch = work.await?;
            batch.until = place.until;
            if kept && let Some(bytes) = batch.encode() {
                let left_ms = place.until - own.clock.unix_millis().get();
                let left = Duration::from_millis(u64::try_from(left_ms).unwrap_or(0));
                let ttl = place.ttl.min(left);
                own.cache.set(&looked_up, bytes.into(), ttl).await;
            }
            Ok(Arc::new(batch))
        };
        match self.single_flight.join(key, look_up).await {
            Some(Joined::Leader(batch)) => {
                self.count(if kept { "database" } else { "bypass" });
                batch
            }
            Some(Joined::Followed(batch)) => {
                self.count("shared");
                batch
            }
            None => {
                Err(DbError::Unavailable("a look-up panicked or took too long".to_owned()).into())
            }
        }
    }

    /// Whether somebody has asked about a place under its present version, as this caller does now. What
    /// only one asks for is not worth more than they asked for.
    pub(super) async fn is_asked_again(&self, place: &CacheEntry) -> bool {
        let Seen::Version(version) = self.cache.seen(place.kind.namespace()).await else {
            return false;
        };
        let key = format!(
            "list:{}:v{version}:{}:request",
            place.kind.name(),
            place.rest
        );
        let again = self.cache.get(&key).await.is_some();
        if !again {
            let mark = bytes::Bytes::from_static(b"1");
            self.cache.set(&key, mark, place.ttl).await;
        }
        again
    }

    async fn kept(&self, key: &str) -> Option<Arc<Batch>> {
        let bytes = self.cache.get(key).await?;
        let now = self.clock.unix_millis().get();
        Batch::decode(&bytes, now).map(Arc::new)
    }

    fn count(&self, source: &str) {
        self.metrics.list_pages.with_label_values(&[source]).inc();
    }

    /// A page in an order of whole numbers.
    async fn read_page(&self, request: ListRequest) -> Result<Batch, ApiError> {
        let walk = request.walk();
        let size = usize::from(request.query.size.get());
        let mut connection = self.db.read().await?;
        let after = match request.query.after {
            None => None,
            Some(cursor) => match resolve(&mut connection, walk, cursor).await? {
                SortKey::Number(key) => Some((key, cursor.id())),
                SortKey::Place(_) => return Err(CommonError::Parameter.into()),
            },
        };
        let range = Range {
            walk,
            after,
            limit: i64::from(request.query.size.get()) + 1,
            now: request.now,
            minute: request.minute(),
        };
        let mut rows = repo::page(&mut connection, &range).await?;
        let more = rows.len() > size;
        rows.truncate(size);
        let next = match rows.last().filter(|_| more) {
            None => None,
            Some(last) => {
                let key = SortKey::Number(key_of(last, walk.sort));
                Some(Cursor::new(walk, key, last.id))
            }
        };
        Ok(Batch::page(rows, next))
    }
}

impl ListRequest {
    pub(super) fn walk(&self) -> ListOrder {
        ListOrder {
            kind: self.query.kind,
            sort: self.query.sort,
            filter: self.query.filter,
        }
    }

    /// The minute of the day in Seoul.
    pub(super) fn minute(&self) -> u16 {
        LocalDateTime::from_unix(self.now).minute_of_day()
    }

    /// Sort, filter, size, cursor.
    fn name(&self) -> String {
        let filter = match self.query.filter {
            Filter::None => "-".to_owned(),
            Filter::Units(units) => format!("units{}", units.get()),
            Filter::Open => format!("open{}", self.minute()),
        };
        let cursor = self.query.after.map_or(0, Cursor::get);
        let (sort, size) = (self.query.sort.name(), self.query.size.get());
        format!("{sort}:{filter}:{size}:{cursor}")
    }

    /// When an answer is no longer right, whatever happens.
    fn until(&self, kept: Duration) -> i64 {
        let kept_ms = i64::try_from(kept.as_millis()).unwrap_or(i64::MAX);
        let mut until = self.now.get().saturating_add(kept_ms);
        if self.query.kind == Kind::MobileData {
            let month = LocalDateTime::from_unix(self.now).next_month();
            until = until.min(month.to_unix().get());
        }
        if self.query.filter == Filter::Open {
            until = until.min((self.now.get() / MINUTE_MS + 1) * MINUTE_MS);
        }
        until
    }

    fn page_entry(&self) -> CacheEntry {
        CacheEntry {
            kind: self.query.kind,
            rest: self.name(),
            ttl: jittered(PAGE_KEPT),
            until: self.until(PAGE_KEPT),
        }
    }

    fn near_entry(&self, at: Position) -> CacheEntry {
        let reader = self.query.reader.get();
        CacheEntry {
            kind: self.query.kind,
            rest: format!("{}:m{reader}:{}", self.name(), place_of(at)),
            ttl: jittered(NEAR_PAGE_KEPT),
            until: self.until(NEAR_PAGE_KEPT),
        }
    }

    fn show(&self, row: &OfferRow) -> ListedOffer {
        let spot = row.spot.as_ref();
        let here = self.query.at;
        let distance_m = spot
            .and_then(SpotRow::at)
            .zip(here)
            .map(|(at, here)| here.distance_m(at));
        let minute = self.minute();
        ListedOffer {
            id: row.id,
            distance_m,
            open: spot.map(|spot| is_open(spot.open_minute, spot.close_minute, minute)),
            row: row.clone(),
        }
    }
}

/// 10 to 20 % less, so that what was kept together does not end together.
pub(super) fn jittered(ttl: Duration) -> Duration {
    ttl * rand::random_range(80..=90) / 100
}

/// The key a page ended with, if the row has it or had it.
pub(super) async fn resolve(
    connection: &mut sqlx::AnyConnection,
    walk: ListOrder,
    cursor: Cursor,
) -> Result<SortKey, ApiError> {
    let found = repo::key_now(connection, cursor.id(), walk.sort).await?;
    let (kind, key) = found.ok_or(CommonError::Parameter)?;
    if kind != walk.kind {
        return Err(CommonError::Parameter.into());
    }
    if let Some(key) = key.filter(|key| cursor.is_at(walk, *key)) {
        return Ok(key);
    }
    let before = repo::keys_before(connection, cursor.id(), walk.sort).await?;
    let place = before.into_iter().find(|key| cursor.is_at(walk, *key));
    Ok(place.ok_or(CommonError::Parameter)?)
}

fn key_of(row: &OfferRow, sort: Sort) -> i64 {
    match sort {
        Sort::Recent => row.updated_at.get(),
        Sort::UnitPrice => row.unit_price.get(),
        Sort::Price => row.price.get(),
        Sort::FewestUnits | Sort::MostUnits => i64::from(row.units_left.get()),
        Sort::BestRated => row.seller_rate,
        Sort::Nearest => 0,
    }
}
