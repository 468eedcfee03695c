//! Runner: from the first process to the verdict.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use shared::clock::{Clock as _, SystemClock};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::sleep;

use super::books::{Books, Pending};
use super::inbox::Reader;
use super::judge::{Entry, Inbox, Report, Trades, judge};
use super::member::{INBOX, Listener, Memory};
use super::purchases::{Orders, Purchase, buy_all};
use super::report::{Outcome, print_latencies, print_progress};
use super::sabotage::{passed_over, spoil};
use super::schedule::{Log, carry_out};
use super::site::Site;
use super::{Events, EventsError};
use crate::fault::FaultError;
use crate::fault::board::{Board, State};
use crate::market::client::since;
use crate::market::ground::Member;

/// How long members may take to connect.
const CONNECT_MAX: Duration = Duration::from_secs(60);

/// How long the outbox may take to be empty after the last fault: the lease of a killed relay, the
/// longest back-off, bookings that have not ended, and the lease of an announcement that a kill cut short.
const DRAIN_MAX: Duration = Duration::from_secs(300);

/// How long sockets may take to be level with the logs after that.
const LEVEL_MAX: Duration = Duration::from_secs(90);

/// Pause between two undisturbed purchases: far above what one takes, so that none waits for another.
const CALM_EVERY: Duration = Duration::from_millis(100);

/// Inboxes that are read at once.
const READS_AT_ONCE: usize = 4;

pub(super) async fn run(events: &Events) -> Result<(), EventsError> {
    let begun = SystemClock.now();
    let run = format!("{:08x}", rand::random::<u32>());
    let seed = events.seed.unwrap_or_else(rand::random);
    print_progress(begun, &format!("run {run}, --seed {seed}"))?;
    let mut site = Site::start(events, &run).await?;
    let volume = events.volume();
    let members = site.ground.members("events", volume.members).await?;
    let client = site.client()?;
    let Orders { calm, rough } = volume.prepare(&client, &members, &run).await?;
    let crowd = Crowd::start(&site, &members).await?;
    print_progress(begun, "the site is ready, and all members are connected")?;

    let calm_purchases = buy_all(&client, &members, calm, CALM_EVERY).await;
    print_progress(
        begun,
        &format!("{} purchases without faults", calm_purchases.len()),
    )?;
    let blows = events.rhythm().draw(seed);
    let (rough_purchases, log) = tokio::join!(
        async {
            let done = buy_all(&client, &members, rough, volume.every).await;
            print_progress(begun, &format!("{} purchases with faults", done.len())).map(|()| done)
        },
        carry_out(&blows, &mut site)
    );
    let (rough_purchases, log) = (rough_purchases?, log?);
    print_progress(begun, "the last fault is over")?;

    let mut outcome = Outcome::default();
    drain(&site, &mut outcome).await?;
    print_progress(begun, "the outbox is empty, and all bookings have ended")?;
    let evidence = Evidence {
        purchases: [calm_purchases, rough_purchases],
        log,
    };
    evidence
        .judge(events, site, &members, crowd, &mut outcome)
        .await?;
    outcome.print(since(begun))
}

/// Waits until nothing is left to be relayed or announced.
async fn drain(site: &Site, outcome: &mut Outcome) -> Result<(), EventsError> {
    let began = SystemClock.now();
    loop {
        let pending = Pending::read(&site.ground.db).await?;
        if pending.dead > 0 {
            outcome.violate("dead", format!("{pending:?}"));
        }
        if pending.is_done() || pending.dead > 0 {
            return Ok(());
        }
        if since(began) > DRAIN_MAX {
            outcome.violate("not_relayed", format!("after {DRAIN_MAX:?}: {pending:?}"));
            return Ok(());
        }
        sleep(Duration::from_millis(250)).await;
    }
}

/// The members' sockets.
struct Crowd {
    board: Board,
    stop: watch::Sender<bool>,
    tasks: JoinSet<Memory>,
}

impl Crowd {
    async fn start(site: &Site, members: &[Member]) -> Result<Self, EventsError> {
        let board = Board::default();
        let (stop, stopped) = watch::channel(false);
        let mut tasks = JoinSet::new();
        for member in members {
            let listener = Listener::new(
                number(member),
                member.token.expose().clone(),
                site.cluster.balancer.address,
                board.clone(),
                stopped.clone(),
            );
            tasks.spawn(listener.run());
        }
        let all = members.len();
        let connected = |s: &State| s.node_of.len() == all;
        let crowd = Self { board, stop, tasks };
        crowd
            .board
            .until("all members are connected", CONNECT_MAX, connected)
            .await?;
        Ok(crowd)
    }

    /// Waits until each socket has what is in its log. The judge reports what is missing after that.
    async fn until_level(&self, inboxes: &[Inbox]) {
        let heads = inboxes.iter().map(|inbox| {
            let head = inbox.log.iter().map(|entry| entry.id).max();
            (inbox.member, head.unwrap_or_default())
        });
        let heads: Vec<(u32, u64)> = heads.collect();
        let level = |s: &State| {
            heads.iter().all(|(member, head)| {
                let seen = s.seen.get(&(*member, INBOX)).copied();
                seen.unwrap_or_default() >= *head
            })
        };
        drop(
            self.board
                .until("sockets are level", LEVEL_MAX, level)
                .await,
        );
    }

