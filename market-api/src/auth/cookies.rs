//! The cookies that carry tokens: their names, attributes and removal.

use std::time::Duration;

use http::HeaderValue;
use shared::claims::MemberToken;
use shared::config::Secret;
use shared::web::{ACCESS_COOKIE, REFRESH_COOKIE, SetCookie};

/// Attributes of the token cookies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CookieSettings {
    /// The `Domain` attribute, so that all hosts of the site receive the cookies; `None` = this host only.
    pub domain: Option<String>,
    /// The `Secure` attribute. Off only for plain HTTP on one computer.
    pub secure: bool,
}

impl CookieSettings {
    /// A `Set-Cookie` value for a token: `HttpOnly`, `SameSite`, expires with the token.
    pub(super) fn set(&self, token: MemberToken, value: &Secret<String>) -> HeaderValue {
        let domain = self.domain.as_deref();
        self.cookie(domain, token, value.expose(), token.lifetime())
    }

    /// `Set-Cookie` values that delete both cookies, with and without the domain: a browser stores these
    /// separately, and host-only cookies remain from before the site had a domain.
    #[must_use]
    pub fn clear(&self) -> Vec<HeaderValue> {
        let of_domain = self.domain.as_deref().map(Some);
        let domains = of_domain.into_iter().chain([None]);
        let both = [MemberToken::Access, MemberToken::Refresh];
        domains
            .flat_map(|domain| both.map(|token| self.cookie(domain, token, "", Duration::ZERO)))
            .collect()
    }

    fn cookie(
        &self,
        domain: Option<&str>,
        token: MemberToken,
        value: &str,
        lifetime: Duration,
    ) -> HeaderValue {
        let cookie = SetCookie {
            name: name(token),
            value,
            lifetime,
            domain,
            secure: self.secure,
        };
        let header = cookie.header();
        header.expect("a token and a domain are of plain letters")
    }
}

fn name(token: MemberToken) -> &'static str {
    match token {
        MemberToken::Access => ACCESS_COOKIE,
        MemberToken::Refresh => REFRESH_COOKIE,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cookies_are_kept_from_scripts_and_other_sites() {
        let settings = CookieSettings {
            domain: Some("dapanda.example".to_owned()),
            secure: true,
        };
        let cookie = settings.set(MemberToken::Access, &Secret::new("a.b.c".to_owned()));
        assert_eq!(
            cookie,
            "accessToken=a.b.c; Path=/; Max-Age=3600; HttpOnly; SameSite=Lax; \
             Domain=dapanda.example; Secure"
        );
        assert!(cookie.is_sensitive());
        let ends = "=; Path=/; Max-Age=0; HttpOnly; SameSite=Lax";
        let expected = ["; Domain=dapanda.example; Secure", "; Secure"].map(|rest| {
            [
                format!("accessToken{ends}{rest}"),
                format!("refreshToken{ends}{rest}"),
            ]
        });
        assert_eq!(settings.clear(), expected.concat());
        let here = CookieSettings {
            domain: None,
            secure: false,
        };
        assert_eq!(
            here.clear(),
            [
                "accessToken=; Path=/; Max-Age=0; HttpOnly; SameSite=Lax",
                "refreshToken=; Path=/; Max-Age=0; HttpOnly; SameSite=Lax"
            ]
        );
    }
}
