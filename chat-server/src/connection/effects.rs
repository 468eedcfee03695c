//! What each wish of the session does, and what becomes of it.

use std::sync::Arc;
use std::time::Instant;

use shared::config::Secret;
use shared::ids::{MemberId, RoomId};
use shared::web::Credentials;
use stomp::{Command, Commit, Output, Receipt, Send, Subscribe};
use tracing::debug;

use super::Services;
use super::actor::Actor;
use super::closing::Closing;
use super::failure::{BLOCKED, ClientError};
use super::registry::ConnectionEntry;
use super::subscribe::Begun;
use crate::append::Turn;
use crate::auth::{Identity, Origin};
use crate::metrics::BlockedAt;
use crate::store::Room;
use crate::wake_queue::{ConnectionEvent, Slot};

/// The token, or the cookies, that say who this is.
#[derive(Debug)]
pub(super) struct Login {
    pub(super) identity: Identity,
    /// When the connection ends unless a fresh token comes.
    pub(super) ends_at: Instant,
    /// It ends then because the connection is old, not because the token has run out.
    pub(super) ends_by_age: bool,
}

/// A send that the appender has, and what to say when it is settled.
#[derive(Debug)]
pub(super) struct InFlight {
    pub(super) send: Send,
    pub(super) turn: Turn,
    pub(super) since: Instant,
}

/// A frame that took time is done.
pub(super) enum WorkDone {
    Login(u64, Result<Identity, ClientError>),
    Token(Option<Receipt>, Result<Identity, ClientError>),
    Send(Send, Turn, Result<Arc<Room>, ClientError>),
    Typing(Send, RoomId, Result<Arc<Room>, ClientError>),
    Commit(Commit, Vec<Turn>, Result<(), ClientError>),
    Begun(Subscribe, Slot, Result<Begun, ClientError>),
}

impl Actor {
    /// Carries out the session's next wish; `id` names the connection.
    pub(super) fn on_output(&mut self, output: Output, id: u64) {
        if let Some(command) = asked_by(&output) {
            self.services.metrics.frames_in.count(command);
        }
        match output {
            Output::Transmit(bytes) => {
                if bytes.starts_with(b"ERROR\n") {
                    self.services.metrics.stomp_errors.inc();
                }
                self.socket.push_text(&bytes);
            }
            Output::Login(login) => self.on_login(&login, id),
            Output::Send(send) => self.on_send(send),
            Output::Subscribe(subscribe) => self.on_subscribe(subscribe),
            Output::NotSubscribed(refused) => self.on_not_subscribed(refused),
            Output::Unsubscribe(gone) => self.remove(gone.key),
            Output::Commit(commit) => self.on_commit(commit),
            Output::Acknowledged { key, .. } => {
                if let Some(slot) = self.slot_of(key) {
                    self.queue(slot);
                }
            }
            Output::Redeliver { key, message_id } => {
                if let Some(slot) = self.slot_of(key) {
                    self.again.push_back((slot, message_id));
                }
            }
            Output::Rejected { key, message_id } => self.on_rejected(key, message_id),
            Output::Disconnect { receipt } => self.closing = Some(Closing::Client(receipt)),
            // Handled by the loop, which has the socket to close.
            Output::Close { .. } => {}
        }
    }

    /// Reads a letter that others left.
    pub(super) fn on_connection_event(&mut self, event: ConnectionEvent) {
        match event {
            ConnectionEvent::Stored { ticket, outcome } => self.on_stored(ticket, outcome),
            ConnectionEvent::Event { slot, body } => self.on_event(slot, &body),
            ConnectionEvent::Left { room, member } => self.on_left(room, member),
            ConnectionEvent::Migrate(leave) => self.on_migrate(leave),
            ConnectionEvent::Close { code, .. } if code == BLOCKED.0 => self.close_blocked(),
            ConnectionEvent::Close { code, reason } => self.close_gracefully(code, reason),
        }
    }

    /// Goes on with a frame that took time.
    pub(super) fn on_work(&mut self, done: WorkDone, now: Instant) {
        match done {
            WorkDone::Login(id, result) => self.on_identity(id, result, now),
            WorkDone::Token(receipt, Ok(identity)) => self.on_fresh_token(receipt, identity, now),
            WorkDone::Token(receipt, Err(failure)) => self.refuse(failure, receipt),
            WorkDone::Send(send, turn, Ok(room)) => self.submit(send, turn, &room),
            WorkDone::Send(send, turn, Err(failure)) => {
                self.fail_message(&send, &turn, failure);
            }
            WorkDone::Typing(send, _, Err(failure)) => self.fail_send(&send, failure),
            WorkDone::Typing(send, room, Ok(_)) => self.pass_typing_on(send, room, now),
            WorkDone::Commit(commit, turns, stored) => self.on_committed(commit, &turns, stored),
            WorkDone::Begun(subscribe, slot, Ok(begun)) => self.add(subscribe, slot, begun),
            WorkDone::Begun(subscribe, slot, Err(failure)) => {
                self.free(slot);
                self.refuse(failure, subscribe.receipt);
            }
        }
    }

