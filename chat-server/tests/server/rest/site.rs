//! A chat node's REST on a free port, and requests to it.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::routing::get;
use bytes::Bytes;
use chat_server::app::{Adapters, Node, Stores};
use chat_server::append::Appender;
use chat_server::auth::KeySource;
use chat_server::bus::local::LocalBus;
use chat_server::config::Config;
use chat_server::health::Health;
use chat_server::hub::Hub;
use chat_server::log::{Draft, Kind, Topic, Uid};
use chat_server::metrics::Metrics;
use chat_server::presence::GRACE;
use chat_server::presence::local::{LocalPresence, LocalPresenceParts};
use chat_server::stopping::Stop;
use chat_server::store::SyncMode;
use chat_server::store::embedded::EmbeddedStore;
use http::{HeaderMap, Method};
use serde_json::{Value, json};
use shared::claims::{
    MemberGrant, MemberToken, Role, ServiceGrant, Signer, TokenScope, generate_key,
};
use shared::clock::{Clock, ManualClock, UnixMillis};
use shared::config::{Secret, parse};
use shared::drain::Drain;
use shared::ids::{MemberId, MessageId, RoomId, Seq};
use shared::web::{self, Serving};
use tokio_util::sync::CancellationToken;

use crate::support::faulty_store::FaultyStore;

/// No request takes this long; what does has failed.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// The origin of the site's pages.
pub(crate) const PAGE: &str = "https://dapanda.example";

/// 2025-08-07T12:34:56.789 in Korea.
pub(crate) fn start() -> UnixMillis {
    UnixMillis::try_from(1_754_537_696_789).unwrap()
}

/// A node, and what stands around it.
pub(crate) struct Site {
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) store: Arc<FaultyStore>,
    pub(crate) hub: Hub,
    pub(crate) health: Arc<Health>,
    /// Which documented answers were given: (method, path, status).
    pub(crate) seen: Arc<Mutex<BTreeSet<Known>>>,
    pub(crate) base: String,
    appender: Arc<Appender>,
    signer: Arc<Signer>,
    client: reqwest::Client,
    drain: Drain,
    folder: Arc<tempfile::TempDir>,
}

/// An answer that a document speaks of.
pub(crate) type Known = (String, String, u16);

impl Drop for Site {
    fn drop(&mut self) {
        self.drain.hard().cancel();
    }
}

impl Site {
    /// A node on an empty store.
    pub(crate) async fn start() -> Self {
        let folder = Arc::new(tempfile::tempdir().unwrap());
        let every = SyncMode::Every(Duration::from_secs(1));
        let store = EmbeddedStore::open(folder.path().join("chat"), every).unwrap();
        let key = generate_key().unwrap();
        let signer = Signer::from_pem(&key.private_pem, scope()).unwrap();
        let keys = json!({"keys": [signer.public_key()]}).to_string();
        let path = folder.path().join("keys.json");
        std::fs::write(&path, keys).unwrap();
        let first = Beginning {
            store: Arc::new(FaultyStore::new(Arc::new(store))),
            clock: Arc::new(ManualClock::new(start())),
            signer: Arc::new(signer),
            seen: Arc::default(),
            folder,
        };
        Self::serve(first, KeySource::File(path)).await
    }

    /// Another node on the same store, that has the same clock and hears nothing of the first.
    pub(crate) async fn second(&self) -> Self {
        let keys = KeySource::File(self.folder.path().join("keys.json"));
        Self::serve(self.beginning(), keys).await
    }

    /// Another node, that cannot get the keys.
    pub(crate) async fn without_keys(&self) -> Self {
        // Bound and released: nothing listens there.
        let port = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/keys", port.local_addr().unwrap());
        drop(port);
        Self::serve(self.beginning(), KeySource::Url(url)).await
    }

    /// Another node, whose keys come from a market. The market is away once the token is cancelled.
    pub(crate) async fn with_market(&self) -> (Self, CancellationToken) {
        let keys = std::fs::read_to_string(self.folder.path().join("keys.json")).unwrap();
        let routes = Router::new().route("/keys", get(async || keys));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/keys", listener.local_addr().unwrap());
        let away = CancellationToken::new();
        let serving = axum::serve(listener, routes).into_future();
        let served = away.clone().run_until_cancelled_owned(serving);
        drop(self.drain.spawn("market", served));
        (
            Self::serve(self.beginning(), KeySource::Url(url)).await,
            away,
        )
    }

