//! The database side of a run: members with cash, sessions, offers beyond a member's limit, and the
//! verification of the ledger. Everything that is measured goes over HTTP.
//!
//! It writes into the database of the server under test, through the market's own functions where there are
//! any. What it writes stays: a run is for a database that may hold load test members.

use std::convert::Infallible;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use market_api::auth::{Auth, CookieSettings, KeyRing};
use market_api::cash;
use market_api::db::row::column;
use market_api::db::{Abort, Db, DbUrl, Dialect, Tx};
use market_api::ledger;
use market_api::metrics::Metrics;
use market_api::plans::{self, Plan};
use shared::claims::{Role, TokenScope};
use shared::clock::{LocalDateTime, SystemClock};
use shared::config::Secret;
use shared::drain::Drain;
use shared::ids::MemberId;
use shared::money::{Units, Won};
use sqlx::query;

use super::MONTH_OFFERS_MAX;
use super::error::MarketError;

/// Cash of each member: enough for every purchase of a run.
pub(crate) const OPENING: Won = Won::new(1_000_000);

/// Members inserted in one transaction: on SQLite a transaction must end within a second.
const MEMBERS_AT_ONCE: usize = 20;

/// Concurrent writes.
const WRITES_AT_ONCE: usize = 16;

/// Bound of key files looked at.
const FILES_MAX: usize = 1_000;

/// The database and the keys of the server under test.
#[derive(Debug)]
pub(crate) struct Ground {
    pub(crate) db: Db,
    auth: Auth,
    drain: Drain,
    /// Distinguishes the members of this run.
    run: String,
}

/// A member of the run.
#[derive(Clone, Debug)]
pub(crate) struct Member {
    pub(crate) id: MemberId,
    pub(crate) token: Secret<String>,
}

/// Members to insert, by their numbers in the run.
#[derive(Clone, Debug)]
struct Batch {
    run: String,
    numbers: Range<usize>,
}

/// Offers of 0.1 GB to insert, all in one month.
#[derive(Clone, Copy, Debug)]
struct OffersOfMonth {
    seller: MemberId,
    count: usize,
    months_ago: usize,
    price: Won,
}

impl Ground {
    /// Opens the database and the keys of a server, which must exist.
    pub(crate) async fn open(
        url: &DbUrl,
        keys: &Path,
        scope: TokenScope,
        run: String,
    ) -> Result<Self, MarketError> {
        if let DbUrl::Sqlite(path) = url
            && !path.exists()
        {
            return Err(MarketError::NoDatabase(path.clone()));
        }
        if !holds_key(keys)? {
            return Err(MarketError::NoKey(keys.to_owned()));
        }
        let (metrics, drain) = (Arc::new(Metrics::new()), Drain::new());
        let keys = Arc::new(KeyRing::open(keys, scope, Arc::new(SystemClock))?);
        let db = Db::open(url, Arc::new(SystemClock), Arc::clone(&metrics), &drain).await?;
        // No cookie is set: the tokens are sent as bearer tokens.
        let cookies = CookieSettings {
            domain: None,
            secure: true,
        };
        let auth = Auth::new(db.clone(), keys, Arc::new(SystemClock), metrics, cookies);
        Ok(Self {
            db,
            auth,
            drain,
            run,
        })
    }

    /// New members, each with a plan of 100 GB, cash and a session.
    pub(crate) async fn members(
        &self,
        group: &'static str,
        count: usize,
    ) -> Result<Vec<Member>, MarketError> {
        let run = format!("{}-{group}", self.run);
        let ids = new_members(&self.db, &run, count).await?;
        let sessions = stream::iter(ids).map(|id| async move {
            let tokens = self.auth.issue(id, Role::Member).await?;
            Ok(Member {
                id,
                token: tokens.access,
            })
        });
        sessions.buffered(WRITES_AT_ONCE).try_collect().await
    }

    /// Inserts offers of 0.1 GB of one seller beyond what a member may list in a month: they count for this
    /// month and those before it, twenty for each, so that the ledger's limits hold. All are for sale now.
    pub(crate) async fn offers_beyond_limit(
        &self,
        seller: MemberId,
        count: usize,
        price: Won,
    ) -> Result<Vec<u32>, MarketError> {
        let mut offers = Vec::with_capacity(count);
        while offers.len() < count {
            let of_month = OffersOfMonth {
                seller,
                count: MONTH_OFFERS_MAX.min(count - offers.len()),
                months_ago: offers.len() / MONTH_OFFERS_MAX,
                price,
            };
            let inserted = self.db.write(of_month, |of_month, tx| {
                Box::pin(insert_offers(of_month, tx))
            });
            offers.extend(
                inserted
                    .await
                    .map_err(|error| MarketError::Db(error.into()))?,
            );
        }
        Ok(offers)
    }

