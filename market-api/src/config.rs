//! The settings of the market API; `--help` is their reference.

mod chat;
mod command;
mod images;
mod login;
mod payments;
mod trades;

use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::time::Duration;

use clap::{Args, Parser};
use reqwest::Url;
use shared::claims::TokenScope;
use shared::config::{Mistake, Mistakes, Secret, Settings, parse_duration};
use shared::redis::BadRedisUrl;
use shared::telemetry::{LogFilter, LogFormat};
use shared::trace::export::TraceSettings;
use shared::web::{Serving, cors};

use crate::auth::CookieSettings;
use crate::cache::CacheUrl;
use crate::db::DbUrl;
use crate::login::LoginSettings;

pub use chat::ChatSettings;
pub use command::{Command, OutboxCommand, PaymentsCommand};
pub use images::{ImageSettings, ImagesUrl};
pub use login::Login;
pub use payments::PaymentSettings;
pub use trades::TradeSettings;

/// The market API: members, offers, trades and payments over REST
#[derive(Clone, Debug, Parser)]
#[command(name = "market-api", version)]
pub struct Config {
    /// Address that clients connect to
    #[arg(
        long,
        env = "MARKET_LISTEN",
        default_value = "127.0.0.1:8082",
        value_name = "ADDRESS:PORT"
    )]
    pub listen: SocketAddr,

    /// Address of metrics, health and admin routes; never public
    #[arg(
        long,
        env = "MARKET_ADMIN_LISTEN",
        default_value = "127.0.0.1:9082",
        value_name = "ADDRESS:PORT"
    )]
    pub admin_listen: SocketAddr,

    /// What to do instead of serving
    #[command(subcommand)]
    pub command: Option<Command>,

    /// Database: postgres://USER:PASSWORD@HOST:PORT/DATABASE, or sqlite:FILE
    #[arg(
        long,
        global = true,
        env = "MARKET_DB",
        default_value = "sqlite:./data/market.db",
        hide_env_values = true,
        value_name = "URL",
        value_parser = parse_db
    )]
    pub db: DbUrl,

    /// Cache of lists: local (in this process only), redis://HOST, redis-cluster://HOST,HOST or
    /// redis-sentinel://HOST,HOST/SERVICE; optional: USER:PASSWORD@ before the hosts, :PORT after each,
    /// /DB at the end; rediss for TLS
    #[arg(
        long,
        env = "MARKET_CACHE",
        default_value = "local",
        hide_env_values = true,
        value_name = "URL",
        value_parser = parse_cache
    )]
    pub cache: CacheUrl,

    /// Tokens, cookies and login providers
    #[command(flatten)]
    pub login: Login,

    /// Object store of pictures
    #[command(flatten)]
    pub images: ImageSettings,

    /// Connection to the chat server
    #[command(flatten)]
    pub chat: ChatSettings,

    /// URL of this server as browsers see it
    #[arg(
        long,
        env = "MARKET_PUBLIC_URL",
        default_value = "http://localhost:8082",
        value_name = "URL",
        value_parser = parse_base_url
    )]
    pub public_url: Url,

    /// URL of the front end: a login ends with a redirect to its /data
    #[arg(
        long,
        env = "MARKET_FRONT_URL",
        default_value = "http://localhost:3000",
        value_name = "URL",
        value_parser = parse_base_url
    )]
    pub front_url: Url,

    /// Origins whose pages may send cookies (CORS); the server's own origin always may. Comma-separated
    #[arg(
        long,
        env = "MARKET_ALLOWED_ORIGINS",
        default_value = "http://localhost:3000",
        value_delimiter = ',',
        value_name = "ORIGIN"
    )]
    pub allowed_origins: Vec<String>,

    /// Fees of sales
    #[command(flatten)]
    pub trades: TradeSettings,

    /// Payment gateway and payout provider
    #[command(flatten)]
    pub payments: PaymentSettings,

    /// Limits of requests and connections
    #[command(flatten)]
    pub limits: MarketLimits,

    /// Lame duck period: how long a stopping node serves on while /readyz fails. At least the time in which
    /// load balancers notice it
    #[arg(long, env = "MARKET_LAME_DUCK", default_value = "20s", value_parser = parse_duration,
        value_name = "TIME")]
    pub lame_duck: Duration,

    /// Deadline of the drain that follows: requests in flight finish within it
    #[arg(long, env = "MARKET_STOP_GRACE", default_value = "15s", value_parser = parse_duration,
        value_name = "TIME")]
    pub stop_grace: Duration,

    /// Where traces go
    #[command(flatten)]
    pub traces: TraceSettings,

    /// Format of logs
    #[arg(long, env = "MARKET_LOG_FORMAT", value_enum, default_value_t = LogFormat::Human)]
    pub log_format: LogFormat,

    /// Log filter: a level, or levels by module
    #[arg(
        long,
        env = "MARKET_LOG",
        default_value = "info",
        value_name = "FILTER"
    )]
    pub log: LogFilter,
}