    async fn finish(mut self) -> Result<BTreeMap<u32, Memory>, FaultError> {
        // The receivers are in the tasks, which have not ended.
        self.stop.send_replace(true);
        let mut memories = BTreeMap::new();
        while let Some(memory) = self.tasks.join_next().await {
            let memory = memory.map_err(|_lost| FaultError::Unfit("a member panicked"))?;
            memories.insert(memory.member, memory);
        }
        Ok(memories)
    }
}

/// What a run leaves behind, besides the servers.
struct Evidence {
    /// Without and with faults.
    purchases: [Vec<Purchase>; 2],
    log: Log,
}

impl Evidence {
    async fn judge(
        self,
        events: &Events,
        site: Site,
        members: &[Member],
        crowd: Crowd,
        outcome: &mut Outcome,
    ) -> Result<(), EventsError> {
        let books = Books::read(&site.ground.db).await?;
        let mut trades = self.trades(&books, outcome);
        let mut inboxes = read_inboxes(&site, members, &books).await?;
        crowd.until_level(&inboxes).await;
        let counts = crowd.board.with(|s| s.counts.clone());
        let mut memories = crowd.finish().await?;
        let arrivals = arrivals(&memories);
        for inbox in &mut inboxes {
            let memory = memories.remove(&inbox.member);
            let seen = memory.into_iter().flat_map(|memory| memory.seen);
            inbox.live = seen.map(|seen| seen.entry).collect();
        }
        let ledger = site.ground.violations().await?;
        site.close().await?;
        for row in ledger {
            outcome.violate("ledger", row);
        }
        for one in &events.sabotage {
            spoil(*one, &mut inboxes, &mut trades)?;
        }
        for violation in judge(&inboxes, &trades) {
            outcome.violate(violation.kind(), format!("{violation:?}"));
        }
        if outcome.is_sound() {
            // The judge is tested with the records of this run, too.
            for sabotage in passed_over(&inboxes, &trades)? {
                outcome.violate("passed_over", format!("{sabotage:?} was not found"));
            }
        }
        let [calm, rough] = &self.purchases;
        print_latencies("without faults", &latencies(calm, &arrivals))?;
        print_latencies("with faults", &latencies(rough, &arrivals))?;
        outcome.note_run(&self.log, counts, &trades);
        outcome.note_entries(&inboxes);
        Ok(())
    }

    fn trades(&self, books: &Books, outcome: &mut Outcome) -> Trades {
        let mut acknowledged = BTreeSet::new();
        for purchase in self.purchases.iter().flatten() {
            outcome.retries += u64::from(purchase.retries);
            match purchase.trade {
                Ok(trade) => drop(acknowledged.insert(trade)),
                Err(code) => outcome.violate("purchase_failed", format!("code {code}")),
            }
        }
        Trades {
            acknowledged,
            committed: books.purchases.clone(),
        }
    }
}

fn number(member: &Member) -> u32 {
    member.id.get()
}

async fn read_inboxes(
    site: &Site,
    members: &[Member],
    books: &Books,
) -> Result<Vec<Inbox>, FaultError> {
    let address = site.cluster.balancer.address;
    let inboxes = stream::iter(members).map(async |one| {
        let member = number(one);
        let token = one.token.expose();
        let reader = Reader {
            member,
            token,
            address,
        };
        let expected = books.expected.get(&member).cloned();
        Ok(Inbox {
            member,
            expected: expected.unwrap_or_default(),
            listed: reader.listed(site.http()).await?,
            log: reader.log().await?,
            live: Vec::new(),
        })
    });
    inboxes.buffered(READS_AT_ONCE).try_collect().await
}

/// When each purchase's notification arrived at its buyer's socket.
fn arrivals(memories: &BTreeMap<u32, Memory>) -> BTreeMap<u32, Instant> {
    let all = memories.values().flat_map(|memory| &memory.seen);
    let bought = all.filter_map(|seen| {
        let Entry { report, .. } = &seen.entry;
        match report {
            Report::Bought(trade) => Some((*trade, seen.at)),
            Report::Sold(_)
            | Report::SoldOut(_)
            | Report::Booking(..)
            | Report::Alarm(..)
            | Report::Other(_) => None,
        }
    });
    bought.collect()
}

/// From the answer to a purchase, which is sent after COMMIT, to its notification; zero if that was first.
fn latencies(purchases: &[Purchase], arrivals: &BTreeMap<u32, Instant>) -> Vec<Duration> {
    let done = purchases.iter().filter_map(|purchase| {
        let arrived = arrivals.get(&purchase.trade.ok()?)?;
        Some(arrived.saturating_duration_since(purchase.answered))
    });
    done.collect()
}
