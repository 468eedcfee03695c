//! Test fixtures: members with plans, offers, and the effects of other domains on them.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use market_api::cache::{Cache, ListCache, LocalCache};
use market_api::db::{Abort, WriteError};
use market_api::metrics::Metrics;
use market_api::products::{
    Cursor, DataChange, Filter, Kind, ListQuery, NewData, NewSpot, OfferError, OfferPage, Position,
    Price, Products, Sale, Sort, SpotForm,
};
use rand::SeedableRng as _;
use rand::rngs::StdRng;
use shared::ids::{MemberId, ProductId};
use shared::money::Units;
use shared::web::PageSize;
use sqlx::any::AnyRow;
use sqlx::{AssertSqlSafe, Row as _, query};

use crate::support::{Base, On, open};

/// A market with one instance.
pub(crate) struct Market {
    pub(crate) base: Base,
    pub(crate) products: Products,
    pub(crate) cache: ListCache,
    pub(crate) metrics: Arc<Metrics>,
}

pub(crate) fn page_size(rows: u32) -> PageSize {
    PageSize::parse_required(Some(&rows.to_string())).unwrap()
}

pub(crate) fn member(id: i64) -> MemberId {
    MemberId::try_from(id).unwrap()
}

pub(crate) fn product(id: i64) -> ProductId {
    ProductId::try_from(id).unwrap()
}

pub(crate) fn number(id: ProductId) -> i64 {
    i64::from(id.get())
}

pub(crate) fn at(latitude: f64, longitude: f64) -> Position {
    Position::new(latitude, longitude).unwrap()
}

pub(crate) const SEOUL: (f64, f64) = (37.5665, 126.978);

/// A random generator whose seed is printed, for a rerun with `TEST_SEED=… cargo test …`.
#[expect(clippy::print_stdout, reason = "a test that fails must say with what")]
pub(crate) fn random() -> StdRng {
    let seed = std::env::var("TEST_SEED").map_or_else(|_| rand::random(), |s| s.parse().unwrap());
    println!("TEST_SEED={seed}");
    StdRng::seed_from_u64(seed)
}

impl Market {
    pub(crate) async fn open(on: On) -> Self {
        Self::with(on, Arc::new(LocalCache::new())).await
    }

    pub(crate) async fn with(on: On, cache: Arc<dyn Cache>) -> Self {
        Self::of(open(on).await, cache)
    }

    pub(crate) fn of(base: Base, cache: Arc<dyn Cache>) -> Self {
        let metrics = Arc::clone(&base.metrics);
        let cache = ListCache::new(cache, Arc::clone(&metrics), base.drain.clone());
        let products = Products::new(
            base.db.clone(),
            cache.clone(),
            Arc::clone(&base.clock) as _,
            base.drain.clone(),
            Arc::clone(&metrics),
        );
        Self {
            base,
            products,
            cache,
            metrics,
        }
    }

    /// Invalidates the lists of a kind, as a write of another domain would.
    pub(crate) async fn invalidate(&self, kind: Kind) {
        let changed = async move { Ok(([kind.namespace()], ())) };
        let done: Result<(), WriteError<()>> = self.cache.change(changed).await;
        done.unwrap();
    }

    /// Another instance on the same database, with this cache.
    pub(crate) fn instance(&self, cache: Arc<dyn Cache>) -> (Products, Arc<Metrics>) {
        let metrics = Arc::new(Metrics::new());
        let drain = self.base.drain.clone();
        let cache = ListCache::new(cache, Arc::clone(&metrics), drain.clone());
        let clock = Arc::clone(&self.base.clock) as _;
        let db = self.base.db.clone();
        let products = Products::new(db, cache, clock, drain, Arc::clone(&metrics));
        (products, metrics)
    }

