//! Pages of the lists of offers: from the cache, or by one database look-up for concurrent requests.
//!
//! Cached rows depend on neither the reader nor the clock: distance and "open" are computed when a row is
//! returned. Otherwise the key contains the dependency, and the value an expiry: a page filtered by "open"
//! expires with its minute, a page of mobile data with its month. A value is used only before its expiry and under
//! the current version of its namespace. Pages by distance are not cached themselves: `near` computes them.
//!
//! Cached pages leave out blocked accounts only. A page with an offer of a member who is separated from the reader
//! (`blocks`) is read again for this reader.

use std::sync::Arc;
use std::time::Duration;

use shared::clock::{Clock, LocalDateTime, UnixMillis};
use shared::drain::Drain;
use shared::ids::MemberId;
use shared::web::PageSize;

use super::hours::is_open;
use super::repo::{self, Range};
use super::rows::{Batch, ListedOffer, OfferPage, OfferRow, SpotRow};
use super::sort::{Cursor, Filter, ListOrder, Sort, SortKey};
use super::{Kind, ListError, Position};
use crate::blocks::Blocks;
use crate::cache::{Joined, ListCache, Seen, SingleFlight};
use crate::db::{Db, DbError};
use crate::metrics::Metrics;

/// Maximum lifetime of a cached page.
const PAGE_KEPT: Duration = Duration::from_secs(30 * 60);

/// A minute in milliseconds: the set of open spots may change at each.
const MINUTE_MS: i64 = 60_000;

/// The parameters of a request for a page.
#[derive(Clone, Copy, Debug)]
pub struct ListQuery {
    /// The member who reads.
    pub reader: MemberId,
    /// The kind of offers.
    pub kind: Kind,
    /// The order; one of [`Sort::of`] the kind.
    pub sort: Sort,
    /// The filter of rows.
    pub filter: Filter,
    /// The number of rows.
    pub size: PageSize,
    /// The cursor that the previous page returned.
    pub after: Option<Cursor>,
    /// The reader's position; required for spots.
    pub at: Option<Position>,
}

/// A query and the time of the request.
#[derive(Clone, Copy, Debug)]
pub(super) struct ListRequest {
    pub(super) query: ListQuery,
    pub(super) now: UnixMillis,
}

/// The cache entry of a batch: key and lifetime.
pub(super) struct CacheEntry {
    pub(super) kind: Kind,
    /// The part of the key after the version.
    pub(super) rest: String,
    pub(super) ttl: Duration,
    pub(super) until: i64,
}

impl CacheEntry {
    fn key(&self, seen: Seen) -> String {
        let (kind, rest) = (self.kind.name(), &self.rest);
        match seen {
            Seen::Version(version) => format!("list:{kind}:v{version}:{rest}"),
            Seen::Away(changes) => format!("list:{kind}:away{changes}:{rest}"),
        }
    }
}

/// The lists of offers. Clones share one state.
#[derive(Clone, Debug)]
pub struct Lists {
    db: Db,
    blocks: Blocks,
    cache: ListCache,
    clock: Arc<dyn Clock>,
    metrics: Arc<Metrics>,
    single_flight: SingleFlight<Result<Arc<Batch>, ListError>>,
}

impl Lists {
    /// Lists of `db`, cached in `cache`. Look-ups run in `drain`, also after their request is cancelled.
    pub(super) fn new(
        db: Db,
        cache: ListCache,
        clock: Arc<dyn Clock>,
        drain: Drain,
        metrics: Arc<Metrics>,
    ) -> Self {
        Self {
            blocks: Blocks::new(db.clone(), cache.clone(), drain.clone()),
            single_flight: SingleFlight::new(drain),
            db,
            cache,
            clock,
            metrics,
        }
    }

    /// The database, for `near`.
    pub(super) fn db(&self) -> &Db {
        &self.db
    }

    /// A page of offers. Iteration by cursor neither skips nor repeats offers that do not change meanwhile,
    /// even if the last row of a page changes or is deleted.
    ///
    /// # Errors
    /// See [`ListError`].
    pub async fn list(&self, query: ListQuery) -> Result<OfferPage, ListError> {
        if !Sort::of(query.kind).contains(&query.sort) {
            return Err(ListError::Sort);
        }
        let request = ListRequest {
            query,
            now: self.clock.unix_millis(),
        };
        let separated = self.blocks.separated(query.reader);
        let batch = match request.near()? {
            Some(at) => self.near_page(request, at, &separated.await?).await?,
            None => {
                let (batch, separated) = tokio::join!(self.shared_page(request), separated);
                let (batch, separated) = (batch?, separated?);
                if batch.may_show(&separated) {
                    self.metrics.list_queries.inc();
                    self.count("separated");
                    self.read_page(request, Some(query.reader)).await?
                } else {
                    Arc::unwrap_or_clone(batch)
                }
            }
        };
        let rows = batch.rows.into_iter().map(|row| request.show(row));
        Ok(OfferPage {
            rows: rows.collect(),
            next: batch.next,
        })
    }

    /// The page as readers see it who are separated from nobody.
    async fn shared_page(&self, request: ListRequest) -> Result<Arc<Batch>, ListError> {
        let entry = request.page_entry();
        let seen = self.cache.seen(entry.kind.namespace()).await;
        let key = entry.key(seen);
        let kept = matches!(seen, Seen::Version(_));
        if kept && let Some(batch) = self.kept(&key).await {
            return Ok(batch);
        }
        let own = self.clone();
        let work = async move { own.read_page(request, None).await };
        self.look_up(entry, key, kept, work).await
    }

