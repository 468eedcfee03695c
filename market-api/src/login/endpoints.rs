//! Endpoints of the three login providers (`domain.md` 9.1).

use reqwest::Url;

use crate::members::Provider;

/// The URLs of a provider.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoints {
    /// The authorization page that the browser is redirected to.
    pub authorize: Url,
    /// The token endpoint: exchanges a code.
    pub token: Url,
    /// The profile endpoint.
    pub profile: Url,
    /// The issuer: compared with the parameter `iss` and with ID tokens.
    pub issuer: String,
}

/// Hosts and paths of a provider.
struct Place {
    authorize: (&'static str, &'static str),
    token: (&'static str, &'static str),
    profile: (&'static str, &'static str),
    issuer: &'static str,
}

const fn place(provider: Provider) -> Place {
    match provider {
        Provider::Kakao => Place {
            authorize: ("https://kauth.kakao.com", "/oauth/authorize"),
            token: ("https://kauth.kakao.com", "/oauth/token"),
            profile: ("https://kapi.kakao.com", "/v2/user/me"),
            issuer: "https://kauth.kakao.com",
        },
        Provider::Google => Place {
            authorize: ("https://accounts.google.com", "/o/oauth2/v2/auth"),
            token: ("https://oauth2.googleapis.com", "/token"),
            profile: ("https://openidconnect.googleapis.com", "/v1/userinfo"),
            issuer: "https://accounts.google.com",
        },
        Provider::Naver => Place {
            authorize: ("https://nid.naver.com", "/oauth2.0/authorize"),
            token: ("https://nid.naver.com", "/oauth2.0/token"),
            profile: ("https://openapi.naver.com", "/v1/nid/me"),
            issuer: "https://nid.naver.com",
        },
    }
}

impl Endpoints {
    /// The provider's own endpoints, or all of them below the URL of a stand-in. Browsers may reach the
    /// stand-in under another URL than this server does.
    #[must_use]
    pub fn of(provider: Provider, instead: Option<&StandIn>) -> Self {
        let place = place(provider);
        let Some(instead) = instead else {
            return Self {
                authorize: at(place.authorize.0, place.authorize.1),
                token: at(place.token.0, place.token.1),
                profile: at(place.profile.0, place.profile.1),
                issuer: place.issuer.to_owned(),
            };
        };
        let (browsers, servers) = (instead.browsers.as_str(), instead.servers.as_str());
        Self {
            authorize: at(browsers, place.authorize.1),
            token: at(servers, place.token.1),
            profile: at(servers, place.profile.1),
            issuer: browsers.trim_end_matches('/').to_owned(),
        }
    }
}

/// A server that replaces a provider, for tests and for development without internet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StandIn {
    /// Its URL for browsers.
    pub browsers: Url,
    /// Its URL for this server.
    pub servers: Url,
}

/// The settings accept only URLs that a path can be appended to (`parse_base_url`).
fn at(base: &str, path: &str) -> Url {
    let text = format!("{}{path}", base.trim_end_matches('/'));
    Url::parse(&text).expect("a URL and a path of this file make a URL")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stand_in_has_the_same_paths() {
        let base: Url = "http://127.0.0.1:1/fake/kakao".parse().unwrap();
        let stand_in = StandIn {
            browsers: base.clone(),
            servers: base,
        };
        for provider in Provider::ALL {
            let (own, other) = (
                Endpoints::of(provider, None),
                Endpoints::of(provider, Some(&stand_in)),
            );
            for (own, other) in [
                (own.authorize, other.authorize),
                (own.token, other.token),
                (own.profile, other.profile),
            ] {
                assert_eq!(own.scheme(), "https");
                assert_eq!(other.path(), format!("/fake/kakao{}", own.path()));
            }
        }
    }
}
