//! The settings of the market API; `--help` is their reference.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser};
use reqwest::Url;
use shared::claims::TokenScope;
use shared::config::{Mistake, Mistakes, Secret, Settings, parse_duration};
use shared::telemetry::{LogFilter, LogFormat};

use crate::auth::CookieSettings;
use crate::cache::CacheUrl;
use crate::db::DbUrl;
use crate::images::s3::S3Settings;
use crate::members::Provider;
use crate::members::login::{Endpoints, LoginSettings, ProviderSettings, StandIn};

/// The market API: members, offers, trades and payments over REST
#[derive(Clone, Debug, Parser)]
#[command(name = "market-api", version)]
pub struct Config {
    /// Where clients connect
    #[arg(
        long,
        env = "MARKET_LISTEN",
        default_value = "127.0.0.1:8082",
        value_name = "ADDRESS:PORT"
    )]
    pub listen: SocketAddr,

    /// Where metrics and health are served; never public
    #[arg(
        long,
        env = "MARKET_ADMIN_LISTEN",
        default_value = "127.0.0.1:9082",
        value_name = "ADDRESS:PORT"
    )]
    pub admin_listen: SocketAddr,

    /// Where everything is kept: postgres://USER:PASSWORD@HOST:PORT/DATABASE, or sqlite:FILE
    #[arg(
        long,
        env = "MARKET_DB",
        default_value = "sqlite:./data/market.db",
        hide_env_values = true,
        value_name = "URL",
        value_parser = parse_db
    )]
    pub db: DbUrl,

    /// Where lists are kept for a while: redis://…, redis-cluster://…, redis-sentinel://… for all
    /// instances, or local: one instance alone
    #[arg(
        long,
        env = "MARKET_CACHE",
        default_value = "local",
        hide_env_values = true,
        value_name = "URL",
        value_parser = parse_cache
    )]
    pub cache: CacheUrl,

    /// Who asks, and how they log in
    #[command(flatten)]
    pub login: Login,

    /// Where pictures go
    #[command(flatten)]
    pub images: ImageSettings,

    /// Under which URL browsers reach this server
    #[arg(
        long,
        env = "MARKET_PUBLIC_URL",
        default_value = "http://localhost:8082",
        value_name = "URL"
    )]
    pub public_url: Url,

    /// Where the front end is: whoever has logged in is sent to its /data
    #[arg(
        long,
        env = "MARKET_FRONT_URL",
        default_value = "http://localhost:3000",
        value_name = "URL"
    )]
    pub front_url: Url,

    /// Pages of these origins may use cookies here; the server's own always may. Comma-separated
    #[arg(
        long,
        env = "MARKET_ALLOWED_ORIGINS",
        default_value = "http://localhost:3000",
        value_delimiter = ',',
        value_name = "ORIGIN"
    )]
    pub allowed_origins: Vec<String>,

    /// How much it takes
    #[command(flatten)]
    pub limits: MarketLimits,

    /// How long stopping may take: requests under way
    #[arg(long, env = "MARKET_STOP_GRACE", default_value = "15s", value_parser = parse_duration,
        value_name = "TIME")]
    pub stop_grace: Duration,

    /// How logs look
    #[arg(long, env = "MARKET_LOG_FORMAT", value_enum, default_value_t = LogFormat::Human)]
    pub log_format: LogFormat,

    /// What is logged: a level, or levels by module
    #[arg(
        long,
        env = "MARKET_LOG",
        default_value = "info",
        value_name = "FILTER"
    )]
    pub log: LogFilter,
}

