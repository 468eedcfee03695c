//! The scenarios: who asks for what, how much of it at once, and what must come of it.
//!
//! Each scenario has members of its own, so that one does not use up the month's limits of another.

use clap::ValueEnum;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use shared::clock::{Clock as _, SystemClock};
use shared::web::ErrorCode;
use tokio::time::timeout;

use super::client::{Ask, Client, Code, since};
use super::cpu;
use super::error::MarketError;
use super::ground::{Ground, Member};
use super::report::{EVERY, Progress};
use super::sample::{Figures, Sample};
use super::{MONTH_OFFERS_MAX, PRICE, Sizes};

/// Sellers that offer at once during the preparation.
const SELLERS_AT_ONCE: usize = 16;

/// Purchases at once beside the readers of lists: fewer than readers, so that both last a while.
const BUYERS_BESIDE_READERS: usize = 8;

/// The orders that readers read lists in, by turns.
const SORTS: [&str; 4] = ["RECENT", "PRICE_ASC", "AMOUNT_ASC", "AMOUNT_DESC"];

/// What is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Scenario {
    /// All buyers buy one whole offer at once: one gets it
    Hot,
    /// Each of as many buyers buys another offer of one seller, all at once
    Seller,
    /// Pairs of members buy each other's offers, all at once
    Opposite,
    /// Members read lists while others buy
    Lists,
    /// Members read one page of a list that nobody changes
    Cached,
}

impl Scenario {
    pub(crate) const ALL: [Self; 5] = [
        Self::Hot,
        Self::Seller,
        Self::Opposite,
        Self::Lists,
        Self::Cached,
    ];
}

/// A request of a member.
#[derive(Clone, Debug)]
struct Shot<'a> {
    by: &'a Member,
    ask: Ask,
}

/// Runs scenarios against one server.
#[derive(Debug)]
pub(crate) struct Stage<'a> {
    pub(crate) ground: &'a Ground,
    pub(crate) client: &'a Client,
    pub(crate) sizes: &'a Sizes,
    /// Makes the idempotency keys of this run its own.
    pub(crate) run: &'a str,
    /// The server's process, to show its processor time.
    pub(crate) server_pid: Option<u32>,
}

impl<'a> Stage<'a> {
    pub(crate) async fn run(&self, scenario: Scenario) -> Result<Vec<Figures>, MarketError> {
        match scenario {
            Scenario::Hot => self.hot().await.map(|figures| vec![figures]),
            Scenario::Seller => self.seller().await.map(|figures| vec![figures]),
            Scenario::Opposite => self.opposite().await.map(|figures| vec![figures]),
            Scenario::Lists => self.lists().await,
            Scenario::Cached => self.cached().await.map(|figures| vec![figures]),
        }
    }

    async fn hot(&self) -> Result<Figures, MarketError> {
        let sellers = self.ground.members("hot-seller", 1).await?;
        let buyers = self.ground.members("hot", self.sizes.buyers).await?;
        let rounds = self.sizes.rounds;
        let offers = self.offers(&sellers, rounds).await?.concat();
        let expected = [
            (Code::DONE, 1),
            (Code::of(ErrorCode::SoldOut), buyers.len() - 1),
        ];
        let (mut all, mut findings) = (Sample::default(), Vec::new());
        for offer in offers {
            let shots = buyers.iter().map(|by| self.purchase("hot", by, offer));
            let sample = self.send("hot", shots.collect(), buyers.len()).await;
            findings.extend(sample.judge(&expected));
            all.append(sample);
        }
        Ok(all.figures("hot", findings))
    }

    async fn seller(&self) -> Result<Figures, MarketError> {
        let sellers = self.ground.members("seller-one", 1).await?;
        let buyers = self.ground.members("seller", self.sizes.offers).await?;
        let seller = sellers.first().map(|seller| seller.id);
        let mut offers = Vec::new();
        if let Some(seller) = seller {
            let inserted = self.ground.offers_beyond_limit(seller, buyers.len(), PRICE);
            offers = inserted.await?;
        }
        let pairs = buyers.iter().zip(offers);
        let shots: Vec<_> = pairs
            .map(|(by, offer)| self.purchase("seller", by, offer))
            .collect();
        let expected = [(Code::DONE, shots.len())];
        let sample = self.send("seller", shots, buyers.len()).await;
        Ok(sample.figures("seller", sample.judge(&expected)))
    }

    async fn opposite(&self) -> Result<Figures, MarketError> {
        let members = self
            .ground
            .members("opposite", self.sizes.pairs * 2)
            .await?;
        let each = self.sizes.purchases.div_ceil(members.len());
        let offers = self.offers(&members, each).await?;
        let mut shots = Vec::new();
        // In the order in which both sides of a pair buy at the same time.
        for nth in 0..each {
            for (pair, theirs) in members.chunks_exact(2).zip(offers.chunks_exact(2)) {
                let crossed = [(0, 1), (1, 0)].map(|(buyer, seller)| {
                    let offer = theirs[seller].get(nth)?;
                    Some(self.purchase("opposite", &pair[buyer], *offer))
                });
                shots.extend(crossed.into_iter().flatten());
            }
        }
        shots.truncate(self.sizes.purchases);
        let expected = [(Code::DONE, self.sizes.purchases)];
        let at_once = shots.len();
        let sample = self.send("opposite", shots, at_once).await;
        Ok(sample.figures("opposite", sample.judge(&expected)))
    }

