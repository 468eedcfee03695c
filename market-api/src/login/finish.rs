//! The callback of a login: exchanges the code, begins a session, and makes a repeated callback idempotent.

use std::convert::Infallible;
use std::time::Duration;

use http::HeaderMap;
use shared::claims::Role;
use shared::ids::MemberId;
use shared::trace::in_current_trace;
use tokio::time::sleep;

use super::repo::{self, Attempt, Back, Outcome, Wanted};
use super::{LoginError, Logins, ProviderSettings, Returned, id_token, is_past, printable, shape};
use crate::db::{Abort, DbError};

/// A callback repeated within this time begins a session like the first one: a double click, a reload, a
/// lost response. Later the browser has the first one's session.
const AGAIN_TIME: Duration = Duration::from_secs(60);

/// Bound of the wait of a repeated callback for the first one, which sends two requests to the provider:
/// less than the deadline of a request here.
const AGAIN_WAIT_MAX: Duration = Duration::from_secs(8);

/// Poll interval of that wait.
const AGAIN_WAIT: Duration = Duration::from_millis(100);

/// A completed login.
#[derive(Debug)]
pub(super) struct LoggedIn {
    pub(super) role: Role,
    pub(super) cookies: Vec<http::HeaderValue>,
    /// Label of the metric.
    pub(super) outcome: &'static str,
}

/// A browser redirected by the provider, with the redirect URI of the attempt: the provider compares the
/// URI when the code is exchanged.
struct Redirected {
    returned: Returned,
    redirect_uri: String,
}

impl Logins {
    /// Completes the login of a callback; a repeated callback gets the same result.
    pub(super) async fn finish(
        &self,
        at: &ProviderSettings,
        returned: Returned,
        browsers: Vec<String>,
        headers: &HeaderMap,
    ) -> Result<LoggedIn, LoginError> {
        let Some(state) = returned.state.clone().filter(|_| !browsers.is_empty()) else {
            return Err(LoginError::Unknown);
        };
        let issuer = returned.issuer.as_ref();
        if issuer.is_some_and(|issuer| *issuer != at.endpoints.issuer) {
            return Err(LoginError::Unknown);
        }
        let wanted = Wanted {
            state,
            provider: at.provider,
            browsers,
        };
        // In a task of its own: on a double click the browser cancels its first request, and the second one needs
        // the result.
        let redirect_uri = self.redirect_uri(at.provider, headers);
        let (logins, at) = (self.clone(), at.clone());
        let finish = in_current_trace(async move {
            match logins.take(wanted.clone()).await? {
                Back::Taken(attempt) => {
                    let redirected = Redirected {
                        returned,
                        redirect_uri,
                    };
                    logins.finish_first(&at, redirected, attempt).await
                }
                Back::Before => logins.finish_again(&wanted).await,
                Back::Unknown => Err(LoginError::Unknown),
            }
        });
        let task = self.drain.spawn("login", finish);
        task.await.unwrap_or_else(|lost| {
            tracing::error!("login task failed: {lost}");
            Err(LoginError::Lost)
        })
    }

    async fn finish_first(
        &self,
        at: &ProviderSettings,
        redirected: Redirected,
        attempt: Attempt,
    ) -> Result<LoggedIn, LoginError> {
        let found = self.find_or_create(at, redirected, &attempt).await;
        let outcome = match &found {
            Ok((member, _)) => Outcome::LoggedIn(*member),
            Err(error) => Outcome::Refused(error.number()),
        };
        self.settle(attempt.state, outcome).await;
        let (member, role) = found?;
        Ok(LoggedIn {
            role,
            cookies: self.auth.begin(member, role).await?,
            outcome: "ok",
        })
    }

    /// The member of an attempt: exchanges the code and reads the profile.
    async fn find_or_create(
        &self,
        at: &ProviderSettings,
        redirected: Redirected,
        attempt: &Attempt,
    ) -> Result<(MemberId, Role), LoginError> {
        let Redirected {
            returned,
            redirect_uri,
        } = redirected;
        if let Some(error) = returned.error {
            return Err(LoginError::Refused(printable(&error)));
        }
        let code = returned.code.ok_or(LoginError::Unknown)?;
        let granted = self.client.exchange(at, &code, attempt, &redirect_uri);
        let granted = granted.await?;
        let body = self.client.profile(at, &granted.access_token).await?;
        let profile = shape::profile(at.provider, &body)
            .ok_or_else(|| LoginError::Away("its profile has another shape".to_owned()))?;
        let now = self.clock.unix_millis();
        id_token::check(at, &granted, &attempt.nonce, &profile.provider_id, now)
            .map_err(|wrong| LoginError::Refused(wrong.to_string()))?;
        Ok(self.members.find_or_create(profile).await?)
    }

    /// Repeats the result of a callback: a session like the first one's, or the same error. A member who has
    /// logged out since then must log in again.
    async fn finish_again(&self, wanted: &Wanted) -> Result<LoggedIn, LoginError> {
        let mut past = None;
        let mut waited = Duration::ZERO;
        while waited < AGAIN_WAIT_MAX {
            let now = self.clock.unix_millis().get();
            let found = repo::past(&mut *self.db.read().await?, wanted, now).await?;
            past = found.and_then(|past| Some((past.taken_at, past.outcome?)));
            if past.is_some() || found.is_none() {
                break;
            }
            sleep(AGAIN_WAIT).await;
            waited += AGAIN_WAIT;
        }
        let Some((taken_at, outcome)) = past else {
            return Err(LoginError::Away(
                "the first callback is not through".to_owned(),
            ));
        };
        let member = match outcome {
            Outcome::LoggedIn(member) => member,
            Outcome::Refused(code) => return Err(LoginError::Before(code)),
        };
        let is_late = is_past(
            taken_at.saturating_add(AGAIN_TIME),
            self.clock.unix_millis(),
        );
        if is_late || repo::has_left(&mut *self.db.read().await?, member, taken_at).await? {
            return Err(LoginError::Unknown);
        }
        let role = self.members.role(member).await?;
        Ok(LoggedIn {
            role,
            cookies: self.auth.begin(member, role).await?,
            outcome: "again",
        })
    }

    async fn take(&self, wanted: Wanted) -> Result<Back, LoginError> {
        let taken = self.db.write(wanted, |wanted, tx| {
            Box::pin(async move { Ok::<_, Abort<Infallible>>(repo::take(tx, wanted).await?) })
        });
        Ok(taken.await.map_err(DbError::from)?)
    }

    /// Records the result of an attempt. If that fails, a repeated callback gets an error to retry.
    async fn settle(&self, state: String, outcome: Outcome) {
        let settled = self.db.write((state, outcome), |(state, outcome), tx| {
            Box::pin(
                async move { Ok::<_, Abort<Infallible>>(repo::settle(tx, state, *outcome).await?) },
            )
        });
        if let Err(error) = settled.await {
            tracing::warn!("login result not recorded: {error}");
        }
    }
}