    /// Where WebSockets are opened, too.
    pub(crate) fn address(&self) -> std::net::SocketAddr {
        self.base.trim_start_matches("http://").parse().unwrap()
    }

    fn beginning(&self) -> Beginning {
        Beginning {
            store: Arc::clone(&self.store),
            clock: Arc::clone(&self.clock),
            signer: Arc::clone(&self.signer),
            seen: Arc::clone(&self.seen),
            folder: Arc::clone(&self.folder),
        }
    }

    async fn serve(beginning: Beginning, keys: KeySource) -> Self {
        let Beginning {
            store,
            clock,
            signer,
            seen,
            folder,
        } = beginning;
        let drain = Drain::new();
        let (bus, heard) = LocalBus::new().attach(16);
        let (health, metrics) = (Arc::new(Health::new()), Arc::new(Metrics::new()));
        let (presence, presence_changes) = LocalPresence::new().attach(LocalPresenceParts {
            grace: GRACE,
            clock: clock.clone(),
            drain: drain.clone(),
            metrics: Arc::clone(&metrics),
        });
        let adapters = Adapters {
            stores: Stores::of(&store),
            bus: Arc::new(bus),
            heard,
            presence: Arc::new(presence),
            presence_changes,
            metrics,
            health: Arc::clone(&health),
        };
        let mut config = config();
        config.jwks = keys;
        let node = Node::assemble(&config, adapters, clock.clone(), drain.clone());
        let node = node.await.unwrap();
        let routes = all_routes(&node, &Stop::new(drain.clone()));
        let base = listen(&drain, &config, routes);
        Self {
            clock,
            store,
            hub: node.services.hub.clone(),
            health,
            seen,
            base,
            appender: Arc::clone(&node.services.appender),
            signer,
            client: reqwest::Client::builder().no_proxy().build().unwrap(),
            drain,
            folder,
        }
    }

    /// A token of a member, good from the site's start.
    pub(crate) fn token(&self, member: u64, token: MemberToken) -> Secret<String> {
        let grant = MemberGrant {
            member: member_id(member),
            role: Role::Member,
            token,
            family: "family".parse().unwrap(),
            token_id: "token".parse().unwrap(),
        };
        self.signer.member_token(grant, start()).unwrap()
    }