    /// Runs statements that another domain would run.
    pub(crate) async fn sql(&self, texts: Vec<String>) {
        // Each in a transaction of its own: together they could exceed a write's deadline.
        for text in texts {
            let done = self.base.db.write(text, |text, tx| {
                Box::pin(async move {
                    query(AssertSqlSafe(text.clone()))
                        .execute(tx.connection())
                        .await?;
                    Ok::<(), Abort<()>>(())
                })
            });
            let done: Result<(), WriteError<()>> = done.await;
            done.unwrap();
        }
    }

    pub(crate) async fn rows(&self, text: String) -> Vec<AnyRow> {
        let mut connection = self.base.db.read().await.unwrap();
        let rows = query(AssertSqlSafe(text)).fetch_all(&mut *connection);
        rows.await.unwrap()
    }

    pub(crate) async fn int(&self, text: &str) -> i64 {
        self.rows(text.to_owned()).await[0].try_get(0).unwrap()
    }

    /// Members 1 to `count`, each with a plan of this many units.
    pub(crate) async fn members(&self, count: i64, providing: i64) {
        let mut texts = Vec::new();
        for id in 1..=count {
            texts.push(format!(
                "insert into member (id, provider, provider_id, name, role, created_at, updated_at) \
                 values ({id}, 'KAKAO', '{id}', 'member {id}', 'ROLE_MEMBER', 1, 1)"
            ));
            texts.push(format!("insert into wallet (member_id) values ({id})"));
            texts.push(format!(
                "insert into plan (member_id, name, category, age_group, providing, monthly_price) \
                 values ({id}, 'p', '5G', 'a', {providing}, 9000)"
            ));
        }
        self.sql(texts).await;
    }

    pub(crate) async fn offer(&self, by: i64, price: i64, units: u16) -> Result<i64, OfferError> {
        self.offer_as(by, price, units, true).await
    }

    pub(crate) async fn offer_as(
        &self,
        by: i64,
        price: i64,
        units: u16,
        split: bool,
    ) -> Result<i64, OfferError> {
        let offered = self.products.offer_data(new_data(by, price, units, split));
        offered.await.map(number)
    }

    pub(crate) async fn edit(&self, id: i64, to: NewData) -> Result<(), OfferError> {
        let product = product(id);
        self.products.change_data(DataChange { product, to }).await
    }

    pub(crate) async fn spot(&self, by: i64, price: i64, place: (f64, f64)) -> i64 {
        let spot = NewSpot::parse(member(by), Kind::Wifi, spot_form(price, place)).unwrap();
        number(self.products.offer_spot(spot).await.unwrap())
    }

    /// Sells units of an offer, as a purchase would.
    pub(crate) async fn sell(&self, id: i64, units: i64) {
        self.base.clock.advance(Duration::from_millis(1));
        let now = self.now_ms();
        self.sql(vec![format!(
            "update product set units_left = units_left - {units}, units_sold = units_sold + {units}, \
             updated_at = {now}, \
             sold_out_at = case when units_left = {units} then {now} else sold_out_at end, \
             state = case when units_left = {units} then 'SOLD_OUT' else state end \
             where id = {id} and state = 'ACTIVE' and units_left >= {units}"
        )])
        .await;
        self.invalidate(Kind::MobileData).await;
    }

    /// Rates a seller's offers, as reviews would.
    pub(crate) async fn rate(&self, id: i64, rate: i64) {
        self.sql(vec![format!(
            "update product set seller_rate = {rate} where id = {id}"
        )])
        .await;
        for kind in Kind::ALL {
            self.invalidate(kind).await;
        }
    }

    pub(crate) async fn list(&self, query: ListQuery) -> OfferPage {
        self.products.lists().list(query).await.unwrap()
    }

    /// Reads all pages of a list; returns the ids.
    pub(crate) async fn walk(&self, mut query: ListQuery) -> Vec<i64> {
        let mut ids = Vec::new();
        loop {
            let page = self.list(query).await;
            ids.extend(ids_of(&page));
            assert!(ids.len() < 100_000, "a walk without an end");
            match page.next {
                None => return ids,
                next => query.after = next,
            }
        }
    }

    pub(crate) fn now_ms(&self) -> i64 {
        shared::clock::Clock::unix_millis(&*self.base.clock).get()
    }

