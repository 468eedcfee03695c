//! Renewal of a browser's session. A refresh token yields a new access cookie and is rotated when due;
//! reuse long after its rotation ends the session (RFC 9700, 4.14.2).

use std::collections::BTreeMap;

use std::convert::Infallible;

use shared::claims::{MemberClaims, MemberToken, TokenId};
use shared::clock::UnixMillis;

use super::session::Renewal;
use super::{Auth, AuthError, Holder, Identity, Origin, SetCookies, fresh_token, repo};
use crate::db::{Abort, DbError, WriteError};

impl Auth {
    /// The member of a refresh token, with a new access cookie, and a new refresh cookie when rotation is due.
    pub(super) async fn renew(
        &self,
        claims: MemberClaims,
        now: UnixMillis,
    ) -> Result<(Identity, SetCookies), AuthError> {
        let token_id = claims.token_id.clone();
        let session = repo::session(&self.db, claims.member, &claims.family).await?;
        let renewal = session
            .as_ref()
            .map(|session| session.renewal(&token_id, now));
        let identity = self.admit(claims, session.as_ref(), Origin::Cookie)?;
        let current = match renewal {
            Some(Renewal::Keep) => None,
            Some(Renewal::Rotate) => Some(self.rotate(&identity, token_id).await?),
            Some(Renewal::Resend(current)) => Some(current),
            Some(Renewal::Reused) | None => return Err(self.end_stolen(&identity).await),
        };
        let holder = Holder {
            member: identity.member,
            role: identity.role,
            family: &identity.family,
        };
        let access = self.sign(&holder, MemberToken::Access, fresh_token(), now)?;
        let mut cookies = vec![self.cookies.set(MemberToken::Access, &access)];
        if let Some(current) = current {
            let refresh = self.sign(&holder, MemberToken::Refresh, current, now)?;
            cookies.push(self.cookies.set(MemberToken::Refresh, &refresh));
        }
        Ok((identity, cookies))
    }

    /// Rotates the session's refresh token. Of several concurrent requests one creates the successor; the
    /// others get the same one.
    async fn rotate(&self, identity: &Identity, seen: TokenId) -> Result<TokenId, AuthError> {
        let next = fresh_token();
        let context = (identity.family.clone(), seen, next);
        let rotated = self.db.write(context, |(family, seen, next), tx| {
            Box::pin(async move {
                if repo::rotate(tx, family, seen, next).await? {
                    return Ok(next.clone());
                }
                let current = repo::current_token(tx, family).await?;
                current.ok_or(Abort::Refused(AuthError::TokenInvalid))
            })
        });
        rotated.await.map_err(WriteError::into_domain)
    }

    /// Ends the session after a reuse of a rotated refresh token: two parties hold tokens of one session
    /// (RFC 9700, 4.14.2).
    async fn end_stolen(&self, identity: &Identity) -> AuthError {
        self.metrics.refresh_reuses.inc();
        let member = identity.member;
        tracing::warn!(member.id = %member, "refresh token reused after its rotation: session revoked");
        let session = BTreeMap::from([(identity.family.clone(), member)]);
        let ended = self.db.write(session, |session, tx| {
            Box::pin(async move {
                repo::revoke(tx, session).await?;
                Ok::<_, Abort<Infallible>>(())
            })
        });
        match ended.await {
            Ok(()) => self.refuse("reused"),
            Err(error) => DbError::from(error).into(),
        }
    }
}
