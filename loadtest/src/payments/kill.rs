//! `loadtest payments kill`: members charge and get cash back while the market's processes are killed. The gateway and
//! the payout provider are in this process, so that their books outlive every kill.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use clap::Args;
use fakes::payout::{FakePayout, PayoutPlan};
use fakes::toss::{FakeToss, FaultPlan, Rates, WebhookRates};
use rand::RngExt as _;
use rand::SeedableRng as _;
use rand::rngs::StdRng;
use shared::claims::TokenScope;
use shared::clock::{Clock as _, SystemClock};
use shared::drain::Drain;
use tokio::process::Command;
use tokio::time::sleep;

use super::books::Books;
use super::database::Database;
use super::judge::judge;
use super::records::{Records, Rigour};
use super::report::{print_progress, print_records, print_verdict};
use super::sabotage::{passed_over, spoil};
use super::stage::{HOOK_SECRET, PAYOUT_KEY, TOSS_SECRET, folder_of, serve};
use super::traffic::Traffic;
use super::{Common, PaymentsError};
use crate::events::site::MarketNode;
use crate::fault::FaultError;
use crate::fault::process::output;
use crate::market::client::since;
use crate::market::ground::Ground;
use crate::prepare::Key;

const MEMBERS: usize = 40;

/// The bank takes this time for a payout.
const PAYS_AFTER: Duration = Duration::from_secs(2);

/// Kills of the short form.
const SHORT: u32 = 6;

/// After the last fault, the reconciler has this time by itself. A killed one's leases expire within a minute.
const ALONE: Duration = Duration::from_secs(150);

/// Then an operator makes everything due, again and again, so long at most: queries that failed often are minutes
/// apart.
const RECHECKED_MAX: Duration = Duration::from_secs(150);
const RECHECK_EVERY: Duration = Duration::from_secs(6);

/// How often the rows without an outcome are counted.
const COUNT_EVERY: Duration = Duration::from_millis(500);

/// `loadtest payments kill`
#[derive(Clone, Debug, Args)]
pub(crate) struct Kill {
    #[command(flatten)]
    common: Common,

    /// The market; two processes with PostgreSQL, one with SQLite
    #[arg(long, default_value = "target/debug/market-api", value_name = "FILE")]
    market_api: PathBuf,

    /// Kills
    #[arg(long, default_value_t = 50, value_name = "COUNT")]
    kills: u32,

    /// 6 kills, and operators recheck what is open at once
    #[arg(long)]
    short: bool,
}

/// Servers of a run.
#[derive(Debug)]
struct Site {
    ground: Ground,
    nodes: Vec<MarketNode>,
    toss: Arc<FakeToss>,
    payout: Arc<FakePayout>,
    drain: Drain,
    flag: String,
}

impl Kill {
    /// # Errors
    /// The run could not be completed, or a promise was broken.
    pub(crate) async fn run(&self) -> Result<(), PaymentsError> {
        let kills = if self.short { SHORT } else { self.kills };
        let begun = self.common.begin(&format!("{kills} kills")).await?;
        let mut site = Box::pin(self.start(&begun.database, &begun.folder, &begun.run)).await?;
        let judged = Box::pin(self.judged(&mut site, begun.seed, kills, begun.at)).await;
        for node in &mut site.nodes {
            node.kill().await?;
        }
        site.drain.begin();
        site.drain.hard().cancel();
        site.ground.close().await;
        begun.database.remove().await?;
        judged
    }