    /// Ends the session with an ERROR; that of a blocked member without: it is not the frame that
    /// was wrong.
    pub(super) fn refuse(&mut self, failure: ClientError, receipt: Option<Receipt>) {
        if failure == ClientError::BLOCKED {
            self.close_blocked();
        } else {
            self.session.refuse(failure.refusal(receipt));
        }
    }

    /// Ends the session of a member who is blocked, after what is under way.
    pub(super) fn close_blocked(&mut self) {
        if !self.is_ending() {
            let (code, reason) = BLOCKED;
            self.close_gracefully(code, reason);
            self.services.metrics.close_blocked.count(BlockedAt::Open);
        }
    }

    // ---- who it is ----------------------------------------------------------------------------

    fn on_login(&mut self, login: &stomp::Login, id: u64) {
        let bearer = login.frame.header("Authorization").and_then(|value| {
            let (scheme, token) = value.split_once(' ')?;
            scheme
                .eq_ignore_ascii_case("bearer")
                .then(|| Secret::new(token.trim().to_owned()))
        });
        let mut credentials = std::mem::take(&mut self.credentials);
        if bearer.is_some() {
            credentials.bearer = bearer;
        }
        let (services, entry) = (Arc::clone(&self.services), Arc::clone(&self.entry));
        self.work = Some(Box::pin(async move {
            WorkDone::Login(id, log_in(&services, &entry, &credentials).await)
        }));
    }

    fn on_identity(&mut self, id: u64, result: Result<Identity, ClientError>, now: Instant) {
        match result {
            Ok(identity) => {
                let session = id.to_string();
                self.session
                    .accept_login(&session, &identity.member.to_string(), now);
                self.services.metrics.logins.inc();
                debug!(member = %identity.member, "member {} logged in", identity.member);
                self.entry.note_version(self.session.version());
                self.login = Some(self.login_of(identity, now));
            }
            Err(ClientError::CONNECTIONS) => {
                let refused = &self.services.metrics.connections_refused;
                refused.with_label_values(&["member"]).inc();
                let max = self.services.config.member_connections_max;
                let mut refusal = ClientError::CONNECTIONS.refusal(None);
                refusal.message =
                    format!("{}: {max} at most", ClientError::CONNECTIONS.message).into();
                self.session.refuse(refusal);
            }
            Err(failure) => {
                let retryable = failure.retryable;
                let reason = match failure {
                    ClientError::BLOCKED => {
                        self.services.metrics.close_blocked.count(BlockedAt::Login);
                        "blocked"
                    }
                    _ if retryable => "unavailable",
                    _ => "refused",
                };
                self.services
                    .metrics
                    .auth_failures
                    .with_label_values(&[reason])
                    .inc();
                let mut refusal = failure.refusal(None);
                // Front ends stop reconnecting at exactly this text; an outage must not use it.
                if !retryable {
                    refusal.message = stomp::AUTHENTICATION_FAILED.into();
                }
                self.session.refuse(refusal);
            }
        }
    }

    fn on_fresh_token(&mut self, receipt: Option<Receipt>, fresh: Identity, now: Instant) {
        let fresh = self.login_of(fresh, now);
        match &mut self.login {
            Some(login) if login.identity.member == fresh.identity.member => {
                *login = fresh;
                self.session.confirm(receipt);
            }
            Some(_) | None => self.session.refuse(ClientError::TOKEN.refusal(receipt)),
        }
    }

    fn login_of(&self, identity: Identity, now: Instant) -> Login {
        let left = identity
            .ends_at
            .saturating_since(self.services.clock.unix_millis());
        let age_max = self.services.config.age_max;
        let ends_by_age = identity.origin == Origin::Cookie && age_max < left;
        let left = if ends_by_age { age_max } else { left };
        Login {
            identity,
            ends_at: now.checked_add(left).unwrap_or(now),
            ends_by_age,
        }
    }

    /// Only an open session sends frames, and it is open only after the login.
    pub(super) fn member(&self) -> Option<MemberId> {
        self.login.as_ref().map(|login| login.identity.member)
    }
}

/// Who it is, and that they may use the site.
async fn log_in(
    services: &Services,
    entry: &Arc<ConnectionEntry>,
    credentials: &Credentials,
) -> Result<Identity, ClientError> {
    let identity = services.auth.member(credentials).await?;
    // First on the list of the member's connections, then the look: whoever blocks the member
    // afterwards finds this one, too.
    let max = services.config.member_connections_max;
    if !services.connections.note_login(entry, &identity, max) {
        return Err(ClientError::CONNECTIONS);
    }
    services.members.check_now(identity.member).await?;
    Ok(identity)
}

/// The frame that a wish comes from; those that the session carries out alone are not counted.
fn asked_by(output: &Output) -> Option<Command> {
    match output {
        Output::Login(_) => Some(Command::Connect),
        Output::Send(_) => Some(Command::Send),
        Output::Subscribe(_) | Output::NotSubscribed(_) => Some(Command::Subscribe),
        Output::Unsubscribe(_) => Some(Command::Unsubscribe),
        Output::Commit(_) => Some(Command::Commit),
        Output::Acknowledged { .. } => Some(Command::Ack),
        Output::Redeliver { .. } | Output::Rejected { .. } => Some(Command::Nack),
        Output::Disconnect { .. } => Some(Command::Disconnect),
        Output::Transmit(_) | Output::Close { .. } => None,
    }
}
