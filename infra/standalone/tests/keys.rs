//! Both servers, each on a port of its own, as a site has them: the chat server follows the keys
//! that the market signs with, and neither is started again.

#![expect(clippy::unwrap_used, reason = "a test ends where something fails")]

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use axum::Router;
use chat_server::app::Node;
use chat_server::auth::REFRESH_PERIOD;
use market_api::app::Market;
use market_api::members::{Profile, Provider};
use shared::claims::{MemberGrant, MemberToken, Role, Signer, TokenId, TokenScope, generate_key};
use shared::clock::{Clock as _, ManualClock, UnixMillis};
use shared::config::{Secret, parse};
use shared::drain::Drain;
use shared::ids::MemberId;
use shared::web;
use tempfile::TempDir;

/// No request takes this long; what does has failed.
const PATIENCE: Duration = Duration::from_secs(30);

/// From a key's publication until it signs.
const SETTLE: Duration = Duration::from_secs(60);

/// Two servers that share nothing but an address and the time.
struct Site {
    market: Market,
    /// Its tasks run as long as it is there.
    _node: Node,
    chat: String,
    api: String,
    member: MemberId,
    clock: Arc<ManualClock>,
    drain: Drain,
    folder: TempDir,
}

impl Drop for Site {
    fn drop(&mut self) {
        self.drain.hard().cancel();
    }
}

/// Serves on a free port; where.
fn serve(drain: &Drain, router: Router) -> String {
    let listener = web::listen("127.0.0.1:0".parse().unwrap()).unwrap();
    let address = listener.local_addr().unwrap();
    let within = drain.clone();
    drop(drain.spawn("site", async move {
        web::serve(listener, router, &within, PATIENCE).await
    }));
    format!("http://{address}")
}

impl Site {
    async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let clock = Arc::new(ManualClock::new(
            UnixMillis::from_seconds(1_794_711_600).unwrap(),
        ));
        let drain = Drain::new();
        let path = |name: &str| folder.path().join(name).display().to_string();
        let market = [
            "market-api".to_owned(),
            format!("--db=sqlite:{}", path("market.db")),
            format!("--signing-keys={}", path("keys")),
            format!("--images=file:{}", path("images")),
        ];
        let market = parse(market).unwrap();
        let market = Market::build(&market, clock.clone(), &drain).await.unwrap();
        let keys = serve(&drain, market.public_router());
        let chat = [
            "chat-server".to_owned(),
            format!("--store=file:{}", path("chat")),
            format!("--jwks={keys}/.well-known/jwks.json"),
        ];
        let chat = parse(chat).unwrap();
        let node = Node::build(&chat, clock.clone(), drain.clone())
            .await
            .unwrap();
        let chat = serve(&drain, node.public_router());
        let somebody = Profile {
            provider: Provider::Kakao,
            provider_id: "1".to_owned(),
            email: None,
            name: "somebody".to_owned(),
            image_url: None,
        };
        let (member, _) = market.members().find_or_create(somebody).await.unwrap();
        Self {
            market,
            _node: node,
            chat,
            api: keys,
            member,
            clock,
            drain,
            folder,
        }
    }

    /// A fresh access token.
    async fn log_in(&self) -> String {
        let tokens = self.market.log_in(self.member).await.unwrap();
        tokens.access.into_exposed()
    }

    /// The status with which the chat server answers a request with this token.
    async fn chat_says(&self, token: &str) -> u16 {
        let client = reqwest::Client::builder().no_proxy().tls_certs_only([]);
        let client = client.timeout(PATIENCE).build().unwrap();
        let ask = client.get(format!("{}/api/chat-room", self.chat));
        let answer = ask.bearer_auth(token).send().await.unwrap();
        answer.status().as_u16()
    }

    /// What the market says to it.
    async fn market_says(&self, token: &str) -> u16 {
        let client = reqwest::Client::builder().no_proxy().tls_certs_only([]);
        let client = client.timeout(PATIENCE).build().unwrap();
        let ask = client.get(format!("{}/api/members/info", self.api));
        let answer = ask.bearer_auth(token).send().await.unwrap();
        answer.status().as_u16()
    }

    /// A key's file, changed so long before now.
    fn date(&self, file: &Path, ago: Duration) {
        let now = self.clock.unix_millis().get().try_into().unwrap();
        let changed = UNIX_EPOCH + Duration::from_millis(now) - ago;
        let file = std::fs::File::options().write(true).open(file).unwrap();
        file.set_modified(changed).unwrap();
    }
}

/// A token of another key.
fn kid(token: &str) -> &str {
    token.split('.').next().unwrap()
}

// One thread, because only there can the test move the time of the chat server's own tasks.
#[tokio::test]
async fn chat_server_follows_the_markets_keys() {
    let site = Site::start().await;
    let keys = site.folder.path().join("keys");
    site.date(&keys.join("first.pem"), SETTLE);
    let old = site.log_in().await;
    assert_eq!(site.chat_says(&old).await, 200);

    let second = keys.join("second.pem");
    std::fs::write(&second, generate_key().unwrap().private_pem.expose()).unwrap();
    site.date(&second, Duration::ZERO);
    site.market.keys().reread().unwrap();
    site.clock.advance(SETTLE);
    site.market.keys().reread().unwrap();
    let new = site.log_in().await;
    assert_ne!(kid(&old), kid(&new), "the new key signs");
    assert_eq!(site.chat_says(&new).await, 200);
    assert_eq!(site.chat_says(&old).await, 200);

    // A stolen key is deleted, and the tokens that it signed become invalid: in the market at once,
    // in the chat server at its next periodic refresh.
    std::fs::remove_file(keys.join("first.pem")).unwrap();
    site.market.keys().reread().unwrap();
    assert!(REFRESH_PERIOD <= Duration::from_secs(5 * 60));
    assert_eq!(site.chat_says(&old).await, 200);
    tokio::time::pause();
    tokio::time::advance(REFRESH_PERIOD).await;
    tokio::time::resume();
    let is_refused = async {
        while site.chat_says(&old).await != 401 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(PATIENCE, is_refused).await.unwrap();
    assert_eq!(site.chat_says(&new).await, 200);
}

/// What `dapanda token` prints has no session behind it. `dapanda` takes it; a site does not, not
/// even signed with its own key.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_site_takes_no_token_without_a_session() {
    let site = Site::start().await;
    let pem = std::fs::read_to_string(site.folder.path().join("keys/first.pem")).unwrap();
    let scope = TokenScope {
        issuer: "dapanda".to_owned(),
        audience: "dapanda".to_owned(),
    };
    let signer = Signer::from_pem(&Secret::new(pem), scope).unwrap();
    let grant = MemberGrant {
        member: site.member,
        role: Role::Member,
        token: MemberToken::Access,
        family: "dapanda-token".parse().unwrap(),
        token_id: TokenId::random(&mut rand::rng()),
    };
    let token = signer
        .member_token(grant, site.clock.unix_millis())
        .unwrap();
    assert_eq!(site.market_says(token.expose()).await, 401);
    assert_eq!(site.market_says(&site.log_in().await).await, 200);
}