/// Limits of requests and connections. A struct of its own, so that a program that embeds a market has
/// the same flags.
#[derive(Clone, Debug, PartialEq, Eq, Args)]
pub struct MarketLimits {
    /// Number of our proxies in front of this server: the client's address is read from that position from
    /// the end of X-Forwarded-For. 0: clients connect directly
    #[arg(
        long,
        env = "MARKET_TRUSTED_HOPS",
        default_value_t = 0,
        value_name = "COUNT"
    )]
    pub trusted_hops: usize,

    /// Rate limit per client address in requests per second, with bursts of five times as many; 0: no limit
    #[arg(
        long,
        env = "MARKET_ADDRESS_RATE",
        default_value_t = 200,
        value_name = "COUNT"
    )]
    pub address_rate: u32,

    /// Rate limit per member in requests per second, with bursts of five times as many; 0: no limit. Both
    /// rate limits count per node
    #[arg(
        long,
        env = "MARKET_MEMBER_RATE",
        default_value_t = 20,
        value_name = "COUNT"
    )]
    pub member_rate: u32,

    /// Maximum of concurrent connections per address; 0: no limit. Not applied behind proxies, nor to
    /// loopback addresses, where a proxy may run
    #[arg(
        long,
        env = "MARKET_ADDRESS_CONNECTIONS_MAX",
        default_value_t = 1_024,
        value_name = "COUNT"
    )]
    pub address_connections_max: usize,

    /// Time-out from a connection's start to a request's first byte, and from there to the end of its head
    #[arg(long, env = "MARKET_HEAD_TIME", default_value = "10s", value_parser = parse_duration,
        value_name = "TIME")]
    pub head_time: Duration,

    /// Idle time-out of a connection between two requests. Longer than the load balancer's own, or requests
    /// sent while the connection closes are lost
    #[arg(long, env = "MARKET_IDLE_TIME", default_value = "75s", value_parser = parse_duration,
        value_name = "TIME")]
    pub idle_time: Duration,
}

impl MarketLimits {
    /// How the listener serves clients; pages of these origins may send cookies.
    #[must_use]
    pub fn serving(&self, allowed_origins: &[String]) -> Serving {
        let per_address_max = NonZeroUsize::new(self.address_connections_max);
        Serving {
            connections_per_address_max: per_address_max.filter(|_| self.trusted_hops == 0),
            idle_time: self.idle_time,
            cors: Some(cors(allowed_origins)),
            ..self.head_time.into()
        }
    }
}

impl Config {
    /// Issuer and audience of tokens.
    #[must_use]
    pub fn token_scope(&self) -> TokenScope {
        TokenScope {
            issuer: self.login.token_issuer.clone(),
            audience: self.login.token_audience.clone(),
        }
    }

    /// Attributes of the token cookies.
    #[must_use]
    pub fn cookies(&self) -> CookieSettings {
        CookieSettings {
            domain: self.login.cookie_domain.clone(),
            secure: !self.login.insecure_cookies,
        }
    }

    /// Settings of logins.
    #[must_use]
    pub fn logins(&self) -> LoginSettings {
        LoginSettings {
            public_url: self.public_url.clone(),
            front_url: self.front_url.clone(),
            providers: self.login.providers(),
            secure_cookies: !self.login.insecure_cookies,
        }
    }
}

impl Settings for Config {
    fn check(&self, mistakes: &mut Mistakes) {
        self.login.check(mistakes);
        self.images.check(mistakes);
        self.chat.check(mistakes);
        self.payments.check(mistakes);
        self.limits.check(mistakes);
        check_origins(&self.allowed_origins, mistakes);
    }
}

impl MarketLimits {
    /// Records every invalid value.
    pub fn check(&self, mistakes: &mut Mistakes) {
        let times = [("head_time", self.head_time), ("idle_time", self.idle_time)];
        for (setting, time) in times {
            if time < Duration::from_secs(1) {
                let what = format!("in {time:?} no request comes");
                let right = "1s or more".to_owned();
                mistakes.add(setting, Mistake { what, right });
            }
        }
    }
}

/// Records every invalid origin. Origins are compared as browsers send them, so `http://localhost:3000/`
/// would allow no page.
pub fn check_origins(origins: &[String], mistakes: &mut Mistakes) {
    for origin in origins {
        let is_origin =
            Url::parse(origin).is_ok_and(|url| url.origin().ascii_serialization() == *origin);
        if !is_origin {
            let what = format!("{origin:?} is no origin");
            let right = "https://HOST, without a path".to_owned();
            mistakes.add("allowed_origins", Mistake { what, right });
        }
    }
}

