//! The login of a connection: its credentials, the member they belong to, and when that ends.

use std::sync::Arc;
use std::time::Instant;

use shared::config::Secret;
use shared::ids::MemberId;
use shared::web::Credentials;
use stomp::Frame;

use super::error::ClientError;
use super::registry::ConnectionEntry;
use super::services::Services;
use crate::auth::{Identity, Origin};

/// See the module.
#[derive(Debug)]
pub(super) struct Login {
    /// Of the upgrade request; taken by the first attempt to log in.
    credentials: Credentials,
    accepted: Option<Accepted>,
}

/// An identity and its end.
#[derive(Debug)]
pub(super) struct Accepted {
    identity: Arc<Identity>,
    /// When the connection ends unless a fresh token comes.
    ends_at: Instant,
    /// It ends then because the connection is old, not because the token has run out.
    by_age: bool,
}

impl Accepted {
    pub(super) fn new(identity: Identity, services: &Services, now: Instant) -> Self {
        let left = identity
            .ends_at
            .saturating_since(services.clock.unix_millis());
        let age_max = services.config.age_max;
        let by_age = identity.origin == Origin::Cookie && age_max < left;
        let left = if by_age { age_max } else { left };
        Self {
            identity: Arc::new(identity),
            ends_at: now.checked_add(left).unwrap_or(now),
            by_age,
        }
    }
}

impl Login {
    pub(super) fn new(credentials: Credentials) -> Self {
        Self {
            credentials,
            accepted: None,
        }
    }

    /// The credentials of the upgrade request, with the bearer token of the CONNECT if it has one.
    pub(super) fn take_credentials(&mut self, connect: &Frame) -> Credentials {
        let mut credentials = std::mem::take(&mut self.credentials);
        if let Some(bearer) = bearer(connect) {
            credentials.bearer = Some(bearer);
        }
        credentials
    }

    pub(super) fn accept(&mut self, accepted: Accepted) {
        self.accepted = Some(accepted);
    }

    /// Takes a fresh token over; `false` if it is another member's.
    pub(super) fn renew(&mut self, fresh: Accepted) -> bool {
        match &mut self.accepted {
            Some(accepted) if accepted.identity.member == fresh.identity.member => {
                *accepted = fresh;
                true
            }
            Some(_) | None => false,
        }
    }

    /// Only an open session sends frames, and it is open only after the login.
    pub(super) fn member(&self) -> Option<MemberId> {
        self.accepted
            .as_ref()
            .map(|accepted| accepted.identity.member)
    }

    /// The same with the session that the member's token belongs to.
    pub(super) fn identity(&self) -> Option<Arc<Identity>> {
        let accepted = self.accepted.as_ref()?;
        Some(Arc::clone(&accepted.identity))
    }

    pub(super) fn ends_at(&self) -> Option<Instant> {
        self.accepted.as_ref().map(|accepted| accepted.ends_at)
    }

    /// Whether it ends because the connection is old, not because the token has run out.
    pub(super) fn ends_by_age(&self) -> bool {
        self.accepted
            .as_ref()
            .is_some_and(|accepted| accepted.by_age)
    }
}

fn bearer(connect: &Frame) -> Option<Secret<String>> {
    let (scheme, token) = connect.header("Authorization")?.split_once(' ')?;
    let is_bearer = scheme.eq_ignore_ascii_case("bearer");
    is_bearer.then(|| Secret::new(token.trim().to_owned()))
}

/// Verifies the credentials, and that the member may use the site and has a connection left.
pub(super) async fn log_in(
    services: &Services,
    entry: &Arc<ConnectionEntry>,
    credentials: &Credentials,
) -> Result<Identity, ClientError> {
    let members = &services.members;
    let candidates = services.auth.candidates(credentials).await?;
    let identity = members.pick(candidates).await;
    let identity = identity.map_err(|error| ClientError::from(error).of_token())?;
    // First the list of the member's connections, then the store: a block or the end of the session
    // that comes afterwards finds this connection in the list.
    let max = services.config.member_connections_max;
    if !services.connections.note_login(entry, &identity, max) {
        return Err(ClientError::CONNECTIONS);
    }
    let checked = members.check_now(&identity).await;
    checked.map_err(|error| ClientError::from(error).of_token())?;
    // A member that may not go on is not shown as online.
    services
        .connections
        .note_presence(entry, &*services.presence);
    Ok(identity)
}

/// Verifies a fresh token for the connection of this member.
pub(super) async fn renew(
    services: &Services,
    entry: &ConnectionEntry,
    member: MemberId,
    token: Secret<String>,
) -> Result<Identity, ClientError> {
    let credentials = Credentials {
        bearer: Some(token),
        ..Credentials::default()
    };
    let fresh = services.auth.member(&credentials).await?;
    if fresh.member != member {
        return Err(ClientError::TOKEN);
    }
    // In this order for the same reason as at a login. A token that is refused ends the connection.
    entry.note_session(fresh.family.clone());
    let checked = services.members.check_now(&fresh).await;
    checked.map_err(|error| ClientError::from(error).of_token())?;
    Ok(fresh)
}
