//! The embedded market: settings, demo members, offers and trades, and the stand-in of a login provider.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::response::Redirect;
use axum::routing::get;
use chat_server::app::Node;
use fakes::login::{CLIENT_ID, CLIENT_SECRET, Email, FakeLogin, Person};
use market_api::app::{BuildError, ChatServer, Market};
use market_api::cache::CacheUrl;
use market_api::config::{
    ChatSettings, Config, ImageSettings, ImagesUrl, Login, PaymentSettings, TradeSettings,
};
use market_api::db::DbUrl;
use market_api::login::StandIn;
use market_api::members::{MemberError, Profile, Provider};
use reqwest::Url;
use shared::claims::Role;
use shared::clock::Clock;
use shared::config::Secret;
use shared::drain::Drain;
use shared::ids::{MemberId, ProductId};
use shared::trace::export::TraceSettings;
use shared::web::{ApiError, ErrorCode};
use tokio::time::sleep;
use tracing::{info, warn};

use crate::chats::{MessagesInside, RoomsInside};
use crate::demo;
use crate::events::EventsInside;
use crate::keys::{SITE, developer_family};
use crate::offers;
use crate::settings::Serve;
use crate::trades;

/// Attempts to create the demo data, and the pause between two.
const SET_UP_ATTEMPTS: u32 = 5;
const SET_UP_PAUSE: Duration = Duration::from_secs(1);

/// Errors that may be gone at the next attempt.
const RETRIED: [ErrorCode; 2] = [ErrorCode::Busy, ErrorCode::Unavailable];

/// Path of the login provider's stand-in.
const PROVIDER: &str = "/fake";

/// The embedded store creates a room in milliseconds, unless the disk hangs.
const CHAT_ANSWER_TIME: Duration = Duration::from_secs(2);

/// As [`CHAT_ANSWER_TIME`], for up to 200 events.
const RELAY_ANSWER_TIME: Duration = Duration::from_secs(10);

/// URLs of this program.
#[derive(Clone, Debug)]
pub(crate) struct Urls {
    /// URL for browsers.
    browsers: Url,
    /// URL for the program's own requests.
    itself: Url,
}

impl Urls {
    /// The URLs of a port of this computer.
    pub(crate) fn of(address: SocketAddr) -> Option<Self> {
        let ip = match address.ip() {
            any if any.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
            ip => ip,
        };
        let itself = format!("http://{}", SocketAddr::new(ip, address.port()));
        let browsers = if ip.is_ipv4() && ip.is_loopback() {
            format!("http://localhost:{}", address.port())
        } else {
            itself.clone()
        };
        Some(Self {
            browsers: Url::parse(&browsers).ok()?,
            itself: Url::parse(&itself).ok()?,
        })
    }

    /// A path of this program, for browsers.
    pub(crate) fn for_browsers(&self, path: &str) -> io::Result<Url> {
        self.browsers.join(path).map_err(io::Error::other)
    }

    /// A path of this program, for its own requests.
    pub(crate) fn for_itself(&self, path: &str) -> io::Result<Url> {
        self.itself.join(path).map_err(io::Error::other)
    }

    /// The origins of this program's page: the names of this computer and of the settings, with the port.
    pub(crate) fn own_origins(&self, hosts: &[String]) -> Vec<String> {
        let urls = [&self.browsers, &self.itself];
        let own = urls.map(|url| url.origin().ascii_serialization());
        let port = self.itself.port_or_known_default().unwrap_or(80);
        let local = ["localhost", "127.0.0.1", "[::1]"].map(str::to_owned);
        let named = local.iter().chain(hosts);
        let named = named.map(|host| match host.contains(':') && !host.ends_with(']') {
            true => format!("http://{host}"),
            false => format!("http://{host}:{port}"),
        });
        own.into_iter().chain(named).collect()
    }

    fn provider(&self, provider: Provider) -> Option<StandIn> {
        let path = format!("{PROVIDER}/{}", provider.path());
        Some(StandIn {
            browsers: self.browsers.join(&path).ok()?,
            servers: self.itself.join(&path).ok()?,
        })
    }
}

