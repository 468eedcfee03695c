//! The end of a login: a browser comes back from a provider, once or again.

use std::time::Duration;

use http::HeaderMap;
use shared::claims::Role;
use shared::ids::MemberId;
use shared::web::CommonError;
use tokio::time::sleep;

use super::repo::{self, Attempt, Back, Outcome, Wanted};
use super::{LoginError, Logins, ProviderSettings, Returned, id_token, is_past, printable, shape};
use crate::db::Abort;
use crate::http::ApiError;

/// A callback that comes twice gets a session as the first one did: a double click, a page loaded
/// again, an answer that was lost. Later a browser has the session of the first.
const AGAIN_TIME: Duration = Duration::from_secs(60);

/// How long the second of two callbacks waits for the first, which asks a provider twice: less than a
/// request may take here.
const AGAIN_WAIT_MAX: Duration = Duration::from_secs(8);

/// How often it asks.
const AGAIN_WAIT: Duration = Duration::from_millis(100);

/// Somebody was logged in.
#[derive(Debug)]
pub(super) struct LoggedIn {
    pub(super) role: Role,
    pub(super) cookies: Vec<http::HeaderValue>,
    /// For the metric.
    pub(super) outcome: &'static str,
}

/// A browser that the provider has sent back, and the URI it was to be sent to: the provider compares
/// the two when the code is exchanged.
struct Redirected {
    returned: Returned,
    redirect_uri: String,
}

impl Logins {
    /// Logs in whoever comes back, and whoever comes back again with the same.
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
        // A task of its own: a browser that is clicked twice gives up its first request, and the
        // second finds what became of it.
        let redirect_uri = self.redirect_uri(at.provider, headers);
        let (logins, at) = (self.clone(), at.clone());
        let task = self.drain.spawn("login", async move {
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
        task.await.unwrap_or_else(|lost| {
            tracing::error!("a login was lost: {lost}");
            Err(LoginError::ApiError(ApiError::Web(CommonError::Internal)))
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
            Err(error) => Outcome::Refused(error.code()),
        };
        self.settle(attempt.state, outcome).await;
        let (member, role) = found?;
        Ok(LoggedIn {
            role,
            cookies: self.auth.begin(member, role).await?,
            outcome: "ok",
        })
    }

    /// Who it is that comes back with an attempt.
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

    /// The same callback once more: a session like the first one's, or the same error. Whoever has
    /// logged out since then has to log in properly.
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
            Box::pin(async move { Ok::<_, Abort<ApiError>>(repo::take(tx, wanted).await?) })
        });
        Ok(taken.await?)
    }

    /// Notes what became of an attempt. If that fails, a second callback is told to try again.
    async fn settle(&self, state: String, outcome: Outcome) {
        let settled = self.db.write((state, outcome), |(state, outcome), tx| {
            Box::pin(
                async move { Ok::<_, Abort<ApiError>>(repo::settle(tx, state, *outcome).await?) },
            )
        });
        if let Err(error) = settled.await {
            tracing::warn!("the end of a login was not noted: {error}");
        }
    }
}