    /// The result of `work`, shared with those who look up the same key, and then cached under it if the cache is
    /// reachable (`kept`).
    async fn look_up<F>(
        &self,
        entry: CacheEntry,
        key: String,
        kept: bool,
        work: F,
    ) -> Result<Arc<Batch>, ListError>
    where
        F: Future<Output = Result<Batch, ListError>> + Send + 'static,
    {
        let (own, looked_up) = (self.clone(), key.clone());
        let look_up = async move {
            // Another look-up of the key may have ended just before this one began.
            if kept && let Some(batch) = own.decoded(&looked_up).await {
                return Ok(batch);
            }
            own.metrics.list_queries.inc();
            let mut batch = work.await?;
            batch.until = entry.until;
            if kept && let Some(bytes) = batch.encode() {
                let left_ms = entry.until - own.clock.unix_millis().get();
                let left = Duration::from_millis(u64::try_from(left_ms).unwrap_or(0));
                let ttl = entry.ttl.min(left);
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

    /// The batch of an entry that many requests share only in some places, as a cell of the map: cached, or read by
    /// `work` from the second request on. Reading it for a single request would cost more than the request itself, so
    /// the first one gets `None`; so does each one while the cache is unreachable.
    pub(super) async fn batch_if_shared<F>(
        &self,
        entry: CacheEntry,
        work: F,
    ) -> Result<Option<Arc<Batch>>, ListError>
    where
        F: Future<Output = Result<Batch, ListError>> + Send + 'static,
    {
        let seen = self.cache.seen(entry.kind.namespace()).await;
        let key = entry.key(seen);
        if matches!(seen, Seen::Away(_)) {
            self.count("bypass");
            return Ok(None);
        }
        if let Some(batch) = self.kept(&key).await {
            return Ok(Some(batch));
        }
        let mark = format!("{key}:request");
        if self.cache.get(&mark).await.is_some() {
            return self.look_up(entry, key, true, work).await.map(Some);
        }
        let value = bytes::Bytes::from_static(b"1");
        self.cache.set(&mark, value, entry.ttl).await;
        self.count("database");
        Ok(None)
    }

    /// Counts a query of a page that is not cached.
    pub(super) fn count_query(&self) {
        self.metrics.list_queries.inc();
    }

    /// The cached batch of a key, counted.
    async fn kept(&self, key: &str) -> Option<Arc<Batch>> {
        let batch = self.decoded(key).await?;
        self.count("cache");
        Some(batch)
    }

    async fn decoded(&self, key: &str) -> Option<Arc<Batch>> {
        let bytes = self.cache.get(key).await?;
        let now = self.clock.unix_millis().get();
        Batch::decode(&bytes, now).map(Arc::new)
    }

    fn count(&self, source: &str) {
        self.metrics.list_pages.with_label_values(&[source]).inc();
    }

    /// Reads a page in an order by a whole number.
    async fn read_page(
        &self,
        request: ListRequest,
        apart_from: Option<MemberId>,
    ) -> Result<Batch, ListError> {
        let walk = request.walk();
        let size = usize::from(request.query.size.get());
        let mut connection = self.db.read().await?;
        let after = match request.query.after {
            None => None,
            Some(cursor) => match resolve(&mut connection, walk, cursor).await? {
                SortKey::Number(key) => Some((key, cursor.id())),
                SortKey::Place(_) => return Err(ListError::Cursor),
            },
        };
        let range = Range {
            walk,
            after,
            limit: i64::from(request.query.size.get()) + 1,
            now: request.now,
            minute: request.minute(),
            apart_from,
        };
        let mut rows = repo::page(&mut connection, &range).await?;
        let following = rows.get(size).map(|row| row.seller);
        rows.truncate(size);
        let last = rows.last().filter(|_| following.is_some());
        let next = last.map(|last| {
            let key = SortKey::Number(last.key(walk.sort));
            Cursor::new(walk, key, last.id)
        });
        Ok(Batch::page(rows, next, following))
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

    /// The reader's position for a list by distance; `None` for the other orders.
    fn near(&self) -> Result<Option<Position>, ListError> {
        match self.query.sort {
            Sort::Nearest => self.query.at.map(Some).ok_or(ListError::Position),
            Sort::Recent
            | Sort::UnitPrice
            | Sort::Price
            | Sort::FewestUnits
            | Sort::MostUnits
            | Sort::BestRated => Ok(None),
        }
    }

    /// The minute of the day in Seoul, at the time of the request.
    pub(super) fn minute(&self) -> u16 {
        LocalDateTime::from_unix(self.now).minute_of_day()
    }

    /// The key part of sort, filter, size and cursor.
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

    /// The time at which a cached result becomes wrong, at the latest after `kept`.
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

    fn show(&self, row: OfferRow) -> ListedOffer {
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
            row,
        }
    }
}

/// Shortens a lifetime by 10 to 20 %, so that entries cached together do not expire together.
pub(super) fn jittered(ttl: Duration) -> Duration {
    ttl * rand::random_range(80..=90) / 100
}

/// The sort key at which a page ended: the row's current key or one it had before, by the cursor's hash.
pub(super) async fn resolve(
    connection: &mut sqlx::AnyConnection,
    walk: ListOrder,
    cursor: Cursor,
) -> Result<SortKey, ListError> {
    let found = repo::key_now(connection, cursor.id(), walk.sort).await?;
    let (kind, key) = found.ok_or(ListError::Cursor)?;
    if kind != walk.kind {
        return Err(ListError::Cursor);
    }
    if let Some(key) = key.filter(|key| cursor.is_at(walk, *key)) {
        return Ok(key);
    }
    let before = repo::keys_before(connection, cursor.id(), walk.sort).await?;
    let place = before.into_iter().find(|key| cursor.is_at(walk, *key));
    place.ok_or(ListError::Cursor)
}