/// Tokens, cookies and providers.
#[derive(Clone, Debug, Args)]
pub struct Login {
    /// Folder of the keys that sign tokens (P-256, PKCS #8, *.pem): the newest signs, older ones
    /// are published until their tokens have expired. It is read again while running; several
    /// servers share it. An empty one gets a key
    #[arg(
        long,
        env = "MARKET_SIGNING_KEYS",
        default_value = "./data/keys",
        value_name = "DIR"
    )]
    pub signing_keys: PathBuf,

    /// The `iss` of tokens
    #[arg(long, env = "MARKET_TOKEN_ISSUER", default_value = "dapanda")]
    pub token_issuer: String,

    /// The `aud` of tokens
    #[arg(long, env = "MARKET_TOKEN_AUDIENCE", default_value = "dapanda")]
    pub token_audience: String,

    /// The site's domain, all of whose hosts get the cookies; without it only this host does
    #[arg(long, env = "MARKET_COOKIE_DOMAIN", value_name = "DOMAIN")]
    pub cookie_domain: Option<String>,

    /// Send cookies over plain HTTP, too: on one's own computer only
    #[arg(long, env = "MARKET_INSECURE_COOKIES")]
    pub insecure_cookies: bool,

    /// This site's id at Kakao; without it nobody logs in with Kakao
    #[arg(long, env = "MARKET_KAKAO_ID", value_name = "ID")]
    pub kakao_id: Option<String>,

    /// This site's secret at Kakao
    #[arg(long, env = "MARKET_KAKAO_SECRET", value_name = "SECRET")]
    pub kakao_secret: Option<Secret<String>>,

    /// Somebody who stands in for Kakao: URL for browsers, or two, the second for this server
    #[arg(long, env = "MARKET_KAKAO_URL", value_name = "URL[,URL]", value_parser = parse_stand_in)]
    pub kakao_url: Option<StandIn>,

    /// This site's id at Google; without it nobody logs in with Google
    #[arg(long, env = "MARKET_GOOGLE_ID", value_name = "ID")]
    pub google_id: Option<String>,

    /// This site's secret at Google
    #[arg(long, env = "MARKET_GOOGLE_SECRET", value_name = "SECRET")]
    pub google_secret: Option<Secret<String>>,

    /// Somebody who stands in for Google: URL for browsers, or two, the second for this server
    #[arg(long, env = "MARKET_GOOGLE_URL", value_name = "URL[,URL]", value_parser = parse_stand_in)]
    pub google_url: Option<StandIn>,

    /// This site's id at Naver; without it nobody logs in with Naver
    #[arg(long, env = "MARKET_NAVER_ID", value_name = "ID")]
    pub naver_id: Option<String>,

    /// This site's secret at Naver
    #[arg(long, env = "MARKET_NAVER_SECRET", value_name = "SECRET")]
    pub naver_secret: Option<Secret<String>>,

    /// Somebody who stands in for Naver: URL for browsers, or two, the second for this server
    #[arg(long, env = "MARKET_NAVER_URL", value_name = "URL[,URL]", value_parser = parse_stand_in)]
    pub naver_url: Option<StandIn>,
}

/// The object store.
#[derive(Clone, Debug, Args)]
pub struct ImageSettings {
    /// Where pictures go: file:FOLDER, or the URL of an S3 bucket
    #[arg(
        long,
        env = "MARKET_IMAGES",
        default_value = "file:./data/images",
        value_name = "URL",
        value_parser = parse_images
    )]
    pub images: ImagesUrl,

    /// Where everybody reads the pictures of a bucket, if not at its own URL
    #[arg(long, env = "MARKET_IMAGES_PUBLIC_URL", value_name = "URL")]
    pub images_public_url: Option<Url>,

    /// The bucket's region
    #[arg(
        long,
        env = "MARKET_IMAGES_REGION",
        default_value = "ap-northeast-2",
        value_name = "REGION"
    )]
    pub images_region: String,

    /// Who signs for the bucket
    #[arg(long, env = "MARKET_IMAGES_ACCESS_KEY", value_name = "KEY")]
    pub images_access_key: Option<String>,

    /// With what
    #[arg(long, env = "MARKET_IMAGES_SECRET_KEY", value_name = "SECRET")]
    pub images_secret_key: Option<Secret<String>>,
}

/// Where pictures go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ImagesUrl {
    /// A folder of this computer.
    Folder(PathBuf),
    /// A bucket that speaks S3.
    Bucket(Url),
}

