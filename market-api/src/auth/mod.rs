//! Who asks: the keys that sign, tokens and their cookies, sessions that can be ended at once.
//!
//! ```text
//! request ─► bearer token │ access cookie │ refresh cookie ─► claims ─► session and member in the
//!            database: not revoked, not blocked, the role as it is now ─► Caller
//! ```
//!
//! A token says who somebody is; what they may do is read at every request, so a block, a lost role
//! or a logout holds for the next one.
//!
//! What this module does not do: log somebody in (`members` knows the providers).

mod caller;
mod cookies;
mod http;
mod keys;
mod renew;
mod repo;
mod session;

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use ::http::header::COOKIE;
use shared::claims::{
    FamilyId, MemberClaims, MemberGrant, MemberToken, REFRESH_LIFETIME, Role, SignError, TokenId,
};
use shared::clock::{Clock, UnixMillis};
use shared::config::Secret;
use shared::ids::MemberId;
use shared::web::{CommonError, Credentials};

use crate::db::{Abort, Db};
use crate::http::{ApiError, Language};
use crate::metrics::Metrics;

pub use caller::{Admin, Caller, InfoCaller};
pub use cookies::CookieSettings;
pub use http::routes;
pub use keys::{KeyRing, KeysError, REREAD_EVERY};
pub use repo::{end_all_in, forget_in};
use session::Session;
pub use session::{FAMILY_LIFETIME, REUSE_GRACE, ROTATE_AFTER};

/// Checks who asks, begins and ends sessions.
#[derive(Clone, Debug)]
pub struct Auth {
    db: Db,
    keys: Arc<KeyRing>,
    clock: Arc<dyn Clock>,
    metrics: Arc<Metrics>,
    cookies: CookieSettings,
    developer_family: Option<FamilyId>,
}

/// A member who showed a good token, as they are now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// Who.
    pub member: MemberId,
    /// What they may do, now.
    pub role: Role,
    /// The login that the token comes from.
    pub family: FamilyId,
    /// How the token came.
    pub origin: Origin,
    /// In which language they want to be told.
    pub language: Language,
}

/// The two tokens of a session.
#[derive(Clone, Debug)]
pub struct Tokens {
    /// For requests.
    pub access: Secret<String>,
    /// For renewing it.
    pub refresh: Secret<String>,
}

/// How a token came. A browser adds cookies to requests of any page; a bearer token it does not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// In a cookie.
    Cookie,
    /// In a header that only the site's own code can have set.
    Bearer,
}

/// Which token an access cookie may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum AccessCookie {
    /// An access token.
    Strict,
    /// Also a refresh token: the first front end's server has only that one.
    AlsoRefresh,
}

/// `Set-Cookie` values.
type SetCookies = Vec<::http::HeaderValue>;

