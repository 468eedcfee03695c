//! The list cache: its contract, single flight, and outages of Redis.

use std::net::TcpListener;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU8, Ordering};
use std::time::Duration;

use bytes::Bytes;
use fred::util::redis_keyslot;
use market_api::blocks::Blocks;
use market_api::cache::{Cache, LocalCache, Namespace, RedisCache};
use market_api::products::{Kind, Sort};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::process::{Child, Command};
use tokio::task::JoinSet;

use crate::fixtures::{Market, SEOUL, first_page, member, new_data, product};
use crate::on_both;
use crate::support::{On, eventually};

on_both! {
    thousand_misses_of_one_key_make_one_query,
    thousand_misses_without_a_cache_make_few_queries,
    stale_result_is_not_returned_after_a_change,
    redis_killed_lists_stay_right,
    redis_frozen_lists_stay_right,
    redis_slow_lists_stay_right,
    change_missed_by_redis_is_listed_once_it_is_back,
    block_is_followed_by_every_instance_with_and_without_redis,
}

const SPACE: Namespace = Namespace("TEST");
const HOUR: Duration = Duration::from_secs(3_600);

/// The contract of every adapter.
async fn check_contract(cache: &dyn Cache) {
    let key = format!("key{:x}", rand::random::<u64>());
    assert_eq!(cache.get(&key).await.unwrap(), None);
    for value in [
        Bytes::from_static(b"\0\xff\r\n"),
        Bytes::from(vec![7; 512 << 10]),
        Bytes::new(),
    ] {
        cache.set(&key, value.clone(), HOUR).await.unwrap();
        assert_eq!(cache.get(&key).await.unwrap(), Some(value));
    }
    assert_eq!(cache.get(&format!("{key}x")).await.unwrap(), None);

    // Its lifetime ends, independently of other keys'.
    let short = format!("{key}short");
    let value = Bytes::from_static(b"1");
    cache
        .set(&short, value.clone(), Duration::from_millis(30))
        .await
        .unwrap();
    cache.set(&key, value.clone(), HOUR).await.unwrap();
    let mut look = tokio::time::interval(Duration::from_millis(5));
    let gone = async {
        while cache.get(&short).await.unwrap().is_some() {
            look.tick().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), gone)
        .await
        .unwrap();
    assert_eq!(cache.get(&key).await.unwrap(), Some(value));

    let first = cache.version(SPACE).await.unwrap();
    assert_eq!(cache.version(SPACE).await.unwrap(), first);
    let other = cache.version(Namespace("OTHER")).await.unwrap();
    let mut drawn = vec![first];
    for _ in 0..20 {
        cache.bump(SPACE).await.unwrap();
        let version = cache.version(SPACE).await.unwrap();
        assert!(!drawn.contains(&version), "{drawn:?} {version}");
        drawn.push(version);
    }
    assert_eq!(cache.version(Namespace("OTHER")).await.unwrap(), other);
}

