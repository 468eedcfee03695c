//! A chat node on a free port of this computer, and clients that speak real STOMP to it.

#![allow(
    dead_code,
    unreachable_pub,
    clippy::unwrap_used,
    clippy::panic,
    clippy::allow_attributes,
    reason = "each test file uses its own part of this"
)]

pub mod client;
pub mod clock;
pub mod faulty_store;
pub mod raw;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use chat_server::app::{self, Adapters, Node, Stores};
use chat_server::bus::local::LocalBus;
use chat_server::bus::{Bus, BusEvent};
use chat_server::config::Config;
use chat_server::metrics::Metrics;
use chat_server::presence::local::{LocalPresence, LocalPresenceParts};
use chat_server::rooms::RoomSpec;
use chat_server::stopping::Stop;
use chat_server::store::embedded::EmbeddedStore;
use chat_server::store::{Role, Room, RoomMember, SyncMode};
use shared::claims::{
    FamilyId, GeneratedKey, Jwks, MemberGrant, MemberToken, Role as MemberRole, Signer, TokenId,
    TokenScope, generate_key,
};
use shared::clock::{Clock, SystemClock, UnixMillis};
use shared::config::parse;
use shared::drain::Drain;
use shared::ids::{MemberId, RoomId};
use tempfile::TempDir;
use tokio::sync::mpsc;

/// No step of a test takes this long; what does has failed.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// Time of a member to come back without going offline; longer than a busy machine takes for that.
pub const PRESENCE_GRACE: Duration = Duration::from_secs(20);

/// A place on a bus, and what arrives there.
pub type Joined = (Arc<dyn Bus>, mpsc::Receiver<BusEvent>);

/// A chat node in this process.
pub struct TestNode {
    pub node: Node,
    pub address: std::net::SocketAddr,
    pub admin_address: std::net::SocketAddr,
    pub folder: Arc<TempDir>,
    pub drain: Drain,
    pub stop: Stop,
    pub clock: Arc<dyn Clock>,
    signer: Signer,
}

impl TestNode {
    /// A node with its own folder and these settings.
    pub async fn start(settings: &[&str]) -> Self {
        let folder = Arc::new(tempfile::tempdir().unwrap());
        Self::start_in(folder, settings).await
    }

    /// A node on a folder that may hold a log already.
    pub async fn start_in(folder: Arc<TempDir>, settings: &[&str]) -> Self {
        Self::build(folder, Arc::new(SystemClock), settings).await
    }

    /// A node with its own folder that goes by this clock.
    pub async fn start_by(clock: Arc<dyn Clock>, settings: &[&str]) -> Self {
        let folder = Arc::new(tempfile::tempdir().unwrap());
        Self::build(folder, clock, settings).await
    }

    async fn build(folder: Arc<TempDir>, clock: Arc<dyn Clock>, settings: &[&str]) -> Self {
        let signer = key_in(folder.path());
        let config = config_in(folder.path(), settings);
        let drain = Drain::new();
        let node = Node::build(&config, Arc::clone(&clock), drain.clone())
            .await
            .unwrap();
        Self::serve(node, &config, (folder, signer), (clock, drain))
    }

    /// A node on a store that is open already, by this clock.
    pub async fn start_on(
        folder: &Arc<TempDir>,
        (stores, bus, presence): (Stores, &LocalBus, &LocalPresence),
        clock: Arc<dyn Clock>,
        settings: &[&str],
    ) -> Self {
        let (bus, heard) = bus.attach(1_024);
        let shared = (stores, (Arc::new(bus) as Arc<dyn Bus>, heard), presence);
        Self::start_with(folder, shared, clock, settings).await
    }

    /// The same on a bus that it has joined already.
    pub async fn start_with(
        folder: &Arc<TempDir>,
        (stores, (bus, heard), presence): (Stores, Joined, &LocalPresence),
        clock: Arc<dyn Clock>,
        settings: &[&str],
    ) -> Self {
        let signer = key_in(folder.path());
        let config = config_in(folder.path(), settings);
        let (drain, metrics) = (Drain::new(), Arc::new(Metrics::new()));
        let (presence, presence_changes) = presence.attach(LocalPresenceParts {
            grace: PRESENCE_GRACE,
            clock: Arc::clone(&clock),
            drain: drain.clone(),
            metrics: Arc::clone(&metrics),
        });
        let adapters = Adapters {
            stores,
            bus,
            heard,
            presence: Arc::new(presence),
            presence_changes,
            metrics,
            health: Arc::default(),
        };
        let node = Node::assemble(&config, adapters, Arc::clone(&clock), drain.clone());
        let node = node.await.unwrap();
        Self::serve(node, &config, (Arc::clone(folder), signer), (clock, drain))
    }