    /// A request to this node.
    pub(crate) fn ask(&self, method: Method, path: &str) -> Ask<'_> {
        let request = self
            .client
            .request(method.clone(), format!("{}{path}", self.base))
            .timeout(PATIENCE);
        Ask {
            site: self,
            known_by: (method, path.split('?').next().unwrap().to_owned()),
            request,
        }
    }

    /// A member's GET.
    pub(crate) async fn get(&self, member: u64, path: &str) -> Answer {
        self.ask(Method::GET, path).by(member).send().await
    }

    /// A member's GET that works: its `data`.
    pub(crate) async fn data(&self, member: u64, path: &str) -> Value {
        let answer = self.get(member, path).await;
        assert_eq!(
            (answer.status, answer.code()),
            (200, 0),
            "{path}: {answer:?}"
        );
        answer.json()["data"].clone()
    }

    /// A service puts a room.
    pub(crate) async fn put(&self, room: u64, body: Value) -> Answer {
        let path = format!("/internal/rooms/{room}");
        let ask = self.ask(Method::PUT, &path).by_service();
        ask.body(body.to_string()).send().await
    }

    /// The room about product 7 between buyer 1 and seller 2, or the like.
    pub(crate) async fn pair(&self, room: u64, buyer: u64, seller: u64) {
        let answer = self.put(room, pair(7, buyer, seller)).await;
        assert_eq!(answer.status, 200, "{answer:?}");
    }

    /// A group of these.
    pub(crate) async fn group(&self, room: u64, members: &[u64]) {
        let answer = self.put(room, group(members)).await;
        assert_eq!(answer.status, 200, "{answer:?}");
    }

    /// A member says something; its id.
    pub(crate) async fn say(&self, room: u64, member: u64, text: &str) -> u64 {
        let topic = Topic::Room(room_id(room));
        let draft = Draft {
            uid: Uid(rand::random()),
            kind: Kind::Chat,
            sender: Some(member_id(member)),
            client_message_id: None,
            headers: Vec::new(),
            content_type: None,
            body: Bytes::copy_from_slice(text.as_bytes()),
            sent_at: self.clock.unix_millis(),
        };
        let seq = self.store_draft(room, draft).await;
        topic.message_id(seq).unwrap().get()
    }

    /// A member sends bytes that are no chat message; its id.
    pub(crate) async fn store_opaque(&self, room: u64, member: u64) -> u64 {
        let draft = Draft {
            uid: Uid(rand::random()),
            kind: Kind::Opaque,
            sender: Some(member_id(member)),
            client_message_id: None,
            headers: Vec::new(),
            content_type: Some("application/octet-stream".into()),
            body: Bytes::from_static(&[0xff, 0]),
            sent_at: self.clock.unix_millis(),
        };
        let seq = self.store_draft(room, draft).await;
        let id = Topic::Room(room_id(room)).message_id(seq);
        id.unwrap().get()
    }

    /// The market reads a message for the report of a member.
    pub(crate) async fn reported(&self, message: u64, member: u64) -> Answer {
        let path = format!("/internal/chat-messages/{message}?memberId={member}");
        self.ask(Method::GET, &path).by_service().send().await
    }

    /// A draft of any kind becomes an entry, and lists know of it; its position.
    pub(crate) async fn store_draft(&self, room: u64, draft: Draft) -> Seq {
        let room = room_id(room);
        let sent = self.appender.send(Topic::Room(room), vec![draft]);
        let seq = sent.await.unwrap()[0].seq;
        self.store.wait_for_note(room, seq).await;
        seq
    }

    /// Time passes.
    pub(crate) fn wait(&self, time: Duration) {
        self.clock.advance(time);
    }
}

/// What several nodes of a test share.
struct Beginning {
    store: Arc<FaultyStore>,
    clock: Arc<ManualClock>,
    signer: Arc<Signer>,
    seen: Arc<Mutex<BTreeSet<Known>>>,
    folder: Arc<tempfile::TempDir>,
}

/// The settings of a node behind the site's page.
fn config() -> Config {
    let TokenScope { issuer, audience } = scope();
    parse([
        "chat-server",
        &format!("--allowed-origins={PAGE}"),
        &format!("--token-issuer={issuer}"),
        &format!("--token-audience={audience}"),
    ])
    .unwrap()
}

/// All on one port, as the standalone program has it.
fn all_routes(node: &Node, stop: &Stop) -> Router {
    node.public_router()
        .merge(node.admin_router())
        .merge(node.stop_router(stop).reset_fallback())
}

fn listen(drain: &Drain, config: &Config, routes: Router) -> String {
    let listener = web::listen("127.0.0.1:0".parse().unwrap()).unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    let (hard, within) = (drain.hard(), drain.clone());
    let serving = Serving {
        head_time: PATIENCE,
        ..config.serving()
    };
    drop(drain.spawn("rest", async move {
        let serving = web::serve(listener, routes, &within, serving);
        hard.run_until_cancelled(serving).await
    }));
    base
}

fn scope() -> TokenScope {
    TokenScope {
        issuer: "market".to_owned(),
        audience: "dapanda".to_owned(),
    }
}

/// A request on its way.
pub(crate) struct Ask<'a> {
    site: &'a Site,
    known_by: (Method, String),
    request: reqwest::RequestBuilder,
}