    async fn start(
        &self,
        database: &Database,
        folder: &std::path::Path,
        run: &str,
    ) -> Result<Site, PaymentsError> {
        let keys = folder_of(folder, "keys")?;
        Key {
            folder: keys.clone(),
        }
        .run()?;
        let drain = Drain::new();
        let clock = Arc::new(SystemClock);
        let toss = Arc::new(FakeToss::new(TOSS_SECRET, Arc::clone(&clock) as _));
        let payout = FakePayout::new(PAYOUT_KEY, clock as _).pays_after(PAYS_AFTER);
        let payout = Arc::new(payout);
        let at_toss = serve(&drain, Arc::clone(&toss).router()).await?;
        let at_payout = serve(&drain, Arc::clone(&payout).router()).await?;
        let flags = [
            format!("--db={}", database.flag()),
            format!("--signing-keys={}", keys.display()),
            format!("--images=file:{}", folder.join("images").display()),
            format!("--toss-url=http://{at_toss}"),
            format!("--toss-secret-key={TOSS_SECRET}"),
            format!("--toss-webhook-secret={HOOK_SECRET}"),
            format!("--payout-url=http://{at_payout}"),
            format!("--payout-key={PAYOUT_KEY}"),
            "--address-rate=0".to_owned(),
            "--member-rate=0".to_owned(),
        ];
        // SQLite has one writing process.
        let count = match database {
            Database::Sqlite(_) => 1,
            Database::Postgres { .. } => 2,
        };
        let mut nodes = Vec::new();
        for number in 0..count {
            nodes.push(MarketNode::first(number, &self.market_api, folder, &flags).await?);
        }
        let hook = format!("http://{}/hooks/toss/{HOOK_SECRET}", nodes[0].public());
        toss.send_webhooks_to(&hook)
            .map_err(|_reason| FaultError::Unfit("webhooks cannot be sent"))?;
        let scope = TokenScope {
            issuer: "dapanda".to_owned(),
            audience: "dapanda".to_owned(),
        };
        let ground = Ground::open(&database.url(), &keys, scope, run.to_owned()).await?;
        Ok(Site {
            ground,
            nodes,
            toss,
            payout,
            drain,
            flag: database.flag(),
        })
    }

    async fn judged(
        &self,
        site: &mut Site,
        seed: u64,
        kills: u32,
        begun: Instant,
    ) -> Result<(), PaymentsError> {
        let members = site.ground.members("kill", MEMBERS).await?;
        let addresses = site.nodes.iter().map(MarketNode::public).collect();
        let traffic = Traffic::new(addresses, members, Arc::clone(&site.toss))?;
        set_faults(site, seed);
        let toss = Arc::clone(&site.toss);
        let webhooks = toss.serve_webhooks();
        let work = async {
            let killing = async {
                let hit = kill_all(site, &traffic, seed, kills).await;
                traffic.stop.store(true, Ordering::Relaxed);
                hit
            };
            let ((), hit) = tokio::join!(traffic.run(seed), killing);
            let hit = hit?;
            let unanswered = traffic.unanswered.load(Ordering::Relaxed);
            let what = format!(
                "{kills} kills, {hit} requests in flight at them, {unanswered} attempts without an answer"
            );
            print_progress(begun, &what)?;
            site.toss.set_plan(FaultPlan::default());
            site.payout.set_plan(PayoutPlan::default());
            self.settle(site, begun).await?;
            traffic.repeat_all().await;
            Ok::<_, PaymentsError>(())
        };
        tokio::select! {
            done = work => done?,
            () = webhooks => {}
        }
        let mut records = collect(site, &traffic, &self.market_api).await?;
        print_records(&records)?;
        for one in &self.common.sabotage {
            spoil(*one, &mut records)?;
        }
        let violations = judge(&records, self.rigour());
        if violations.is_empty() {
            // The judge is tested with the records of this run, too.
            if let Some(sabotage) = passed_over(&records, self.rigour())?.first() {
                print_progress(begun, &format!("{sabotage:?} was not found"))?;
                return Err(PaymentsError::Broken(1));
            }
        }
        print_progress(begun, "judged")?;
        print_verdict(&violations)
    }

    const fn rigour(&self) -> Rigour {
        if self.short {
            Rigour::Soon
        } else {
            Rigour::All
        }
    }