    /// Serves a node on free ports.
    fn serve(
        node: Node,
        config: &Config,
        (folder, signer): (Arc<TempDir>, Signer),
        (clock, drain): (Arc<dyn Clock>, Drain),
    ) -> Self {
        let any = "127.0.0.1:0".parse().unwrap();
        let (public, admin) = (app::listen(any).unwrap(), app::listen(any).unwrap());
        let (address, admin_address) = (public.local_addr().unwrap(), admin.local_addr().unwrap());
        let stop = Stop::new(drain.clone());
        node.stop_by(&stop);
        let admin_router = node.admin_router().merge(node.stop_router(&stop));
        node.set_started();
        for (listener, router) in [(public, node.public_router()), (admin, admin_router)] {
            let (drain_of_server, serving) = (drain.clone(), config.serving());
            drop(drain.spawn("serve", async move {
                app::serve(listener, router, &drain_of_server, serving)
                    .await
                    .unwrap();
            }));
        }
        Self {
            node,
            address,
            admin_address,
            folder,
            drain,
            stop,
            clock,
            signer,
        }
    }

    /// A room with these members, the first being the buyer, the second the seller.
    pub async fn room(&self, id: i64, members: &[i64]) -> RoomId {
        self.put_room(id, members, false).await
    }

    /// A group, through the rules that the internal API uses too.
    pub async fn group(&self, id: i64, members: &[i64]) -> RoomId {
        let room_id = RoomId::try_from(id).unwrap();
        let members = members.iter().map(|member| RoomMember {
            member_id: MemberId::try_from(*member).unwrap(),
            role: Role::Member,
            name: format!("member {member}"),
            image_url: None,
        });
        let members = members.collect();
        let spec = RoomSpec {
            members,
            product: None,
            opaque: false,
        };
        self.node.services.rooms.put(room_id, spec).await.unwrap();
        room_id
    }

    /// A room that takes any body.
    pub async fn opaque_room(&self, id: i64, members: &[i64]) -> RoomId {
        self.put_room(id, members, true).await
    }

    /// A room that takes any body, or only chat messages.
    pub async fn put_room(&self, id: i64, members: &[i64], opaque: bool) -> RoomId {
        let room_id = RoomId::try_from(id).unwrap();
        let members = members.iter().enumerate().map(|(at, member)| RoomMember {
            member_id: MemberId::try_from(*member).unwrap(),
            role: [Role::Buyer, Role::Seller, Role::Member][at.min(2)],
            name: format!("member {member}"),
            image_url: None,
        });
        let room = Room {
            room_id,
            members: members.collect(),
            product: None,
            opaque,
            created_at: self.clock.unix_millis(),
        };
        self.node.rooms_store().put_room(&room).await.unwrap();
        room_id
    }

    /// An access token of a member.
    pub fn token(&self, member: i64) -> String {
        self.token_made(member, MemberToken::Access, Duration::ZERO)
    }

    /// A refresh token of a member.
    pub fn refresh_token(&self, member: i64) -> String {
        self.token_made(member, MemberToken::Refresh, Duration::ZERO)
    }

    /// A token that was signed some time ago, of a login of its own.
    pub fn token_made(&self, member: i64, token: MemberToken, ago: Duration) -> String {
        let family = FamilyId::random(&mut rand::rng());
        self.token_of(&family, member, token, ago)
    }

    /// A token of this login.
    pub fn token_of(
        &self,
        family: &FamilyId,
        member: i64,
        token: MemberToken,
        ago: Duration,
    ) -> String {
        let now = self.clock.unix_millis();
        let past = u64::try_from(ago.as_millis()).unwrap();
        let made = u64::try_from(now.get()).unwrap() - past;
        let made = UnixMillis::try_from(i64::try_from(made).unwrap()).unwrap();
        member_token(&self.signer, (member, family), token, made)
    }

    /// Until rooms have been shown who is online: no event of a login comes later.
    pub async fn presence_shown(&self) {
        let presence = &self.node.services.metrics.presence;
        let shown = || {
            let changes = presence.online.get() + presence.offline.get();
            changes <= presence.shown.get() + presence.dropped.get()
        };
        eventually("rooms show who is online", shown).await;
    }

