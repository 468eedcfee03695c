//! `loadtest relay`: how fast a prepared outbox is relayed into the embedded store.
//!
//! Writes events into the outbox of a fresh data folder, starts `dapanda` on it, which calls its chat
//! server in the process, and measures until no row is left. Black box: the same program that people run.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use market_api::db::row::column;
use market_api::db::{Abort, Db, DbUrl, Tx};
use market_api::metrics::Metrics;
use market_api::outbox::{NewEvent, append_all};
use shared::clock::{Clock as _, SystemClock};
use shared::drain::Drain;
use shared::event::{CompletedSale, Event, TradeCompleted};
use shared::ids::{MemberId, ProductId, TradeId};
use shared::money::{Units, Won};
use sqlx::query;
use tokio::process::Command;
use tokio::time::sleep;

use super::EventsError;
use crate::fault::FaultError;
use crate::fault::process::{Process, Readiness, free_address};
use crate::fault::report::print;
use crate::market::client::since;

/// Events appended in one transaction: on SQLite one must end within a second.
const APPEND_AT_ONCE: u32 = 200;

/// How long the program may take to start.
const START_MAX: Duration = Duration::from_secs(60);

/// How long relaying may take.
const RELAY_MAX: Duration = Duration::from_secs(300);

/// Interval of looks at the outbox.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// The counter of appended entries.
const APPENDED: &str = "chat_inbox_entries_total";

/// Clock ticks per second in `/proc`, on every Linux of ours.
const TICKS: f64 = 100.0;

/// `loadtest relay`
#[derive(Clone, Debug, Args)]
pub(crate) struct Relay {
    /// The program with both servers; a release build, or the figure says little
    #[arg(long, default_value = "target/release/dapanda", value_name = "FILE")]
    dapanda: PathBuf,

    /// For its data and log
    #[arg(long, default_value = "target/relay", value_name = "DIR")]
    folder: PathBuf,

    /// Events in the outbox: purchases, each for a buyer and a seller
    #[arg(long, default_value_t = 50_000, value_name = "COUNT", value_parser = clap::value_parser!(u32).range(1_000..=1_000_000))]
    events: u32,

    /// Members that they are for
    #[arg(long, default_value_t = 1_000, value_name = "COUNT", value_parser = clap::value_parser!(u32).range(10..=100_000))]
    members: u32,
}

/// Numbers of events to append.
#[derive(Clone, Debug)]
struct Batch {
    events: std::ops::Range<u32>,
    members: u32,
}

impl Relay {
    /// Measures once.
    ///
    /// # Errors
    /// The measurement could not be completed.
    pub(crate) async fn run(self) -> Result<(), EventsError> {
        crate::fault::until_interrupted(Box::pin(self.measure())).await
    }

    async fn measure(&self) -> Result<(), EventsError> {
        let data = self.folder.join("data");
        drop(std::fs::remove_dir_all(&data));
        let made = std::fs::create_dir_all(&data);
        made.map_err(|error| FaultError::File(data.clone(), error))?;
        // A first start creates the database and its demo data, which are relayed at once.
        let (mut first, address) = self.start(&data)?;
        let readiness = Readiness {
            what: "dapanda is ready".to_owned(),
            admin: address,
            max: START_MAX,
        };
        readiness
            .wait(&reqwest::Client::new(), Some(&mut first))
            .await?;
        let (db, drain) = open(&data).await?;
        until_relayed(&db, START_MAX).await?;
        first.terminate(START_MAX).await?;
        fill(&db, self.events, self.members).await?;

        let begun = SystemClock.now();
        let (program, address) = self.start(&data)?;
        let mut before = waiting(&db).await?;
        let mut first_at = None;
        while before > 0 {
            let now = waiting(&db).await?;
            if first_at.is_none() && now < before {
                first_at = Some((SystemClock.now(), cpu_seconds(&program), now));
            }
            before = now;
            if since(begun) > RELAY_MAX {
                return Err(FaultError::InVain {
                    what: "the outbox is empty".to_owned(),
                    waited: RELAY_MAX,
                }
                .into());
            }
            sleep(LOOK_EVERY).await;
        }
        let Some((at, cpu, left)) = first_at else {
            return Err(FaultError::Unfit("all was relayed between two looks").into());
        };
        let (took, cpu) = (since(at).as_secs_f64(), cpu_seconds(&program) - cpu);
        print(&format!(
            "{left} events to two inboxes each: {took:.2} s, {:.0} events/s, {cpu:.2} s of processor \
             time ({:.0} events per processor second); counted from the first batch on",
            f64::from(left) / took,
            f64::from(left) / cpu.max(0.01),
        ))?;
        let appended = appended(address).await?;
        program.terminate(START_MAX).await?;
        if appended != u64::from(self.events) * 2 {
            let what = format!("{appended} entries in inboxes of {} events", self.events);
            return Err(FaultError::Store(what).into());
        }
        db.close().await;
        drain.begin();
        Ok(())
    }