impl Ask<'_> {
    /// With a member's bearer token.
    pub(crate) fn by(self, member: u64) -> Self {
        let token = self.site.token(member, MemberToken::Access);
        self.header("authorization", &format!("Bearer {}", token.expose()))
    }

    /// With a member's cookies.
    pub(crate) fn by_cookie(self, member: u64) -> Self {
        let access = self.site.token(member, MemberToken::Access);
        let refresh = self.site.token(member, MemberToken::Refresh);
        let cookies = format!(
            "accessToken={}; refreshToken={}",
            access.expose(),
            refresh.expose()
        );
        self.header("cookie", &cookies)
    }

    /// With a service's token.
    pub(crate) fn by_service(self) -> Self {
        let grant = ServiceGrant {
            service: "market-api".parse().unwrap(),
            token_id: "token".parse().unwrap(),
        };
        let now = self.site.clock.unix_millis();
        let token = self.site.signer.service_token(grant, now).unwrap();
        self.header("authorization", &format!("Bearer {}", token.expose()))
    }

    pub(crate) fn header(mut self, name: &str, value: &str) -> Self {
        self.request = self.request.header(name, value);
        self
    }

    pub(crate) fn body(mut self, body: impl Into<reqwest::Body>) -> Self {
        self.request = self.request.body(body);
        self
    }

    /// Sends it, and looks up in the documents whether there may be such an answer.
    pub(crate) async fn send(self) -> Answer {
        let response = self.request.send().await.unwrap();
        let status = response.status().as_u16();
        let headers = response.headers().clone();
        let text = response.text().await.unwrap();
        let answer = Answer {
            status,
            headers,
            text,
        };
        let (method, path) = self.known_by;
        let method = method.as_str().to_lowercase();
        if let Some(template) = template(&method, &path) {
            let known = (method, template, status);
            assert!(documented().contains(&known), "{known:?}: {answer:?}");
            self.site.seen.lock().unwrap().insert(known);
        }
        answer
    }
}

/// What came back.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) text: String,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| {
            panic!("{error}: {self:?}");
        })
    }

    /// The envelope's code.
    pub(crate) fn code(&self) -> u64 {
        let body = self.json();
        assert!(body["message"].is_string(), "{self:?}");
        let has_details = body["code"] == 0 || self.status == 422;
        assert!(has_details || body.get("data").is_none(), "{self:?}");
        body["code"].as_u64().unwrap()
    }
}

/// Every answer that the documents speak of.
pub(crate) fn documented() -> BTreeSet<Known> {
    let mut all = BTreeSet::new();
    for document in [
        chat_server::http::public_document(),
        chat_server::http::internal_document(),
    ] {
        let document = serde_json::to_value(document).unwrap();
        for (path, methods) in document["paths"].as_object().unwrap() {
            for (method, operation) in methods.as_object().unwrap() {
                for status in operation["responses"].as_object().unwrap().keys() {
                    let status = status.parse().unwrap();
                    all.insert((method.clone(), path.clone(), status));
                }
            }
        }
    }
    all
}

/// The path of the documents that this path is one of, if it has this method.
fn template(method: &str, path: &str) -> Option<String> {
    let fits = |template: &str| {
        let (mut parts, mut given) = (template.split('/'), path.split('/'));
        let same = |(part, given): (&str, &str)| part == given || part.starts_with('{');
        parts.by_ref().zip(given.by_ref()).all(same)
            && template.split('/').count() == path.split('/').count()
    };
    let all = documented().into_iter();
    let mut fitting = all.filter(|(known, template, _)| known == method && fits(template));
    fitting.next().map(|(_, template, _)| template)
}

pub(crate) fn member_id(id: u64) -> MemberId {
    id.try_into().unwrap()
}

pub(crate) fn room_id(id: u64) -> RoomId {
    id.try_into().unwrap()
}

/// The id of a room's message.
pub(crate) fn message(room: u64, seq: u64) -> u64 {
    let seq = Seq::try_from(seq).unwrap();
    MessageId::in_room(room_id(room), seq).unwrap().get()
}

/// The body of a room between a buyer and a seller.
pub(crate) fn pair(product: u64, buyer: u64, seller: u64) -> Value {
    json!({
        "members": [
            {"memberId": buyer, "role": "BUYER", "name": format!("구매자 {buyer}")},
            {"memberId": seller, "role": "SELLER", "name": format!("판매자 {seller}"),
                "imageUrl": "https://images.example/2.png"},
        ],
        "product": {"productId": product, "itemId": 70, "itemType": "WIFI",
            "startTime": "10:00:00", "endTime": "22:00:00"},
    })
}

/// The body of a group.
pub(crate) fn group(members: &[u64]) -> Value {
    let members = members
        .iter()
        .map(|id| json!({"memberId": id, "role": "MEMBER", "name": format!("회원 {id}")}));
    json!({"members": members.collect::<Vec<_>>()})
}
