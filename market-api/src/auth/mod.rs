//! Authentication: signing keys, tokens and cookies, revocable sessions.
//!
//! ```text
//! request ─► bearer token │ access cookie │ refresh cookie ─► claims ─► session and member in the
//!            database: not revoked, not blocked, the role as it is now ─► Caller
//! ```
//!
//! A token carries an identity only. Status and role are those of the database at every request, so a block, a lost
//! role or a logout takes effect at the next one (`session_cache` says when a read is spared).
//!
//! What this module does not do: log a member in (`login` does, through the providers).

mod caller;
mod cookies;
mod http;
mod keys;
mod renew;
mod repo;
mod session;
mod session_cache;
mod verified;

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashSet};
use std::convert::Infallible;
use std::sync::Arc;

use ::http::header::COOKIE;
use shared::claims::{
    FamilyId, MemberClaims, MemberGrant, MemberToken, REFRESH_LIFETIME, Role, SignError, TokenId,
};
use shared::clock::{Clock, UnixMillis};
use shared::config::Secret;
use shared::ids::MemberId;
use shared::text::Language;
use shared::web::Credentials;

use crate::db::{Abort, Db, DbError};
use crate::metrics::Metrics;

pub use caller::{Admin, Caller, InfoCaller};
pub use cookies::CookieSettings;
pub use http::routes;
pub use keys::{KeyRing, KeysError, REREAD_EVERY};
pub use repo::{end_all_in, forget_in};
use session::Session;
pub use session::{FAMILY_LIFETIME, REUSE_GRACE, ROTATE_AFTER};
use session_cache::SessionCache;

/// Authenticates requests; begins, renews and ends sessions.
#[derive(Clone, Debug)]
pub struct Auth {
    db: Db,
    keys: Arc<KeyRing>,
    clock: Arc<dyn Clock>,
    metrics: Arc<Metrics>,
    cookies: CookieSettings,
    developer_family: Option<FamilyId>,
    sessions: Arc<SessionCache>,
}

/// A member with a valid token, as the database has them now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The member's id.
    pub member: MemberId,
    /// The role now, not when the token was signed.
    pub role: Role,
    /// The token family (one login) of the token.
    pub family: FamilyId,
    /// How the token was sent; decides about the CSRF check.
    pub origin: Origin,
    /// The language for the member's error texts and notifications.
    pub language: Language,
}