impl Auth {
    /// A checker on this database with these keys.
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
        }
    }

    /// Takes access tokens of this family without a session, until they expire.
    #[must_use]
    pub fn with_developer_family(mut self, family: Option<FamilyId>) -> Self {
        self.developer_family = family;
        self
    }

    /// The keys that sign and check.
    #[must_use]
    pub fn keys(&self) -> &KeyRing {
        &self.keys
    }

    /// How cookies are made here.
    #[must_use]
    pub fn cookies(&self) -> &CookieSettings {
        &self.cookies
    }

    /// Begins a session of this member: the cookies of its two tokens.
    ///
    /// # Errors
    /// The database's, or the cryptographic library's.
    pub async fn begin(&self, member: MemberId, role: Role) -> Result<SetCookies, ApiError> {
        let tokens = self.issue(member, role).await?;
        Ok(vec![
            self.cookies.set(MemberToken::Access, &tokens.access),
            self.cookies.set(MemberToken::Refresh, &tokens.refresh),
        ])
    }

    /// Begins a session of this member: its two tokens.
    ///
    /// # Errors
    /// The database's, or the cryptographic library's.
    pub async fn issue(&self, member: MemberId, role: Role) -> Result<Tokens, ApiError> {
        let (family, token) = (FamilyId::random(&mut rand::rng()), fresh_token());
        let context = (member, family.clone(), token.clone());
        let begun = self.db.write(context, |(member, family, token), tx| {
            Box::pin(async move {
                repo::insert_family(tx, *member, family, token).await?;
                Ok::<_, Abort<ApiError>>(tx.now())
            })
        });
        let now = begun.await?;
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

    /// Ends every session of which a good token is shown, also one of a member who is blocked:
    /// leaving is never refused. A browser shows several where cookies of one name differ in their
    /// domain or path, and any that went on would be the next request's login.
    ///
    /// # Errors
    /// No token, or none that is good.
    pub async fn end(&self, credentials: &Credentials) -> Result<SetCookies, ApiError> {
        let shown = self.sessions_shown(credentials)?;
        let ended = self.db.write(shown, |shown, tx| {
            Box::pin(async move {
                for (family, member) in shown {
                    repo::revoke(tx, *member, family).await?;
                }
                Ok::<_, Abort<ApiError>>(())
            })
        });
        ended.await?;
        Ok(self.cookies.clear())
    }

    /// The session of a browser's cookies, with what is to be set on the answer; `None` where there
    /// is no good one.
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
    ) -> Result<BTreeMap<FamilyId, MemberId>, ApiError> {
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
        let refusal = if is_any {
            CommonError::TokenInvalid
        } else {
            CommonError::TokenMissing
        };
        Err(refusal.into())
    }

    /// Who shows these, and cookies to be set on the answer.
    async fn identify(
        &self,
        credentials: &Credentials,
        access_cookie: AccessCookie,
    ) -> Result<(Identity, SetCookies), ApiError> {
        let now = self.clock.unix_millis();
        if let Some(bearer) = &credentials.bearer {
            let claims = self.keys.check(bearer, MemberToken::Access, now);
            let claims = claims.map_err(|_refused| self.refuse("token"))?;
            let identity = self.look_up(claims, Origin::Bearer).await?;
            return Ok((identity, Vec::new()));
        }
        // Any good cookie of a name counts: the failure of one is told if all the others fail.
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
            // Whoever keeps the cookies is not there to be given new ones.
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
            None => Err(CommonError::TokenMissing.into()),
        }
    }

    /// The claims of the good ones, of each login the newest: an older one would be taken for stolen.
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

    fn refuse(&self, reason: &str) -> ApiError {
        let failures = &self.metrics.auth_failures;
        failures.with_label_values(&[reason]).inc();
        CommonError::TokenInvalid.into()
    }

    async fn look_up(&self, claims: MemberClaims, origin: Origin) -> Result<Identity, ApiError> {
        let session = if self.developer_family.as_ref() == Some(&claims.family) {
            repo::without_session(&self.db, &claims).await?
        } else {
            repo::session(&self.db, claims.member, &claims.family).await?
        };
        self.admit(claims, session, origin)
    }

    fn admit(
        &self,
        claims: MemberClaims,
        session: Option<Session>,
        origin: Origin,
    ) -> Result<Identity, ApiError> {
        let open = session.filter(|session| !session.is_revoked);
        let session = open.ok_or_else(|| self.refuse("revoked"))?;
        if session.is_blocked {
            self.refuse("blocked");
            return Err(ApiError::MemberBlocked);
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
    ) -> Result<Secret<String>, ApiError> {
        let grant = MemberGrant {
            member: holder.member,
            role: holder.role,
            token,
            family: holder.family.clone(),
            token_id,
        };
        self.keys.sign(grant, now).map_err(|error: SignError| {
            tracing::error!("no token was signed: {error}");
            CommonError::Internal.into()
        })
    }
}

/// Whose token is signed.
struct Holder<'a> {
    member: MemberId,
    role: Role,
    family: &'a FamilyId,
}

fn fresh_token() -> TokenId {
    TokenId::random(&mut rand::rng())
}