    async fn lists(&self) -> Result<Vec<Figures>, MarketError> {
        let traders = self.sizes.offers.div_ceil(MONTH_OFFERS_MAX);
        let sellers = self.ground.members("lists-seller", traders).await?;
        let buyers = self.ground.members("lists-buyer", traders).await?;
        let readers = self.ground.members("lists", self.sizes.readers).await?;
        let offers = self.offers(&sellers, MONTH_OFFERS_MAX).await?.concat();
        let bought = &offers[..self.sizes.offers.min(offers.len())];
        let purchases: Vec<_> = buyers
            .iter()
            .cycle()
            .zip(bought)
            .map(|(by, offer)| self.purchase("lists", by, *offer))
            .collect();
        let reads: Vec<_> = (0..self.sizes.reads)
            .flat_map(|nth| readers.iter().map(move |by| read(by, nth)))
            .collect();
        let expected = [purchases.len(), reads.len()].map(|count| [(Code::DONE, count)]);
        let (purchases, reads) = tokio::join!(
            self.send("lists: purchases", purchases, BUYERS_BESIDE_READERS),
            self.send("lists: reads", reads, readers.len()),
        );
        let mut findings = reads.judge(&expected[1]);
        if let Some(reader) = readers.first() {
            // A purchase invalidates the lists before its response is sent.
            let listed = self.client.newest(reader).await?;
            let sold = listed.iter().filter(|id| bought.contains(id)).count();
            if sold > 0 {
                findings.push(format!("the list still shows {sold} sold offers"));
            }
        }
        Ok(vec![
            purchases.figures("lists: purchases", purchases.judge(&expected[0])),
            reads.figures("lists: reads", findings),
        ])
    }

    async fn cached(&self) -> Result<Figures, MarketError> {
        let sellers = self.ground.members("cached-seller", 1).await?;
        let readers = self.ground.members("cached", self.sizes.readers).await?;
        self.offers(&sellers, MONTH_OFFERS_MAX).await?;
        let reads = |count: usize| -> Vec<_> {
            let rounds = (0..count).flat_map(|_| readers.iter());
            rounds.map(|by| read(by, 0)).collect()
        };
        // Connections, sessions and the page are there before the time is taken.
        self.send("cached", reads(1), readers.len()).await;
        let cpu = || self.server_pid.map(cpu::of_process).transpose();
        let before = cpu()?;
        let sample = self
            .send("cached", reads(self.sizes.reads), readers.len())
            .await;
        let spent = before.zip(cpu()?);
        let findings = sample.judge(&[(Code::DONE, readers.len() * self.sizes.reads)]);
        let mut figures = sample.figures("cached", findings);
        figures.cpu_ms = spent.map(|(before, after)| {
            after.saturating_sub(before).as_secs_f64() * 1_000.0 / figures.requests.max(1) as f64
        });
        Ok(figures)
    }

    /// Each of these sellers offers so often 0.1 GB as a whole; their offers.
    async fn offers(&self, sellers: &[Member], each: usize) -> Result<Vec<Vec<u32>>, MarketError> {
        let offered = stream::iter(sellers).map(|seller| async move {
            for _ in 0..each {
                self.client.offer(seller, PRICE).await?;
            }
            self.client.offers_of(seller).await
        });
        offered.buffered(SELLERS_AT_ONCE).try_collect().await
    }

    fn purchase<'m>(&self, scenario: &str, by: &'m Member, offer: u32) -> Shot<'m> {
        let key = format!("{}-{scenario}-{offer}-{}", self.run, by.id);
        let ask = Ask::Buy { offer, key };
        Shot { by, ask }
    }

    /// Sends requests in this order, so many at once, and measures them.
    async fn send(&self, scenario: &'static str, shots: Vec<Shot<'_>>, at_once: usize) -> Sample {
        let begun = SystemClock.now();
        let progress = Progress::new(scenario, shots.len(), begun);
        let mut sample = Sample::default();
        let mut shown = begun;
        let measured = shots
            .iter()
            .map(|shot| self.client.measure(shot.by, &shot.ask));
        let mut answers = stream::iter(measured).buffer_unordered(at_once.max(1));
        loop {
            let left = EVERY.saturating_sub(since(shown));
            match timeout(left, answers.next()).await {
                Ok(Some(answer)) => sample.add(answer),
                Ok(None) => break,
                Err(_elapsed) => {
                    shown = SystemClock.now();
                    progress.print(&sample);
                }
            }
        }
        sample.took = since(begun);
        progress.end();
        sample
    }
}

fn read(by: &Member, nth: usize) -> Shot<'_> {
    let sort = SORTS[nth % SORTS.len()];
    Shot {
        by,
        ask: Ask::List { sort },
    }
}