/// How much a market API takes. A struct of its own, so that a program with one inside has the
/// same flags.
#[derive(Clone, Debug, PartialEq, Eq, Args)]
pub struct MarketLimits {
    /// Proxies of ours before this server: the client's address stands so many entries from the end
    /// of X-Forwarded-For. 0: clients connect directly
    #[arg(
        long,
        env = "MARKET_TRUSTED_HOPS",
        default_value_t = 0,
        value_name = "COUNT"
    )]
    pub trusted_hops: usize,

    /// Requests a second from one client address, with bursts of five times as many; 0: no limit
    #[arg(
        long,
        env = "MARKET_ADDRESS_RATE",
        default_value_t = 200,
        value_name = "COUNT"
    )]
    pub address_rate: u32,

    /// Requests a second of one member, with bursts of five times as many; 0: no limit
    #[arg(
        long,
        env = "MARKET_MEMBER_RATE",
        default_value_t = 20,
        value_name = "COUNT"
    )]
    pub member_rate: u32,

    /// From a connection's start, or the last answer, to the end of the next request's head
    #[arg(long, env = "MARKET_HEAD_TIME", default_value = "10s", value_parser = parse_duration,
        value_name = "TIME")]
    pub head_time: Duration,
}

impl Config {
    /// For whom tokens are.
    #[must_use]
    pub fn token_scope(&self) -> TokenScope {
        TokenScope {
            issuer: self.login.token_issuer.clone(),
            audience: self.login.token_audience.clone(),
        }
    }

    /// How cookies are made.
    #[must_use]
    pub fn cookies(&self) -> CookieSettings {
        CookieSettings {
            domain: self.login.cookie_domain.clone(),
            secure: !self.login.insecure_cookies,
        }
    }

    /// What logins need to know.
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

/// What the settings say of one provider.
type Said<'a> = (
    Provider,
    &'a Option<String>,
    &'a Option<Secret<String>>,
    &'a Option<StandIn>,
);

impl Login {
    fn all(&self) -> [Said<'_>; 3] {
        let kakao = (&self.kakao_id, &self.kakao_secret, &self.kakao_url);
        let google = (&self.google_id, &self.google_secret, &self.google_url);
        let naver = (&self.naver_id, &self.naver_secret, &self.naver_url);
        [
            (Provider::Kakao, kakao.0, kakao.1, kakao.2),
            (Provider::Google, google.0, google.1, google.2),
            (Provider::Naver, naver.0, naver.1, naver.2),
        ]
    }

    fn providers(&self) -> Vec<ProviderSettings> {
        let known = self.all().into_iter();
        let known = known.filter_map(|(provider, id, secret, url)| {
            Some(ProviderSettings {
                provider,
                client_id: id.clone()?,
                client_secret: secret.clone()?,
                endpoints: Endpoints::of(provider, url.as_ref()),
            })
        });
        known.collect()
    }

    fn check(&self, mistakes: &mut Mistakes) {
        for (provider, id, secret, _) in self.all() {
            if id.is_some() == secret.is_some() {
                continue;
            }
            let (missing, there) = if id.is_some() {
                ("secret", "id")
            } else {
                ("id", "secret")
            };
            let setting = format!("{}_{missing}", provider.path());
            let what = format!("is missing, while the {there} is there");
            let right = "both, or neither".to_owned();
            mistakes.add(&setting, Mistake { what, right });
        }
        let is_letter = |byte: u8| byte.is_ascii_alphanumeric() || b"-.".contains(&byte);
        if let Some(domain) = &self.cookie_domain
            && (domain.is_empty() || !domain.bytes().all(is_letter))
        {
            let what = format!("{domain:?} is no domain");
            let right = "the like of dapanda.example".to_owned();
            mistakes.add("cookie_domain", Mistake { what, right });
        }
    }
}

impl ImageSettings {
    /// How to reach the bucket, if it is one and its settings are there.
    #[must_use]
    pub fn bucket(&self) -> Option<S3Settings> {
        let ImagesUrl::Bucket(bucket_url) = &self.images else {
            return None;
        };
        Some(S3Settings {
            bucket_url: bucket_url.clone(),
            public_url: self.images_public_url.clone().unwrap_or(bucket_url.clone()),
            region: self.images_region.clone(),
            access_key: self.images_access_key.clone()?,
            secret_key: self.images_secret_key.clone()?,
        })
    }

    fn check(&self, mistakes: &mut Mistakes) {
        if !matches!(self.images, ImagesUrl::Bucket(_)) {
            return;
        }
        for (setting, is_there) in [
            ("images_access_key", self.images_access_key.is_some()),
            ("images_secret_key", self.images_secret_key.is_some()),
        ] {
            if !is_there {
                let what = "is missing, and pictures go to a bucket".to_owned();
                let right = "the bucket's key".to_owned();
                mistakes.add(setting, Mistake { what, right });
            }
        }
    }
}

