//! Settings of tokens, cookies and login providers.

use std::path::PathBuf;

use clap::Args;
use shared::claims::FamilyId;
use shared::config::{Mistake, Mistakes, Secret};

use super::{NotAccepted, parse_base_url};
use crate::login::{Endpoints, ProviderSettings, StandIn};
use crate::members::Provider;

/// Tokens, cookies and providers.
#[derive(Clone, Debug, Args)]
pub struct Login {
    /// Folder of the signing keys (P-256, PKCS #8, *.pem): the newest signs, older ones are published until
    /// their tokens have expired. Re-read while running; several servers share it. In an empty folder a
    /// key is created
    #[arg(
        long,
        env = "MARKET_SIGNING_KEYS",
        default_value = "./data/keys",
        value_name = "DIR"
    )]
    pub signing_keys: PathBuf,

    /// Issuer (`iss`) of tokens
    #[arg(long, env = "MARKET_TOKEN_ISSUER", default_value = "dapanda")]
    pub token_issuer: String,

    /// Audience (`aud`) of tokens
    #[arg(long, env = "MARKET_TOKEN_AUDIENCE", default_value = "dapanda")]
    pub token_audience: String,

    /// Domain of the cookies: all its hosts receive them; without it only this host does
    #[arg(long, env = "MARKET_COOKIE_DOMAIN", value_name = "DOMAIN")]
    pub cookie_domain: Option<String>,

    /// Send cookies over plain HTTP, too: for development on one computer only
    #[arg(long, env = "MARKET_INSECURE_COOKIES")]
    pub insecure_cookies: bool,

    /// Client id at Kakao; without it the login with Kakao is off
    #[arg(long, env = "MARKET_KAKAO_ID", value_name = "ID")]
    pub kakao_id: Option<String>,

    /// Client secret at Kakao
    #[arg(long, env = "MARKET_KAKAO_SECRET", value_name = "SECRET")]
    pub kakao_secret: Option<Secret<String>>,

    /// Stand-in for Kakao (tests): its URL for browsers, or two URLs, the second for this server
    #[arg(long, env = "MARKET_KAKAO_URL", value_name = "URL[,URL]", value_parser = parse_stand_in)]
    pub kakao_url: Option<StandIn>,

    /// Client id at Google; without it the login with Google is off
    #[arg(long, env = "MARKET_GOOGLE_ID", value_name = "ID")]
    pub google_id: Option<String>,

    /// Client secret at Google
    #[arg(long, env = "MARKET_GOOGLE_SECRET", value_name = "SECRET")]
    pub google_secret: Option<Secret<String>>,

    /// Stand-in for Google (tests): its URL for browsers, or two URLs, the second for this server
    #[arg(long, env = "MARKET_GOOGLE_URL", value_name = "URL[,URL]", value_parser = parse_stand_in)]
    pub google_url: Option<StandIn>,

    /// Client id at Naver; without it the login with Naver is off
    #[arg(long, env = "MARKET_NAVER_ID", value_name = "ID")]
    pub naver_id: Option<String>,

    /// Client secret at Naver
    #[arg(long, env = "MARKET_NAVER_SECRET", value_name = "SECRET")]
    pub naver_secret: Option<Secret<String>>,

    /// Stand-in for Naver (tests): its URL for browsers, or two URLs, the second for this server
    #[arg(long, env = "MARKET_NAVER_URL", value_name = "URL[,URL]", value_parser = parse_stand_in)]
    pub naver_url: Option<StandIn>,

    /// The family of access tokens that need no session: for a program that issues such tokens to its own
    /// developer. Not a flag, so that no deployed site can set it.
    #[arg(skip)]
    pub developer_family: Option<FamilyId>,
}

/// The settings of one provider: name, client id, client secret, stand-in.
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

    pub(super) fn providers(&self) -> Vec<ProviderSettings> {
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

    pub(super) fn check(&self, mistakes: &mut Mistakes) {
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

fn parse_stand_in(text: &str) -> Result<StandIn, NotAccepted> {
    let (browsers, servers) = text.split_once(',').unwrap_or((text, text));
    Ok(StandIn {
        browsers: parse_base_url(browsers)?,
        servers: parse_base_url(servers)?,
    })
}