    fn start(&self, data: &Path) -> Result<(Process, SocketAddr), FaultError> {
        let address = free_address()?;
        let mut command = Command::new(&self.dapanda);
        command
            .args(["--listen", &address.to_string(), "--data"])
            .arg(data);
        let process = Process::start("dapanda", command, self.folder.join("log"))?;
        Ok((process, address))
    }
}

/// Entries of inboxes that the program says it has appended since its start.
async fn appended(address: SocketAddr) -> Result<u64, FaultError> {
    let wrong = |error: reqwest::Error| FaultError::Rest(error.to_string());
    let answer = reqwest::get(format!("http://{address}/metrics")).await;
    let text = answer.map_err(wrong)?.text().await.map_err(wrong)?;
    let mut lines = text.lines();
    let count = lines.find_map(|line| line.strip_prefix(APPENDED)?.trim().parse().ok());
    count.ok_or_else(|| FaultError::Rest(format!("/metrics has no {APPENDED}")))
}

async fn open(data: &Path) -> Result<(Db, Drain), EventsError> {
    let drain = Drain::new();
    let url = DbUrl::Sqlite(data.join("market.db"));
    let db = Db::open(
        &url,
        Arc::new(SystemClock),
        Arc::new(Metrics::new()),
        &drain,
    )
    .await?;
    Ok((db, drain))
}

async fn until_relayed(db: &Db, max: Duration) -> Result<(), EventsError> {
    let begun = SystemClock.now();
    while waiting(db).await? > 0 {
        if since(begun) > max {
            return Err(FaultError::InVain {
                what: "the demo's events are relayed".to_owned(),
                waited: max,
            }
            .into());
        }
        sleep(LOOK_EVERY).await;
    }
    Ok(())
}

async fn waiting(db: &Db) -> Result<u32, EventsError> {
    let mut connection = db.read().await?;
    let row = query("select count(*) as waiting from outbox where dead_at is null")
        .fetch_one(&mut *connection)
        .await?;
    Ok(column(&row, "waiting")?)
}

async fn fill(db: &Db, events: u32, members: u32) -> Result<(), EventsError> {
    for first in (0..events).step_by(APPEND_AT_ONCE as usize) {
        let batch = Batch {
            events: first..events.min(first + APPEND_AT_ONCE),
            members,
        };
        let appended = db.write(batch, |batch, tx| Box::pin(append_batch(batch, tx)));
        appended.await.map_err(market_api::db::DbError::from)?;
    }
    Ok(())
}

async fn append_batch(batch: &Batch, tx: &mut Tx<'_>) -> Result<(), Abort<Infallible>> {
    let events: Vec<NewEvent> = batch
        .events
        .clone()
        .filter_map(|nth| purchase(nth, batch.members))
        .collect();
    append_all(tx, &events).await?;
    Ok(())
}

/// A purchase of 0.1 GB; `None` where ids run out, which the bounds exclude.
fn purchase(nth: u32, members: u32) -> Option<NewEvent> {
    // Above the ids of the demo's trades and members.
    let base = 1_000_000;
    let member = |nth: u32| MemberId::try_from(u64::from(base + nth % members)).ok();
    let (buyer, seller) = (member(nth)?, member(nth + 1)?);
    let trade = TradeId::try_from(u64::from(base + nth * 2)).ok()?;
    let (price, units) = (Won::new(1_000), Units::new(1));
    let sale = CompletedSale {
        trade_id: TradeId::try_from(u64::from(base + nth * 2 + 1)).ok()?,
        seller_id: seller,
        product_id: ProductId::try_from(u64::from(base + nth)).ok()?,
        price,
        fee: Won::new(50),
        data_amount: Some(units),
    };
    Some(NewEvent {
        event: Event::TradeCompleted(TradeCompleted {
            trade_id: trade,
            trade_type: "PURCHASE_MOBILE_SINGLE".to_owned(),
            buyer_id: buyer,
            price,
            data_amount: Some(units),
            time_amount: None,
            sales: vec![sale],
        }),
        aggregate: trade.into(),
        members: vec![buyer, seller],
    })
}

/// Processor time that a process has used; 0 if it has ended.
fn cpu_seconds(process: &Process) -> f64 {
    let stat = process
        .pid()
        .map(|pid| std::fs::read_to_string(format!("/proc/{pid}/stat")));
    let stat = stat.and_then(Result::ok).unwrap_or_default();
    // The command's name is in parentheses and may hold spaces; utime and stime are fields 14 and 15.
    let fields = stat.rsplit(')').next().unwrap_or_default();
    let fields: Vec<&str> = fields.split_whitespace().collect();
    let ticks = |at: usize| {
        fields
            .get(at)
            .and_then(|field| field.parse().ok())
            .unwrap_or(0.0)
    };
    (ticks(11) + ticks(12)) / TICKS
}