/// The settings of the embedded market.
pub(crate) fn config(settings: &Serve, urls: &Urls, payments: PaymentSettings) -> Config {
    let data = &settings.data;
    let own = urls.browsers.origin().ascii_serialization();
    Config {
        command: None,
        listen: settings.listen,
        admin_listen: settings.listen,
        db: DbUrl::Sqlite(data.join("market.db")),
        cache: CacheUrl::Local,
        login: login(settings, urls),
        images: ImageSettings {
            images: ImagesUrl::Folder(data.join("images")),
            images_public_url: settings.images_public_url.clone(),
            images_region: String::new(),
            images_access_key: None,
            images_secret_key: None,
        },
        // The address is not used: the chat server is in this program.
        chat: ChatSettings {
            chat_url: urls.itself.clone(),
            chat_answer_time: CHAT_ANSWER_TIME,
            relay_answer_time: RELAY_ANSWER_TIME,
        },
        public_url: urls.browsers.clone(),
        front_url: settings
            .front_url
            .as_ref()
            .unwrap_or(&urls.browsers)
            .clone(),
        // The page uploads pictures to `--images-public-url`, which may be another origin.
        allowed_origins: [settings.origins(), vec![own]].concat(),
        trades: TradeSettings::default(),
        payments,
        limits: settings.market.clone(),
        lame_duck: Duration::ZERO,
        stop_grace: Duration::ZERO,
        log_format: settings.log_format,
        log: settings.log.clone(),
        // This program exports the traces of both servers.
        traces: TraceSettings::default(),
    }
}

fn login(settings: &Serve, urls: &Urls) -> Login {
    let (id, secret) = (
        Some(CLIENT_ID.to_owned()),
        Some(Secret::new(CLIENT_SECRET.to_owned())),
    );
    Login {
        // The folder of the development key.
        signing_keys: settings.data.clone(),
        token_issuer: SITE.to_owned(),
        token_audience: SITE.to_owned(),
        cookie_domain: None,
        insecure_cookies: true,
        kakao_id: id.clone(),
        kakao_secret: secret.clone(),
        kakao_url: urls.provider(Provider::Kakao),
        google_id: id.clone(),
        google_secret: secret.clone(),
        google_url: urls.provider(Provider::Google),
        naver_id: id,
        naver_secret: secret,
        naver_url: urls.provider(Provider::Naver),
        developer_family: Some(developer_family()),
    }
}

/// Opens the market beside this chat server.
///
/// # Errors
/// The market's.
pub(crate) async fn build(
    config: &Config,
    node: &Node,
    clock: Arc<dyn Clock>,
    drain: &Drain,
) -> Result<Arc<Market>, BuildError> {
    let chat = ChatServer {
        rooms: Arc::new(RoomsInside(Arc::clone(&node.services.rooms))),
        events: Arc::new(EventsInside(node.events())),
        messages: Arc::new(MessagesInside(Arc::clone(&node.services.rooms))),
    };
    let market = Market::build_beside(config, chat, clock, drain).await?;
    Ok(Arc::new(market))
}

/// Creates missing demo members, offers and trades. Retries while the database is busy or unavailable, as
/// on a loaded computer; each attempt adds the missing part. Returns the administrator.
///
/// # Errors
/// The market's.
pub(crate) async fn set_up(market: &Market) -> Result<Option<MemberId>, ApiError> {
    for _ in 1..SET_UP_ATTEMPTS {
        match add_missing(market).await {
            Err(error) if RETRIED.contains(&error.code()) => {
                warn!("the demo data is not complete yet: {:?}", error.code());
                sleep(SET_UP_PAUSE).await;
            }
            done => return done,
        }
    }
    add_missing(market).await
}

/// On a fresh database the members get the ids that the demo rooms use.
async fn add_missing(market: &Market) -> Result<Option<MemberId>, ApiError> {
    let mut sellers = Vec::new();
    for demo in demo::members() {
        let id = demo.member_id;
        let (member, role) = match market.members().find_or_create(profile(demo)).await {
            // An administrator has blocked the member, which a restart does not undo.
            Err(MemberError::Blocked) => {
                sellers.push(None);
                continue;
            }
            other => other?,
        };
        if member != id {
            warn!("demo member {id} is member {member} of the market: they do not share a chat");
        }
        if role == Role::NewMember {
            market.members().become_member(member).await?;
        }
        sellers.push(Some(member));
    }
    offers::set_up(market.products(), &sellers).await?;
    trades::set_up(market, &sellers).await?;
    for (buyer, product) in demo::ASKED {
        // The demo rooms are recorded before the market allocates their ids to other chats. On a
        // database where the offers differ or were removed, such a room has no members.
        let (Ok(buyer), Ok(product)) = (MemberId::try_from(buyer), ProductId::try_from(product))
        else {
            continue;
        };
        if market.chats().is_made(buyer, product).await? {
            continue;
        }
        if let Err(error) = market.chats().open(buyer, product).await {
            info!("no demo room about product {product}: {error}");
        }
    }
    administrator(market).await
}