/// Why a request has no caller.
#[derive(Debug, thiserror::Error)]
pub enum AuthError {
    /// No token was sent.
    #[error("no token")]
    TokenMissing,
    /// The token is invalid or expired, or its session has ended.
    #[error("the token is not valid")]
    TokenInvalid,
    /// The member is blocked.
    #[error("the member is blocked")]
    Blocked,
    /// Fresh cookies could not be signed.
    #[error(transparent)]
    Sign(#[from] SignError),
    /// The database's.
    #[error(transparent)]
    Db(#[from] DbError),
}

/// Why a session was not begun.
#[derive(Debug, thiserror::Error)]
pub enum IssueError {
    /// The cryptographic library's.
    #[error(transparent)]
    Sign(#[from] SignError),
    /// The database's.
    #[error(transparent)]
    Db(#[from] DbError),
}

/// The token pair of a session.
#[derive(Clone, Debug)]
pub struct Tokens {
    /// The short-lived token that authenticates requests.
    pub access: Secret<String>,
    /// The long-lived token that renews the access token.
    pub refresh: Secret<String>,
}

/// How a token was sent. A browser adds cookies to requests of any page, but never a bearer token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// In a cookie: needs the CSRF check.
    Cookie,
    /// In the `Authorization` header, which only the site's own code can set.
    Bearer,
}

/// The tokens accepted in the access cookie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum AccessCookie {
    /// Access tokens only.
    Strict,
    /// Also refresh tokens: the first front end's server sends no other.
    AlsoRefresh,
}

/// `Set-Cookie` values.
type SetCookies = Vec<::http::HeaderValue>;

impl Auth {
    /// Authentication against this database with these keys.
    #[must_use]
    pub fn new(
        db: Db,
        keys: Arc<KeyRing>,
        clock: Arc<dyn Clock>,
        metrics: Arc<Metrics>,
        cookies: CookieSettings,
    ) -> Self {
        Self {
            db,
            keys,
            clock,
            metrics,
            cookies,
            developer_family: None,
            sessions: Arc::default(),
        }
    }

    /// Accepts access tokens of this family without a session, until they expire.
    #[must_use]
    pub fn with_developer_family(mut self, family: Option<FamilyId>) -> Self {
        self.developer_family = family;
        self
    }

    /// The keys that sign and verify tokens.
    #[must_use]
    pub fn keys(&self) -> &KeyRing {
        &self.keys
    }

    /// Attributes of the token cookies.
    #[must_use]
    pub fn cookies(&self) -> &CookieSettings {
        &self.cookies
    }

    /// Begins a session of this member; returns the `Set-Cookie` values of its tokens.
    ///
    /// # Errors
    /// See [`IssueError`].
    pub async fn begin(&self, member: MemberId, role: Role) -> Result<SetCookies, IssueError> {
        let tokens = self.issue(member, role).await?;
        Ok(vec![
            self.cookies.set(MemberToken::Access, &tokens.access),
            self.cookies.set(MemberToken::Refresh, &tokens.refresh),
        ])
    }

    /// Begins a session of this member; returns its tokens.
    ///
    /// # Errors
    /// See [`IssueError`].
    pub async fn issue(&self, member: MemberId, role: Role) -> Result<Tokens, IssueError> {
        let (family, token) = (FamilyId::random(&mut rand::rng()), fresh_token());
        let context = (member, family.clone(), token.clone());
        let begun = self.db.write(context, |(member, family, token), tx| {
            Box::pin(async move {
                repo::insert_family(tx, *member, family, token).await?;
                Ok::<_, Abort<Infallible>>(tx.now())
            })
        });
        let now = begun.await.map_err(DbError::from)?;
        let holder = Holder {
            member,
            role,
            family: &family,
        };
        Ok(Tokens {
            access: self.sign(&holder, MemberToken::Access, fresh_token(), now)?,
            refresh: self.sign(&holder, MemberToken::Refresh, token, now)?,
        })
    }

    /// Revokes the session of every valid token in the request, also for a blocked member. A browser sends
    /// several when cookies of one name differ in domain or path; a session left open would authenticate the
    /// next request.
    ///
    /// # Errors
    /// [`AuthError::TokenMissing`], [`AuthError::TokenInvalid`], or the database's.
    pub async fn end(&self, credentials: &Credentials) -> Result<SetCookies, AuthError> {
        let shown = self.sessions_shown(credentials)?;
        let ended = self.db.write(shown, |shown, tx| {
            Box::pin(async move {
                repo::revoke(tx, shown).await?;
                Ok::<_, Abort<Infallible>>(())
            })
        });
        ended.await.map_err(DbError::from)?;
        Ok(self.cookies.clear())
    }

    /// The session of a browser's cookies, with the `Set-Cookie` values for the response; `None` without a
    /// valid token.
    pub async fn session(&self, headers: &::http::HeaderMap) -> Option<(Role, SetCookies)> {
        let mut cookies = ::http::HeaderMap::new();
        for cookie in headers.get_all(COOKIE) {
            cookies.append(COOKIE, cookie.clone());
        }
        let credentials = Credentials::from_headers(&cookies);
        let found = self.identify(&credentials, AccessCookie::Strict).await;
        found
            .ok()
            .map(|(identity, cookies)| (identity.role, cookies))
    }

    /// The sessions of all valid tokens, in the lock order of transactions.
    fn sessions_shown(
        &self,
        credentials: &Credentials,
    ) -> Result<BTreeMap<FamilyId, MemberId>, AuthError> {
        let now = self.clock.unix_millis();
        let shown: [(&[Secret<String>], _); 4] = [
            (credentials.bearer.as_slice(), MemberToken::Access),
            (&credentials.access_cookies, MemberToken::Access),
            (&credentials.access_cookies, MemberToken::Refresh),
            (&credentials.refresh_cookies, MemberToken::Refresh),
        ];
        let good = shown
            .into_iter()
            .flat_map(|(tokens, expected)| self.good(tokens, expected, now));
        let sessions: BTreeMap<_, _> = good.map(|claims| (claims.family, claims.member)).collect();
        if !sessions.is_empty() {
            return Ok(sessions);
        }
        let is_any = credentials.bearer.is_some() || credentials.has_cookies();
        Err(if is_any {
            AuthError::TokenInvalid
        } else {
            AuthError::TokenMissing
        })
    }

    /// Identifies the caller by the credentials; also returns `Set-Cookie` values for the response.
    async fn identify(
        &self,
        credentials: &Credentials,
        access_cookie: AccessCookie,
    ) -> Result<(Identity, SetCookies), AuthError> {
        let now = self.clock.unix_millis();
        if let Some(bearer) = &credentials.bearer {
            let claims = self.keys.check(bearer, MemberToken::Access, now);
            let claims = claims.map_err(|_refused| self.refuse("token"))?;
            let identity = self.look_up(claims, Origin::Bearer).await?;
            return Ok((identity, Vec::new()));
        }
        // One valid cookie of a name is enough; the first error is returned if all fail.
        let mut failure = None;
        let access = &credentials.access_cookies;
        for claims in self.good(access, MemberToken::Access, now) {
            match self.look_up(claims, Origin::Cookie).await {
                Ok(identity) => return Ok((identity, Vec::new())),
                Err(error) => failure = failure.or(Some(error)),
            }
        }
        let in_access: &[_] = match access_cookie {
            AccessCookie::AlsoRefresh => access,
            AccessCookie::Strict => &[],
        };
        for claims in self.good(in_access, MemberToken::Refresh, now) {
            // The front end's server sends this request: a `Set-Cookie` would not reach the browser.
            match self.renew(claims, now).await {
                Ok((identity, _)) => return Ok((identity, Vec::new())),
                Err(error) => failure = failure.or(Some(error)),
            }
        }
        for claims in self.good(&credentials.refresh_cookies, MemberToken::Refresh, now) {
            match self.renew(claims, now).await {
                Ok(renewed) => return Ok(renewed),
                Err(error) => failure = failure.or(Some(error)),
            }
        }
        match failure {
            Some(failure) => Err(failure),
            None if credentials.has_cookies() => Err(self.refuse("token")),
            None => Err(AuthError::TokenMissing),
        }
    }

    /// The valid claims, the newest of each family: an older refresh token would count as stolen.
    fn good(
        &self,
        tokens: &[Secret<String>],
        expected: MemberToken,
        now: UnixMillis,
    ) -> Vec<MemberClaims> {
        let good = tokens
            .iter()
            .filter_map(|token| self.keys.check(token, expected, now).ok());
        let mut good: Vec<MemberClaims> = good.collect();
        good.sort_by_key(|claims| Reverse(claims.expires_at));
        let mut seen = HashSet::new();
        good.retain(|claims| seen.insert(claims.family.clone()));
        good
    }

    fn refuse(&self, reason: &str) -> AuthError {
        let failures = &self.metrics.auth_failures;
        failures.with_label_values(&[reason]).inc();
        AuthError::TokenInvalid
    }

    fn admit(
        &self,
        claims: MemberClaims,
        session: Option<&Session>,
        origin: Origin,
    ) -> Result<Identity, AuthError> {
        let open = session.filter(|session| !session.is_revoked);
        let session = open.ok_or_else(|| self.refuse("revoked"))?;
        if session.is_blocked {
            self.refuse("blocked");
            return Err(AuthError::Blocked);
        }
        Ok(Identity {
            member: claims.member,
            role: session.role,
            family: claims.family,
            origin,
            language: session.language,
        })
    }

    fn sign(
        &self,
        holder: &Holder<'_>,
        token: MemberToken,
        token_id: TokenId,
        now: UnixMillis,
    ) -> Result<Secret<String>, SignError> {
        let grant = MemberGrant {
            member: holder.member,
            role: holder.role,
            token,
            family: holder.family.clone(),
            token_id,
        };
        self.keys.sign(grant, now)
    }
}

/// The subject of a token to sign.
struct Holder<'a> {
    member: MemberId,
    role: Role,
    family: &'a FamilyId,
}

fn fresh_token() -> TokenId {
    TokenId::random(&mut rand::rng())
}