impl Settings for Config {
    fn check(&self, mistakes: &mut Mistakes) {
        self.login.check(mistakes);
        self.images.check(mistakes);
        for (setting, url) in [
            ("public_url", &self.public_url),
            ("front_url", &self.front_url),
        ] {
            if !matches!(url.scheme(), "http" | "https") || url.query().is_some() {
                let what = format!("{url} is not accepted");
                let right = "http://HOST or https://HOST".to_owned();
                mistakes.add(setting, Mistake { what, right });
            }
        }
        for origin in &self.allowed_origins {
            let is_origin =
                Url::parse(origin).is_ok_and(|url| url.origin().ascii_serialization() == *origin);
            if !is_origin {
                let what = format!("{origin:?} is no origin");
                let right = "https://HOST, without a path".to_owned();
                mistakes.add("allowed_origins", Mistake { what, right });
            }
        }
    }
}

/// Why a text is not accepted; the setting's help says what is.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("{0}")]
struct NotAccepted(&'static str);

fn parse_db(text: &str) -> Result<DbUrl, NotAccepted> {
    if text.starts_with("postgres://") || text.starts_with("postgresql://") {
        return Ok(DbUrl::Postgres(Secret::new(text.to_owned())));
    }
    match text.strip_prefix("sqlite:") {
        Some(path) if !path.is_empty() => Ok(DbUrl::Sqlite(path.into())),
        _ => Err(NotAccepted("neither postgres:// nor sqlite:")),
    }
}

fn parse_cache(text: &str) -> Result<CacheUrl, NotAccepted> {
    let schemes = [
        "redis://",
        "rediss://",
        "redis-cluster://",
        "redis-sentinel://",
    ];
    if text == "local" {
        Ok(CacheUrl::Local)
    } else if schemes.iter().any(|scheme| text.starts_with(scheme)) {
        Ok(CacheUrl::Redis(Secret::new(text.to_owned())))
    } else {
        Err(NotAccepted("neither redis:// nor local"))
    }
}

fn parse_images(text: &str) -> Result<ImagesUrl, NotAccepted> {
    if let Some(folder) = text.strip_prefix("file:") {
        let is_there = !folder.is_empty();
        return is_there
            .then(|| ImagesUrl::Folder(folder.into()))
            .ok_or(NotAccepted("no folder"));
    }
    parse_url(text).map(ImagesUrl::Bucket)
}

fn parse_stand_in(text: &str) -> Result<StandIn, NotAccepted> {
    let (browsers, servers) = text.split_once(',').unwrap_or((text, text));
    Ok(StandIn {
        browsers: parse_url(browsers)?,
        servers: parse_url(servers)?,
    })
}

fn parse_url(text: &str) -> Result<Url, NotAccepted> {
    let url = Url::parse(text).ok();
    let web = url.filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host());
    web.ok_or(NotAccepted("not an http or https URL"))
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
    fn all_mistakes_are_told_at_once() {
        check(
            &[
                "--db",
                "mysql://x",
                "--listen",
                "here",
                "--images",
                "s3:x",
                "--kakao-url",
                "x",
            ],
            &["--db", "--listen", "--images", "--kakao-url"],
        );
    }

    #[test]
    fn what_belongs_together_comes_together() {
        check(
            &[
                "--kakao-id=x",
                "--naver-secret=hunter2",
                "--cookie-domain=a b",
                "--images=https://bucket.example",
                "--allowed-origins=https://x.example/path",
                "--front-url=ftp://x.example",
            ],
            &[
                "--kakao-secret",
                "--naver-id",
                "--cookie-domain",
                "--images-access-key",
                "--images-secret-key",
                "--allowed-origins",
                "--front-url",
            ],
        );
    }

    #[test]
    fn a_password_is_never_shown() {
        let report = parse::<Config>(["market-api", "--db=mysql://u:hunter2@h/x"]);
        let Err(NoSettings::Wrong(mistakes)) = report else {
            panic!("accepted")
        };
        assert!(!mistakes.to_string().contains("hunter2"), "{mistakes}");
        let config: Config = parse(["market-api", "--db=postgres://u:hunter2@h/x"]).unwrap();
        assert!(!format!("{config:?}").contains("hunter2"));
    }
}