/// The reason why a value is rejected; the setting's help describes valid ones.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("{0}")]
pub struct NotAccepted(&'static str);

/// Parses the URL of a database: `postgres://…` or `sqlite:FILE`.
///
/// # Errors
/// It is another one.
pub fn parse_db(text: &str) -> Result<DbUrl, NotAccepted> {
    if text.starts_with("postgres://") || text.starts_with("postgresql://") {
        return Ok(DbUrl::Postgres(Secret::new(text.to_owned())));
    }
    match text.strip_prefix("sqlite:") {
        // `sqlite:///srv/market.db` means the same as `sqlite:/srv/market.db`.
        Some(path) if !path.trim_start_matches('/').is_empty() => Ok(DbUrl::Sqlite(
            path.strip_prefix("//").unwrap_or(path).into(),
        )),
        _ => Err(NotAccepted("neither postgres:// nor sqlite:")),
    }
}

fn parse_cache(text: &str) -> Result<CacheUrl, NotAccepted> {
    if text == "local" {
        return Ok(CacheUrl::Local);
    }
    let address = text.parse().map(CacheUrl::Redis);
    address.map_err(|BadRedisUrl| NotAccepted("neither local nor the address of a Redis"))
}

/// Parses a URL that paths are appended to: http or https, without credentials, query or
/// fragment.
///
/// # Errors
/// It is another one.
pub fn parse_base_url(text: &str) -> Result<Url, NotAccepted> {
    let url = Url::parse(text).ok();
    let web = url.filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host());
    let url = web.ok_or(NotAccepted("not an http or https URL"))?;
    if url.query().is_some() || url.fragment().is_some() {
        return Err(NotAccepted("paths are put behind it: no ? and no #"));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(NotAccepted("it has a user's name or password"));
    }
    Ok(url)
}

#[cfg(test)]
mod tests {
    use shared::config::{NoSettings, parse};

    use super::*;

    fn check(args: &[&str], expected: &[&str]) {
        let words = std::iter::once(&"market-api").chain(args);
        let Err(NoSettings::Wrong(mistakes)) = parse::<Config>(words) else {
            panic!("accepted: {args:?}")
        };
        let report = mistakes.to_string();
        for part in expected {
            assert!(report.contains(part), "{part} is missing in: {report}");
        }
    }

    #[test]
    fn defaults_are_good() {
        let config: Config = parse(["market-api"]).unwrap();
        assert!(config.logins().providers.is_empty());
        assert!(config.cookies().secure);
    }

    #[test]
    fn wrong_values_are_refused() {
        check(&["--db", "mysql://x"], &["--db"]);
        check(&["--listen", "here"], &["--listen"]);
        check(&["--images", "s3:x"], &["--images"]);
        check(&["--kakao-url", "x"], &["--kakao-url"]);
    }

    #[test]
    fn settings_that_need_each_other_are_checked() {
        check(
            &[
                "--kakao-id=x",
                "--naver-secret=hunter2",
                "--cookie-domain=a b",
                "--images=https://bucket.example",
                "--allowed-origins=https://x.example/path",
                "--head-time=0s",
                "--idle-time=0s",
            ],
            &[
                "--kakao-secret",
                "--naver-id",
                "--cookie-domain",
                "--images-access-key",
                "--images-secret-key",
                "--allowed-origins",
                "--head-time",
                "--idle-time",
            ],
        );
    }

    #[test]
    fn base_url_ends_with_its_path() {
        for setting in [
            "public-url",
            "front-url",
            "images",
            "images-public-url",
            "kakao-url",
        ] {
            for url in [
                "http://h/?a=b",
                "https://h/x#y",
                "http://u:p@h",
                "ftp://h",
                "h",
            ] {
                check(&[&format!("--{setting}={url}")], &[setting]);
            }
        }
    }

    #[test]
    fn a_password_is_never_shown() {
        let report = parse::<Config>(["market-api", "--db=mysql://u:hunter2@h/x"]);
        let Err(NoSettings::Wrong(mistakes)) = report else {
            panic!("accepted")
        };
        assert!(!mistakes.to_string().contains("hunter2"), "{mistakes}");
        let report = parse::<Config>(["market-api", "--cache=redis://:hunter2@h/x"]);
        let Err(NoSettings::Wrong(mistakes)) = report else {
            panic!("accepted")
        };
        assert!(!mistakes.to_string().contains("hunter2"), "{mistakes}");
        let secrets = [
            "market-api",
            "--db=postgres://u:hunter2@h/x",
            "--cache=redis-cluster://:hunter2@a,b:7",
        ];
        let config: Config = parse(secrets).unwrap();
        assert!(!format!("{config:?}").contains("hunter2"));
    }
}