#[tokio::test]
async fn cache_in_the_process_keeps_the_contract() {
    check_contract(&LocalCache::new()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cache_in_redis_keeps_the_contract() {
    let redis = Redis::start().await;
    check_shared(&redis.url()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cache_behind_a_password_keeps_the_contract() {
    let redis = Redis::start_with(&["--requirepass", "hun@ter2"]).await;
    let url = redis.url().replace("redis://", "redis://:hun%40ter2@");
    check_shared(&url).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cache_in_a_cluster_keeps_the_contract() {
    let cluster = std::env::var("TEST_REDIS_CLUSTER");
    check_shared(&cluster.expect("infra/services up redis-cluster")).await;
}

/// The old owner of a migrating slot redirects (ASK) requests for missing keys to the new one; the client
/// library used to give up all its connections on that.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn migrating_slot_affects_only_its_own_keys() {
    let buses = [free_port(), free_port()].map(|port| port.to_string());
    let args = |bus| ["--cluster-enabled", "yes", "--cluster-port", bus];
    let old = Redis::start_with(&args(&buses[0])).await;
    let new = Redis::start_with(&args(&buses[1])).await;
    old.order("cluster addslotsrange 0 8191").await;
    new.order("cluster addslotsrange 8192 16383").await;
    // A config epoch that no other node has.
    new.order("cluster set-config-epoch 1").await;
    let meet = format!("cluster meet 127.0.0.1 {} {}", new.port, buses[1]);
    old.order(&meet).await;
    let agree = async || {
        let answers = [
            old.order("cluster info").await,
            new.order("cluster info").await,
        ];
        answers
            .iter()
            .all(|answer| answer.contains("cluster_state:ok"))
    };
    eventually("both know all slots", agree).await;

    let url = old.url().replace("redis://", "redis-cluster://");
    let cache = connected(&url).await;
    // Keys in two slots of the old owner.
    let (moving, resting) = ("b", "c");
    let value = Bytes::from_static(b"value");
    cache.set(resting, value.clone(), HOUR).await.unwrap();
    let (of_old, of_new) = (
        old.order("cluster myid").await,
        new.order("cluster myid").await,
    );
    let slot = redis_keyslot(moving.as_bytes());
    new.order(&format!("cluster setslot {slot} importing {of_old}"))
        .await;
    old.order(&format!("cluster setslot {slot} migrating {of_new}"))
        .await;
    for _ in 0..10 {
        cache.get(moving).await.unwrap_err();
        assert_eq!(cache.get(resting).await.unwrap(), Some(value.clone()));
    }
    new.order(&format!("cluster setslot {slot} node {of_new}"))
        .await;
    old.order(&format!("cluster setslot {slot} node {of_new}"))
        .await;
    // The first request is refused, and the client learns the new owner from that.
    eventually("found", async || cache.get(moving).await.is_ok()).await;
}

/// The contract between two instances.
async fn check_shared(url: &str) {
    let cache = connected(url).await;
    check_contract(&cache).await;
    // Concurrent readers of a version that was never set, or was evicted, get the same one.
    let other = connected(url).await;
    for n in 0..50 {
        let space = Namespace(["A", "B", "C", "D", "E"][n % 5]);
        let (one, two) = tokio::join!(cache.version(space), other.version(space));
        assert_eq!(one.unwrap(), two.unwrap());
    }
    cache.bump(SPACE).await.unwrap();
    assert_eq!(
        cache.version(SPACE).await.unwrap(),
        other.version(SPACE).await.unwrap()
    );
}

/// Another process may take the port before the server binds it; then the server exits and the test fails.
fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

/// A Redis server of this test's own, which it may stop.
struct Redis {
    process: Child,
    port: u16,
    folder: TempDir,
}

impl Redis {
    async fn start() -> Self {
        Self::start_with(&[]).await
    }

    async fn start_with(more: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let port = free_port();
        let mut redis = Self {
            process: Self::spawn(port, &folder, more),
            port,
            folder,
        };
        redis.answers().await;
        redis
    }

    fn spawn(port: u16, folder: &TempDir, more: &[&str]) -> Child {
        Command::new("redis-server")
            .args(["--port", &port.to_string(), "--bind", "127.0.0.1"])
            .args(["--save", "", "--appendonly", "no", "--dir"])
            .arg(folder.path())
            .args(more)
            .stdout(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .expect("redis-server, as infra/services installs it")
    }

    async fn answers(&mut self) {
        let mut look = tokio::time::interval(Duration::from_millis(5));
        let up = async {
            while TcpStream::connect(("127.0.0.1", self.port)).await.is_err() {
                look.tick().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(30), up)
            .await
            .unwrap();
        assert_eq!(self.process.try_wait().unwrap(), None, "Redis has ended");
    }

    fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// Sends a command; returns the reply.
    async fn order(&self, words: &str) -> String {
        let mut order = Command::new("redis-cli");
        order.args(["-e", "-p", &self.port.to_string()]);
        order.args(words.split(' '));
        let output = order.output().await.unwrap();
        let answer = String::from_utf8(output.stdout).unwrap();
        assert!(output.status.success(), "{words}: {answer}");
        answer.trim().to_owned()
    }

    async fn kill(&mut self) {
        self.process.kill().await.unwrap();
    }

    /// Restarts it, empty.
    async fn restart(&mut self) {
        self.process = Self::spawn(self.port, &self.folder, &[]);
        self.answers().await;
    }

    async fn signal(&self, name: &str) {
        let pid = self.process.id().unwrap().to_string();
        let done = Command::new("kill").args(["-s", name, &pid]).status().await;
        assert!(done.unwrap().success());
    }
}

async fn connected(url: &str) -> RedisCache {
    connected_for(url, RedisCache::ANSWER_MAX).await
}

async fn connected_for(url: &str, answer_max: Duration) -> RedisCache {
    let cache = RedisCache::connect(&url.parse().unwrap(), answer_max).unwrap();
    let mut look = tokio::time::interval(Duration::from_millis(5));
    let there = async {
        while cache.version(SPACE).await.is_err() {
            look.tick().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), there)
        .await
        .unwrap();
    cache
}

async fn thousand_misses_of_one_key_make_one_query(on: On) {
    let redis = Redis::start().await;
    // A long deadline: a busy machine must not open the breaker here.
    let patient = connected_for(&redis.url(), Duration::from_secs(30)).await;
    for cache in [
        Arc::new(LocalCache::new()) as Arc<dyn Cache>,
        Arc::new(patient),
    ] {
        let market = Market::with(on, cache).await;
        market.members(1, 100).await;
        market.offer(1, 100, 5).await.unwrap();
        market.spot(1, 100, SEOUL).await;
        for kind in [Kind::MobileData, Kind::Wifi] {
            let sort = if kind == Kind::Wifi {
                Sort::Price
            } else {
                Sort::Recent
            };
            let before = market.metrics.list_queries.get();
            let mut tasks = JoinSet::new();
            for _ in 0..1_000 {
                let products = market.products.clone();
                tasks.spawn(async move { products.lists().list(first_page(kind, sort, 20)).await });
            }
            for page in tasks.join_all().await {
                assert_eq!(page.unwrap().rows.len(), 1);
            }
            assert_eq!(market.metrics.list_queries.get() - before, 1);
        }
        assert_eq!(market.metrics.cache_opened.get(), 0);
    }
}

async fn thousand_misses_without_a_cache_make_few_queries(on: On) {
    let nowhere = RedisCache::connect(
        &"redis://127.0.0.1:1".parse().unwrap(),
        RedisCache::ANSWER_MAX,
    )
    .unwrap();
    let market = Market::with(on, Arc::new(nowhere)).await;
    market.members(1, 100).await;
    market.offer(1, 100, 5).await.unwrap();
    let mut tasks = JoinSet::new();
    for _ in 0..1_000 {
        let products = market.products.clone();
        let query = first_page(Kind::MobileData, Sort::Recent, 20);
        tasks.spawn(async move { products.lists().list(query).await });
    }
    for page in tasks.join_all().await {
        assert_eq!(page.unwrap().rows.len(), 1);
    }
    let shared = market
        .metrics
        .list_pages
        .with_label_values(&["shared"])
        .get();
    let queries = market.metrics.list_queries.get();
    assert_eq!(shared + queries, 1_000);
    assert!(shared > 0, "{queries} queries");
}

/// Concurrent readers and writers: once a change has returned, no reader gets an older result.
async fn stale_result_is_not_returned_after_a_change(on: On) {
    let market = Arc::new(Market::open(on).await);
    market.members(1, 100).await;
    let id = market.offer(1, 1, 5).await.unwrap();
    let done = Arc::new(AtomicBool::new(false));
    let mut readers = JoinSet::new();
    for _ in 0..4 {
        let (market, done) = (Arc::clone(&market), Arc::clone(&done));
        readers.spawn(async move {
            while !done.load(Ordering::SeqCst) {
                let query = first_page(Kind::MobileData, Sort::Recent, 20);
                market.list(query).await;
                tokio::task::yield_now().await;
            }
        });
    }
    for price in 2..200 {
        market.edit(id, new_data(1, price, 1, false)).await.unwrap();
        let page = market
            .list(first_page(Kind::MobileData, Sort::Recent, 20))
            .await;
        assert_eq!(page.rows[0].price().get(), price);
    }
    done.store(true, Ordering::SeqCst);
    readers.join_all().await;
}

/// Creates, changes and deletes an offer; every list shows each step.
async fn check_lists(market: &Market) {
    let id = market.offer_as(1, 500, 5, false).await.unwrap();
    let shown = async |price: Option<i64>| {
        let mut tasks = JoinSet::new();
        for sort in Sort::of(Kind::MobileData).repeat(5) {
            let products = market.products.clone();
            let query = first_page(Kind::MobileData, sort, 100);
            tasks.spawn(async move { products.lists().list(query).await });
        }
        for page in tasks.join_all().await {
            let page = page.expect("no error, whatever the cache does");
            let found = page.rows.iter().find(|row| row.id == product(id));
            assert_eq!(found.map(|row| row.price().get()), price);
        }
        let spots = first_page(Kind::Wifi, Sort::Nearest, 5);
        assert_eq!(market.list(spots).await.rows.len(), 1);
    };
    shown(Some(500)).await;
    market.edit(id, new_data(1, 600, 6, false)).await.unwrap();
    shown(Some(600)).await;
    market
        .products
        .delete(member(1), product(id))
        .await
        .unwrap();
    shown(None).await;
}

/// A market with cached lists, and one offer whose price in them is 500.
async fn with_kept_lists(on: On, url: &str) -> (Market, i64) {
    let market = Market::with(on, Arc::new(connected(url).await)).await;
    market.members(2, 100).await;
    market.spot(1, 100, SEOUL).await;
    let id = market.offer_as(2, 500, 5, false).await.unwrap();
    check_lists(&market).await;
    cache_is_back(&market).await;
    check_kept(&market, id, 500).await;
    (market, id)
}

/// All lists show this price, in the end from the cache: on a busy machine the breaker may open again.
async fn check_kept(market: &Market, id: i64, price: i64) {
    let from_cache = || {
        market
            .metrics
            .list_pages
            .with_label_values(&["cache"])
            .get()
    };
    let query = first_page(Kind::MobileData, Sort::Recent, 20);
    let before = from_cache();
    let mut pace = tokio::time::interval(Duration::from_millis(5));
    let kept = async {
        while from_cache() == before {
            let page = market.list(query).await;
            let found = page.rows.iter().find(|row| row.id == product(id));
            assert_eq!(found.unwrap().price().get(), price);
            pace.tick().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), kept)
        .await
        .expect("lists from the cache");
}

/// Continuous readers during an outage of the cache: none gets an error, and none a lower price than the
/// current one at the start of the request (prices only rise).
struct Load {
    price: Arc<AtomicI64>,
    done: Arc<AtomicBool>,
    readers: JoinSet<usize>,
}

impl Load {
    fn start(market: &Market, id: i64) -> Self {
        let (price, done) = (
            Arc::new(AtomicI64::new(500)),
            Arc::new(AtomicBool::new(false)),
        );
        let mut readers = JoinSet::new();
        for sort in Sort::of(Kind::MobileData) {
            let query = first_page(Kind::MobileData, *sort, 100);
            let products = market.products.clone();
            let (price, done) = (Arc::clone(&price), Arc::clone(&done));
            readers.spawn(async move {
                let (mut asked, mut pace) = (0, tokio::time::interval(Duration::from_millis(5)));
                while !done.load(Ordering::SeqCst) {
                    let least = price.load(Ordering::SeqCst);
                    let page = products.lists().list(query).await;
                    let page = page.expect("no error, whatever the cache does");
                    let found = page.rows.iter().find(|row| row.id == product(id));
                    let found = found.unwrap().price().get();
                    assert!(found >= least, "{sort:?}: {found} after {least}");
                    asked += 1;
                    // Paced: other tests run concurrently, and Redis must respond within the deadline.
                    pace.tick().await;
                }
                asked
            });
        }
        Self {
            price,
            done,
            readers,
        }
    }

    async fn end(self) {
        self.done.store(true, Ordering::SeqCst);
        for asked in self.readers.join_all().await {
            assert!(asked > 0);
        }
    }
}

/// Changes the price while the cache is unavailable; the lists show it when the cache is available again.
async fn check_away(market: &Market, id: i64, load: &Load) {
    check_lists(market).await;
    market.edit(id, new_data(2, 700, 5, false)).await.unwrap();
    load.price.store(700, Ordering::SeqCst);
    check_lists(market).await;
    let metrics = &market.metrics;
    assert!(metrics.cache_opened.get() > metrics.cache_closed.get());
}

async fn cache_is_back(market: &Market) {
    let metrics = &market.metrics;
    eventually("the cache is back", async || {
        metrics.cache_opened.get() == metrics.cache_closed.get()
    })
    .await;
}

async fn check_back(market: &Market, id: i64, load: Load) {
    cache_is_back(market).await;
    load.end().await;
    check_kept(market, id, 700).await;
    check_lists(market).await;
}

async fn redis_killed_lists_stay_right(on: On) {
    let mut redis = Redis::start().await;
    let (market, id) = with_kept_lists(on, &redis.url()).await;
    let load = Load::start(&market, id);
    redis.kill().await;
    check_away(&market, id, &load).await;
    redis.restart().await;
    check_back(&market, id, load).await;
}

async fn redis_frozen_lists_stay_right(on: On) {
    let redis = Redis::start().await;
    let (market, id) = with_kept_lists(on, &redis.url()).await;
    let load = Load::start(&market, id);
    redis.signal("STOP").await;
    check_away(&market, id, &load).await;
    redis.signal("CONT").await;
    // The page with price 500 is still cached, under a version that is no longer current.
    check_back(&market, id, load).await;
}

async fn redis_slow_lists_stay_right(on: On) {
    let redis = Redis::start().await;
    let wire = Wire::before(redis.port).await;
    let (market, id) = with_kept_lists(on, &wire.url()).await;
    let load = Load::start(&market, id);
    wire.state.store(SLOW, Ordering::SeqCst);
    check_away(&market, id, &load).await;
    wire.state.store(WHOLE, Ordering::SeqCst);
    check_back(&market, id, load).await;
}

/// Redis still has the old lists, and only this instance cannot reach it. The change itself, or an earlier call,
/// detects that.
async fn change_missed_by_redis_is_listed_once_it_is_back(on: On) {
    let redis = Redis::start().await;
    let wire = Wire::before(redis.port).await;
    let (market, id) = with_kept_lists(on, &wire.url()).await;
    let metrics = &market.metrics;
    let before = metrics.cache_opened.get();
    for (price, reads_first) in [(700, false), (800, true)] {
        wire.state.store(CUT, Ordering::SeqCst);
        if reads_first {
            market
                .list(first_page(Kind::MobileData, Sort::Recent, 20))
                .await;
            assert_eq!(metrics.cache_opened.get(), metrics.cache_closed.get() + 1);
        }
        let to = new_data(2, price, 5, false);
        market.edit(id, to).await.unwrap();
        wire.state.store(WHOLE, Ordering::SeqCst);
        cache_is_back(&market).await;
        check_kept(&market, id, price).await;
    }
    assert_eq!(metrics.cache_opened.get(), before + 2);
}

/// One member blocks another: both instances' lists follow at once, from the shared cache and without it.
async fn block_is_followed_by_every_instance_with_and_without_redis(on: On) {
    let mut redis = Redis::start().await;
    let market = Market::with(on, Arc::new(connected(&redis.url()).await)).await;
    market.members(3, 100).await;
    market.offer(2, 100, 5).await.unwrap();
    let spot = market.spot(2, 100, SEOUL).await;
    assert!(spot > 0);
    let (other, _) = market.instance(Arc::new(connected(&redis.url()).await));
    let (db, drain) = (market.base.db.clone(), market.base.drain.clone());
    let blocks = Blocks::new(db, market.cache.clone(), drain);
    let shown = async |reader: i64, rows: usize| {
        for products in [&market.products, &other, &market.products] {
            for (kind, sort) in [
                (Kind::MobileData, Sort::Recent),
                (Kind::Wifi, Sort::Price),
                (Kind::Wifi, Sort::Nearest),
            ] {
                let mut query = first_page(kind, sort, 20);
                query.reader = member(reader);
                let page = products.lists().list(query).await.unwrap();
                assert_eq!(page.rows.len(), rows, "{reader} {sort:?}");
            }
        }
    };
    shown(1, 1).await;
    shown(3, 1).await;
    for (blocker, blocked) in [(1, 2), (2, 1)] {
        let (blocker, blocked) = (member(blocker), member(blocked));
        blocks.block(blocker, blocked).await.unwrap();
        shown(1, 0).await;
        shown(3, 1).await;
        blocks.unblock(blocker, blocked).await.unwrap();
        shown(1, 1).await;
    }
    redis.kill().await;
    shown(1, 1).await;
    blocks.block(member(2), member(1)).await.unwrap();
    shown(1, 0).await;
    shown(3, 1).await;
    redis.restart().await;
    cache_is_back(&market).await;
    shown(1, 0).await;
    shown(3, 1).await;
}

const WHOLE: u8 = 0;
const SLOW: u8 = 1;
const CUT: u8 = 2;

/// A proxy in front of Redis. It can be slow (each response a second late) or cut: data is lost, and the
/// connection with it.
struct Wire {
    state: Arc<AtomicU8>,
    port: u16,
    _tasks: JoinSet<()>,
}

impl Wire {
    async fn before(port: u16) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let own = listener.local_addr().unwrap().port();
        let state = Arc::new(AtomicU8::new(WHOLE));
        let mut tasks = JoinSet::new();
        let seen = Arc::clone(&state);
        tasks.spawn(async move {
            let mut wires = JoinSet::new();
            while let Ok((client, _)) = listener.accept().await {
                if seen.load(Ordering::SeqCst) == CUT {
                    continue;
                }
                let server = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
                let seen = Arc::clone(&seen);
                wires.spawn(async move {
                    let (from_client, to_client) = client.into_split();
                    let (from_server, to_server) = server.into_split();
                    tokio::select! {
                        () = carry(from_client, to_server, &seen, Duration::ZERO) => {}
                        () = carry(from_server, to_client, &seen, Duration::from_secs(1)) => {}
                    }
                });
            }
        });
        Self {
            state,
            port: own,
            _tasks: tasks,
        }
    }

    fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }
}

/// Forwards one direction, `late` while the proxy is slow.
async fn carry(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, state: &AtomicU8, late: Duration) {
    let mut buffer = vec![0; 64 << 10];
    while let Ok(count @ 1..) = from.read(&mut buffer).await {
        match state.load(Ordering::SeqCst) {
            CUT => return,
            SLOW => tokio::time::sleep(late).await,
            _ => {}
        }
        if to.write_all(&buffer[..count]).await.is_err() {
            return;
        }
    }
}