    /// Deadlocks that PostgreSQL has counted in this database; `None` on SQLite, which has one writer.
    pub(crate) async fn deadlocks(&self) -> Result<Option<i64>, MarketError> {
        if self.db.dialect() == Dialect::Sqlite {
            return Ok(None);
        }
        let mut connection = self.db.read().await?;
        let row = query(
            "select coalesce(deadlocks, 0) as deadlocks from pg_stat_database \
             where datname = current_database()",
        )
        .fetch_one(&mut *connection)
        .await
        .map_err(|error| MarketError::Db(error.into()))?;
        let count = column(&row, "deadlocks").map_err(|error| MarketError::Db(error.into()))?;
        Ok(Some(count))
    }

    /// The rows that violate an invariant of the ledger.
    pub(crate) async fn violations(&self) -> Result<Vec<String>, MarketError> {
        let found = ledger::verify(&self.db).await?;
        Ok(found.iter().map(ToString::to_string).collect())
    }

    /// Closes the connections.
    pub(crate) async fn close(self) {
        self.db.close().await;
        self.drain.begin();
    }
}

/// New members, each with a plan of 100 GB and cash; `run` distinguishes them.
pub(crate) async fn new_members(
    db: &Db,
    run: &str,
    count: usize,
) -> Result<Vec<MemberId>, MarketError> {
    let starts = (0..count).step_by(MEMBERS_AT_ONCE);
    let batches = starts.map(|start| Batch {
        run: run.to_owned(),
        numbers: start..count.min(start + MEMBERS_AT_ONCE),
    });
    let inserted = stream::iter(batches)
        .map(|batch| db.write(batch, |batch, tx| Box::pin(insert_members(batch, tx))))
        .buffered(WRITES_AT_ONCE);
    let ids: Vec<Vec<MemberId>> = inserted
        .map_err(|error| MarketError::Db(error.into()))
        .try_collect()
        .await?;
    Ok(ids.concat())
}

/// The key ring would create a key in an empty folder, and the server would refuse its tokens.
fn holds_key(folder: &Path) -> Result<bool, MarketError> {
    let wrong = |error| MarketError::File(folder.to_owned(), error);
    for entry in std::fs::read_dir(folder).map_err(wrong)?.take(FILES_MAX) {
        if entry
            .map_err(wrong)?
            .path()
            .extension()
            .is_some_and(|end| end == "pem")
        {
            return Ok(true);
        }
    }
    Ok(false)
}

async fn insert_members(
    batch: &Batch,
    tx: &mut Tx<'_>,
) -> Result<Vec<MemberId>, Abort<Infallible>> {
    let mut ids = Vec::with_capacity(batch.numbers.len());
    for number in batch.numbers.clone() {
        ids.push(insert_member(&batch.run, number, tx).await?);
    }
    Ok(ids)
}

async fn insert_member(run: &str, number: usize, tx: &mut Tx<'_>) -> Result<MemberId, sqlx::Error> {
    let now = tx.now().get();
    let row = query(
        "insert into member (provider, provider_id, name, role, created_at, updated_at) \
         values ('KAKAO', $1, $2, 'ROLE_MEMBER', $3, $3) returning id",
    )
    .bind(format!("loadtest-{run}-{number}"))
    .bind(format!("load {number}"))
    .bind(now)
    .fetch_one(tx.connection())
    .await?;
    let member = column(&row, "id")?;
    let plan = Plan {
        name: "5G 100GB".to_owned(),
        category: "5G",
        age_group: "ALL",
        providing: Units::new(1_000),
        monthly_price: Won::new(59_000),
    };
    cash::open_in(tx, member).await?;
    plans::insert_in(tx, member, &plan).await?;
    cash::open_balance_in(tx, member, OPENING).await?;
    Ok(member)
}

async fn insert_offers(
    of_month: &OffersOfMonth,
    tx: &mut Tx<'_>,
) -> Result<Vec<u32>, Abort<Infallible>> {
    let (now, seller) = (tx.now().get(), i64::from(of_month.seller));
    let month = (0..of_month.months_ago).fold(tx.month().get(), |month, _| month_before(month));
    let expires_at = LocalDateTime::from_unix(tx.now()).next_month().to_unix();
    query(
        "insert into member_month (member_id, month, providing) values ($1, $2, 1000) \
         on conflict (member_id, month) do nothing",
    )
    .bind(seller)
    .bind(month)
    .execute(tx.connection())
    .await?;
    let mut offers = Vec::with_capacity(of_month.count);
    for _ in 0..of_month.count {
        let row = query(
            "insert into product (member_id, kind, state, price, unit_price, split, units_listed, \
             units_left, units_sold, units_returned, month, expires_at, created_at, updated_at) \
             values ($1, 'MOBILE_DATA', 'ACTIVE', $2, $2, 0, 1, 1, 0, 0, $3, $4, $5, $5) returning id",
        )
        .bind(seller)
        .bind(of_month.price.get())
        .bind(month)
        .bind(expires_at.get())
        .bind(now)
        .fetch_one(tx.connection())
        .await?;
        offers.push(column(&row, "id")?);
    }
    Ok(offers)
}

/// The month before one, as `yyyymm`.
const fn month_before(month: i64) -> i64 {
    if month % 100 == 1 {
        month - 89
    } else {
        month - 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn december_is_before_january() {
        assert_eq!(month_before(202_611), 202_610);
        assert_eq!(month_before(202_601), 202_512);
    }
}