    /// Stops the node in good order.
    pub async fn stop(self) -> Arc<TempDir> {
        self.drain.begin();
        self.drain.wait(PATIENCE).await.unwrap();
        self.node.close().unwrap();
        self.folder
    }
}

/// What the nodes of one site share: a store, a bus, a clock.
pub struct Site {
    pub clock: Arc<clock::MovableClock>,
    folder: Arc<TempDir>,
    store: Arc<EmbeddedStore>,
    bus: LocalBus,
    presence: LocalPresence,
}

impl Site {
    /// Without a node yet.
    pub fn new() -> Self {
        let folder = Arc::new(tempfile::tempdir().unwrap());
        let sync = SyncMode::Every(Duration::from_secs(1));
        let store = EmbeddedStore::open(folder.path().join("chat"), sync).unwrap();
        Self {
            clock: Arc::new(clock::MovableClock::new()),
            folder,
            store: Arc::new(store),
            bus: LocalBus::new(),
            presence: LocalPresence::new(),
        }
    }

    /// A node that hears the others.
    pub async fn node(&self, settings: &[&str]) -> TestNode {
        self.node_on(&self.bus, settings).await
    }

    /// A node that hears nothing of the others, and they nothing of it, without anybody knowing.
    pub async fn deaf_node(&self, settings: &[&str]) -> TestNode {
        self.node_on(&LocalBus::new(), settings).await
    }

    /// A node that has joined this bus.
    pub async fn node_joined(&self, joined: Joined) -> TestNode {
        let clock = Arc::clone(&self.clock) as Arc<dyn Clock>;
        let shared = (Stores::of(&self.store), joined, &self.presence);
        TestNode::start_with(&self.folder, shared, clock, &[]).await
    }

    async fn node_on(&self, bus: &LocalBus, settings: &[&str]) -> TestNode {
        let clock = Arc::clone(&self.clock) as Arc<dyn Clock>;
        let adapters = (Stores::of(&self.store), bus, &self.presence);
        TestNode::start_on(&self.folder, adapters, clock, settings).await
    }
}

/// The settings of a node that keeps everything in this folder.
fn config_in(folder: &Path, settings: &[&str]) -> Config {
    let store = format!("file:{}", folder.join("chat").display());
    let jwks = format!("file:{}", folder.join("jwks.json").display());
    let fixed = ["chat-server", "--store", &store, "--jwks", &jwks];
    let unlimited = ["--sends-per-second", "0"];
    let limited = settings.contains(&unlimited[0]);
    let rate: &[&str] = if limited { &[] } else { &unlimited };
    parse(fixed.iter().chain(rate).chain(settings))
        .unwrap_or_else(|wrong| panic!("settings: {wrong:?}"))
}

/// PendingChecks again and again until the condition holds; fails if it never does.
pub async fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let mut look = tokio::time::interval(Duration::from_millis(5));
    let looking = async {
        while !holds() {
            look.tick().await;
        }
    };
    let held = tokio::time::timeout(PATIENCE, looking).await;
    held.unwrap_or_else(|_| panic!("in vain: {what}"));
}

fn member_token(
    signer: &Signer,
    (member, family): (i64, &FamilyId),
    token: MemberToken,
    now: UnixMillis,
) -> String {
    let mut rng = rand::rng();
    let grant = MemberGrant {
        member: MemberId::try_from(member).unwrap(),
        role: MemberRole::Member,
        token,
        family: family.clone(),
        token_id: TokenId::random(&mut rng),
    };
    signer.member_token(grant, now).unwrap().into_exposed()
}

/// The signing key of a folder, made at its first use, with its public half beside it.
fn key_in(folder: &Path) -> Signer {
    let scope = TokenScope {
        issuer: "dapanda".to_owned(),
        audience: "dapanda".to_owned(),
    };
    let path = folder.join("key.pem");
    if let Ok(pem) = std::fs::read_to_string(&path) {
        return Signer::from_pem(&shared::config::Secret::new(pem), scope).unwrap();
    }
    let GeneratedKey {
        private_pem,
        public,
    } = generate_key().unwrap();
    std::fs::write(path, private_pem.expose()).unwrap();
    let jwks = serde_json::to_vec(&Jwks { keys: vec![public] }).unwrap();
    std::fs::write(folder.join("jwks.json"), jwks).unwrap();
    Signer::from_pem(&private_pem, scope).unwrap()
}