/// The demo's administrator; none if blocked.
async fn administrator(market: &Market) -> Result<Option<MemberId>, ApiError> {
    let profile = Profile {
        provider: Provider::Kakao,
        // Kakao's own ids are numbers.
        provider_id: "administrator".to_owned(),
        email: None,
        name: demo::ADMINISTRATOR.to_owned(),
        image_url: None,
    };
    let member = match market.members().find_or_create(profile).await {
        Ok((member, Role::Admin)) => return Ok(Some(member)),
        Ok((member, Role::NewMember | Role::Member)) => member,
        Err(MemberError::Blocked) => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    market.members().become_admin(member).await?;
    Ok(Some(member))
}

/// A demo member's profile, in the form of a login provider.
pub(crate) fn profile(demo: demo::DemoMember) -> Profile {
    let email = address(demo.member_id);
    Profile {
        provider: Provider::Kakao,
        provider_id: demo.member_id.to_string(),
        email,
        name: demo.name.to_owned(),
        image_url: None,
    }
}

/// What the market serves here: its own routes, the operators' endpoints (below `/admin/market`,
/// since the chat server has the same paths), and the login provider.
pub(crate) fn router(market: &Market, urls: &Urls, clock: Arc<dyn Clock>) -> Router {
    let base = format!("{}{PROVIDER}", urls.browsers.as_str().trim_end_matches('/'));
    let provider = FakeLogin::new(people(), urls.browsers.as_str(), &base, clock);
    // Target of logins, as the page is the front end: the query tells it that a provider's login
    // succeeded. A failed login returns to `/` with the reason.
    let came_back = get(async || Redirect::to("/?login=ok"));
    market
        .public_router()
        .reset_fallback()
        .nest("/admin/market", market.admin_router().reset_fallback())
        .nest(PROVIDER, Arc::new(provider).router())
        .route("/data", came_back)
}

/// The e-mail address of a demo member: half of them have one.
fn address(member: MemberId) -> Option<String> {
    let id = member.get();
    (id % 2 == 1).then(|| format!("member{id}@example.com"))
}

/// The demo members as accounts of the provider's stand-in.
fn people() -> Vec<Person> {
    let person = |demo: demo::DemoMember| {
        let email = address(demo.member_id).map(|address| Email {
            address,
            verified: true,
        });
        Person {
            id: u64::from(demo.member_id.get()),
            name: demo.name.to_owned(),
            email,
        }
    };
    demo::members().map(person).collect()
}

#[cfg(test)]
pub(crate) mod tests {
    use shared::clock::SystemClock;
    use shared::config::parse;
    use tempfile::TempDir;

    use super::*;
    use crate::keys::DevKey;

    /// A market of this program in a folder of its own, without demo data.
    pub(crate) async fn open() -> (Market, TempDir) {
        let data = tempfile::tempdir().unwrap();
        DevKey::open(data.path()).unwrap();
        let folder = data.path().to_str().unwrap();
        let settings: Serve = parse(["dapanda", "--data", folder]).unwrap();
        let urls = Urls::of(SocketAddr::from(([127, 0, 0, 1], 8_080))).unwrap();
        let config = config(&settings, &urls, PaymentSettings::default());
        let market = Market::build(&config, Arc::new(SystemClock), &Drain::new()).await;
        (market.unwrap(), data)
    }

    #[tokio::test]
    async fn the_demo_has_one_administrator() {
        let (market, _data) = open().await;
        let first = administrator(&market).await.unwrap().unwrap();
        assert_eq!(market.members().role(first).await, Ok(Role::Admin));
        assert_eq!(administrator(&market).await.unwrap(), Some(first));
    }

    /// The demo members, created.
    pub(crate) async fn demo_members(market: &Market) -> Vec<Option<MemberId>> {
        let mut made = Vec::new();
        for one in demo::members() {
            let created = market.members().find_or_create(profile(one)).await;
            made.push(Some(created.unwrap().0));
        }
        made
    }
}