    /// Waits until the reconcilers have found out everything that can be.
    async fn settle(&self, site: &Site, begun: Instant) -> Result<(), PaymentsError> {
        let began = SystemClock.now();
        let alone = if self.short { Duration::ZERO } else { ALONE };
        let (mut rechecks, mut last) = (0, None);
        loop {
            let books = Books::read(&site.ground.db).await?;
            let records = Records {
                books,
                gateway: site.toss.book(),
                payouts: site.payout.book(),
                now: SystemClock.unix_millis().get(),
                ..Records::default()
            };
            let waits = |kind| ["open", "leg_open", "refund_open"].contains(&kind);
            let found = judge(&records, self.rigour()).into_iter();
            let open = found.filter(|one| waits(one.kind)).count() + unsettled(&records);
            let took = since(began);
            if open == 0 || took > alone + RECHECKED_MAX {
                let what = format!(
                    "{open} without an outcome {:.0} s after the last fault, {rechecks} rechecks",
                    took.as_secs_f64()
                );
                print_progress(begun, &what)?;
                return Ok(());
            }
            if took >= alone && last.is_none_or(|last| since(last) > RECHECK_EVERY) {
                let mut command = Command::new(&self.market_api);
                command.args(["payments", "recheck", "--all-open"]);
                output("market-api", command.arg(format!("--db={}", site.flag))).await?;
                (rechecks, last) = (rechecks + 1, Some(SystemClock.now()));
            }
            sleep(COUNT_EVERY).await;
        }
    }
}

/// Charges that are open though the gateway still waits for their confirmation, and payouts that are on their way.
fn unsettled(records: &Records) -> usize {
    let charges = records.books.charges.values();
    let charges = charges.filter(|one| ["CONFIRMING", "UNKNOWN"].contains(&one.state.as_str()));
    let accepted = fakes::payout::PayoutStatus::Accepted;
    let payouts = records.payouts.iter().filter(|one| one.status == accepted);
    charges.count() + payouts.count()
}

/// Many calls take their time, so that a kill finds some of them between the market's transactions.
fn set_faults(site: &Site, seed: u64) {
    let calls = Rates {
        delay: 300,
        lost_before: 20,
        lost_after: 40,
        server_error: 20,
        server_error_after: 5,
        ..Rates::default()
    };
    site.toss.set_plan(FaultPlan {
        seed,
        confirm: calls,
        cancel: Rates {
            refused: 20,
            ..calls
        },
        get: Rates {
            delay: 20,
            lost_after: 0,
            ..calls
        },
        webhooks: WebhookRates {
            lost: 100,
            duplicated: 100,
            ..WebhookRates::default()
        },
        delay_max: Duration::from_millis(800),
    });
    site.payout.set_plan(PayoutPlan {
        seed,
        lost_before: 20,
        lost_after: 50,
        server_error: 20,
        refused: 50,
    });
}

/// Kills a process and starts it again, so many times; how many requests were in flight at the kills.
async fn kill_all(
    site: &mut Site,
    traffic: &Traffic,
    seed: u64,
    kills: u32,
) -> Result<usize, PaymentsError> {
    let mut rng = StdRng::seed_from_u64(seed);
    let mut hit = 0;
    for _ in 0..kills {
        sleep(Duration::from_millis(rng.random_range(200..2_500))).await;
        let number = rng.random_range(0..site.nodes.len());
        hit += traffic.in_flight.load(Ordering::Relaxed);
        let node = &mut site.nodes[number];
        node.kill().await?;
        sleep(Duration::from_millis(rng.random_range(0..300))).await;
        node.start().await?;
    }
    Ok(hit)
}

async fn collect(
    site: &Site,
    traffic: &Traffic,
    market_api: &std::path::Path,
) -> Result<Records, PaymentsError> {
    let mut verify = Command::new(market_api);
    verify.args(["verify-ledger", &format!("--db={}", site.flag)]);
    let verified = output("market-api verify-ledger", &mut verify).await;
    let (orders, requests) = traffic.records();
    Ok(Records {
        orders,
        requests,
        books: Books::read(&site.ground.db).await?,
        gateway: site.toss.book(),
        payouts: site.payout.book(),
        queries: Vec::new(),
        webhooks: Vec::new(),
        ledger: verified
            .err()
            .map(|error| error.to_string())
            .into_iter()
            .collect(),
        now: SystemClock.unix_millis().get(),
    })
}