    /// The ids that a list must contain, by its sort key. Independent of the server's SQL and of its boxes.
    pub(crate) async fn truth(&self, asked: &ListQuery) -> Vec<i64> {
        let now = self.now_ms();
        let text = format!(
            "select p.id, p.price, p.unit_price, p.units_left, p.seller_rate, p.updated_at, \
             s.latitude, s.longitude, s.open_minute, s.close_minute \
             from product p left join spot s on s.product_id = p.id where p.kind = '{}' \
             and p.state = 'ACTIVE' and (p.expires_at is null or p.expires_at > {now})",
            asked.kind.name()
        );
        let minute = now / 60_000 % 1_440 + 540; // Seoul is nine hours ahead
        let mut keyed: Vec<(f64, i64)> = Vec::new();
        for row in self.rows(text).await {
            let int = |name: &str| row.try_get::<Option<i64>, _>(name).unwrap();
            let shown = match asked.filter {
                Filter::None => true,
                Filter::Units(units) => int("units_left") == Some(i64::from(units.get())),
                Filter::Open => {
                    let opens = int("open_minute").unwrap();
                    let (closes, now) = (int("close_minute").unwrap(), minute % 1_440);
                    let until = (closes - opens).rem_euclid(1_440);
                    until == 0 || (now - opens).rem_euclid(1_440) <= until
                }
            };
            if shown {
                let key = match asked.sort {
                    Sort::Recent => -int("updated_at").unwrap() as f64,
                    Sort::UnitPrice => int("unit_price").unwrap() as f64,
                    Sort::Price => int("price").unwrap() as f64,
                    Sort::FewestUnits => int("units_left").unwrap() as f64,
                    Sort::MostUnits => -int("units_left").unwrap() as f64,
                    Sort::BestRated => -int("seller_rate").unwrap() as f64,
                    Sort::Nearest => {
                        let place = (row.try_get("latitude"), row.try_get("longitude"));
                        let place = at(place.0.unwrap(), place.1.unwrap());
                        asked.at.unwrap().distance_m(place)
                    }
                };
                keyed.push((key, int("id").unwrap()));
            }
        }
        keyed.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
        keyed.into_iter().map(|(_, id)| id).collect()
    }
}

pub(crate) fn ids_of(page: &OfferPage) -> Vec<i64> {
    page.rows.iter().map(|row| number(row.id)).collect()
}

pub(crate) fn new_data(by: i64, price: i64, units: u16, split: bool) -> NewData {
    NewData {
        member: member(by),
        price: Price::parse(price).unwrap(),
        units: Units::new(units),
        sale: if split { Sale::Split } else { Sale::Whole },
    }
}

pub(crate) fn spot_form(price: i64, (latitude, longitude): (f64, f64)) -> SpotForm {
    SpotForm {
        price,
        title: "Café".to_owned(),
        content: "fast".to_owned(),
        latitude,
        longitude,
        address: "Seoul".to_owned(),
        opens_at: "2026-11-01T09:00:00".parse().unwrap(),
        closes_at: "2026-11-02T18:00:00".parse().unwrap(),
        images: vec!["https://img.example/a.png".to_owned()],
        capacity: None,
    }
}

/// The query of member 1, in the middle of Seoul, for a first page.
pub(crate) fn first_page(kind: Kind, sort: Sort, rows: u32) -> ListQuery {
    ListQuery {
        reader: member(1),
        kind,
        sort,
        filter: Filter::None,
        size: page_size(rows),
        after: None,
        at: (kind != Kind::MobileData).then(|| at(SEOUL.0, SEOUL.1)),
    }
}

pub(crate) fn cursor(number: u64) -> Option<Cursor> {
    Some(Cursor::parse(number).unwrap())
}

/// The number of occurrences of each id.
pub(crate) fn counted(ids: &[i64]) -> HashMap<i64, usize> {
    let mut counts = HashMap::new();
    for id in ids {
        *counts.entry(*id).or_default() += 1;
    }
    counts
}
