//! What each wish of the session does, and what becomes of it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::FutureExt;
use shared::config::Secret;
use shared::ids::{MemberId, RoomId};
use stomp::{Commit, Output, Receipt, Send, Subscribe, SubscriptionKey};
use tracing::debug;

use super::actor::{Actor, Farewell};
use super::delivery::{Source, Subscription, push_unstored};
use super::failure::Failure;
use super::message::{MessageRules, read_message};
use super::subscribe::{Begun, From, Target, begin};
use super::transaction;
use crate::append::Outcome;
use crate::auth::{Credentials, Identity, Origin};
use crate::destination::{Hear, SendTo};
use crate::hub::{Letter, Slot};
use crate::log::{Draft, RoomEvent, Topic};
use crate::store::Room;
use crate::wire::SendError;

/// "Is writing" is passed on at most this often; the page shows it a little longer.
const TYPING_EVERY: Duration = Duration::from_secs(2);

/// The token, or the cookies, that say who this is.
#[derive(Debug)]
pub(super) struct Login {
    pub(super) identity: Identity,
    /// When the connection ends unless a fresh token comes.
    pub(super) ends_at: Instant,
}

/// A send that the appender has, and what to say when it is settled.
#[derive(Debug)]
pub(super) struct InFlight {
    pub(super) send: Send,
    pub(super) since: Instant,
}

/// A frame that took time is done.
pub(super) enum WorkDone {
    Login(u64, Result<Identity, Failure>),
    Token(Option<Receipt>, Result<Identity, Failure>),
    Send(Send, Result<Arc<Room>, Failure>),
    Typing(Send, RoomId, Result<Arc<Room>, Failure>),
    Commit(Commit, Result<(), Failure>),
    Begun(Subscribe, Slot, Result<Begun, Failure>),
}

impl Actor {
    /// Carries out the session's next wish; `id` names the connection.
    pub(super) fn on_output(&mut self, output: Output, id: u64) {
        match output {
            Output::Transmit(bytes) => self.socket.push_text(&bytes),
            Output::Login(login) => self.on_login(&login, id),
            Output::Send(send) => self.on_send(send),
            Output::Subscribe(subscribe) => self.on_subscribe(subscribe),
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
            Output::Disconnect { receipt } => self.farewell = Some(Farewell::Client(receipt)),
            // Handled by the loop, which has the socket to close.
            Output::Close { .. } => {}
        }
    }

    /// Reads a letter that others left.
    pub(super) fn on_letter(&mut self, letter: Letter) {
        match letter {
            Letter::Stored { ticket, outcome } => self.on_stored(ticket, outcome),
            Letter::Event { slot, body } => self.on_event(slot, &body),
            Letter::Close { code, reason } => {
                if self.farewell.is_none() {
                    self.farewell = Some(Farewell::Server(code, reason));
                }
            }
        }
    }

    /// Goes on with a frame that took time.
    pub(super) fn on_work(&mut self, done: WorkDone, now: Instant) {
        match done {
            WorkDone::Login(id, result) => self.on_identity(id, result, now),
            WorkDone::Token(receipt, Ok(identity)) => self.on_fresh_token(receipt, identity, now),
            WorkDone::Token(receipt, Err(failure)) => {
                self.session.refuse(failure.refusal(receipt));
            }
            WorkDone::Send(send, Ok(room)) => self.submit(send, &room),
            WorkDone::Send(send, Err(failure)) | WorkDone::Typing(send, _, Err(failure)) => {
                self.fail_send(&send, failure);
            }
            WorkDone::Typing(send, room, Ok(_)) => self.pass_typing_on(send, room, now),
            WorkDone::Commit(commit, Ok(())) => self.session.confirm_commit(commit),
            WorkDone::Commit(commit, Err(failure)) => self.fail_commit(&commit, failure),
            WorkDone::Begun(subscribe, slot, Ok(begun)) => self.add(subscribe, slot, begun),
            WorkDone::Begun(subscribe, slot, Err(failure)) => {
                self.free(slot);
                self.session.refuse(failure.refusal(subscribe.receipt));
            }
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
        let auth = Arc::clone(&self.services.auth);
        self.work = Some(Box::pin(async move {
            let identity = auth.member(&credentials).await.map_err(Failure::from);
            WorkDone::Login(id, identity)
        }));
    }

    fn on_identity(&mut self, id: u64, result: Result<Identity, Failure>, now: Instant) {
        match result {
            Ok(identity) => {
                let session = id.to_string();
                self.session
                    .accept_login(&session, &identity.member.to_string(), now);
                self.services.metrics.logins.inc();
                debug!(member = %identity.member, "member {} logged in", identity.member);
                let ends_at = self.ends_at(&identity, now);
                self.login = Some(Login { identity, ends_at });
            }
            Err(failure) => {
                let retryable = failure.retryable;
                let reason = if retryable {
                    "keys_unavailable"
                } else {
                    "refused"
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
        let ends_at = self.ends_at(&fresh, now);
        match &mut self.login {
            Some(login) if login.identity.member == fresh.member => {
                *login = Login {
                    identity: fresh,
                    ends_at,
                };
                self.session.confirm(receipt);
            }
            Some(_) | None => self.session.refuse(Failure::TOKEN.refusal(receipt)),
        }
    }

    fn ends_at(&self, identity: &Identity, now: Instant) -> Instant {
        let left = identity
            .ends_at
            .saturating_since(self.services.clock.unix_millis());
        let left = if identity.origin == Origin::Cookie {
            left.min(self.services.config.age_max)
        } else {
            left
        };
        now.checked_add(left).unwrap_or(now)
    }

    /// Only an open session sends frames, and it is open only after the login.
    fn member(&self) -> Option<MemberId> {
        self.login.as_ref().map(|login| login.identity.member)
    }

    // ---- sending ------------------------------------------------------------------------------

    fn on_send(&mut self, send: Send) {
        let (Some(member), Some(to)) = (self.member(), SendTo::parse(send.destination())) else {
            return self.fail_send(&send, Failure::DESTINATION);
        };
        if to != SendTo::Token && !self.limiter.allows_one() {
            self.services
                .metrics
                .rate_limited
                .with_label_values(&["send"])
                .inc();
            return self.fail_send(&send, Failure::RATE);
        }
        let rooms = Arc::clone(&self.services.rooms);
        match to {
            SendTo::Room(room) => {
                // Nearly always the room is cached, and its next messages need not wait.
                if let Some(known) = rooms.access(room, member).now_or_never() {
                    return match known {
                        Ok(room) => self.submit(send, &room),
                        Err(error) => self.fail_send(&send, error.into()),
                    };
                }
                self.work = Some(Box::pin(async move {
                    let access = rooms.access(room, member).await.map_err(Failure::from);
                    WorkDone::Send(send, access)
                }));
            }
            SendTo::Typing(room) => {
                self.work = Some(Box::pin(async move {
                    let access = rooms.access(room, member).await.map_err(Failure::from);
                    WorkDone::Typing(send, room, access)
                }));
            }
            SendTo::Token => self.on_token(send),
        }
    }

    fn on_token(&mut self, send: Send) {
        let token = String::from_utf8_lossy(send.frame.body()).trim().to_owned();
        let credentials = Credentials {
            bearer: Some(Secret::new(token)),
            ..Credentials::default()
        };
        let auth = Arc::clone(&self.services.auth);
        self.work = Some(Box::pin(async move {
            let identity = auth.member(&credentials).await.map_err(Failure::from);
            WorkDone::Token(send.receipt, identity)
        }));
    }

    /// Gives a message to the appender; its outcome comes as a letter.
    fn submit(&mut self, send: Send, room: &Room) {
        let now = self.services.clock.now();
        let draft = match self.draft(&send, room) {
            Ok(draft) => draft,
            Err(failure) => return self.fail_send(&send, failure),
        };
        self.tickets += 1;
        let ticket = self.tickets;
        self.sends.insert(ticket, InFlight { send, since: now });
        let mailbox = Arc::clone(&self.mailbox);
        let done = Box::new(move |outcome| mailbox.post(Letter::Stored { ticket, outcome }));
        self.services
            .appender
            .submit(Topic::Room(room.room_id), vec![draft], done);
    }

    fn draft(&self, send: &Send, room: &Room) -> Result<Draft, Failure> {
        let member = self.member().ok_or(Failure::FORBIDDEN)?;
        let chars_max = self.services.config.message_chars_max;
        let rules = MessageRules {
            chars_max,
            opaque: room.opaque,
        };
        read_message(
            &send.frame,
            member,
            rules,
            self.services.clock.unix_millis(),
        )
    }

    fn on_stored(&mut self, ticket: u64, outcome: Outcome) {
        let Some(InFlight { send, since }) = self.sends.remove(&ticket) else {
            return;
        };
        let took = self.services.clock.now().saturating_duration_since(since);
        self.services
            .metrics
            .send_seconds
            .observe(took.as_secs_f64());
        match outcome {
            Ok(_) => self.session.confirm(send.receipt),
            Err(error) => self.fail_send(&send, error.into()),
        }
    }

    fn pass_typing_on(&mut self, send: Send, room: RoomId, now: Instant) {
        let recent = self.typed.is_some_and(|(typed_in, at)| {
            typed_in == room && now.saturating_duration_since(at) < TYPING_EVERY
        });
        if let (false, Some(member_id)) = (recent, self.member()) {
            self.typed = Some((room, now));
            self.services
                .hub
                .publish_event(room, RoomEvent::Typing { member_id });
        }
        self.session.confirm(send.receipt);
    }

    /// A transaction's messages: all are checked before any is given to the appender, and those of
    /// one room go as one batch.
    fn on_commit(&mut self, commit: Commit) {
        let rooms = commit
            .sends
            .iter()
            .map(|send| match SendTo::parse(send.destination()) {
                Some(SendTo::Room(room)) => Ok(room),
                Some(SendTo::Typing(_) | SendTo::Token) | None => Err(Failure::DESTINATION),
            });
        let rooms: Result<Vec<RoomId>, Failure> = rooms.collect();
        let (rooms, member) = match (rooms, self.member()) {
            (Ok(rooms), Some(member)) => (rooms, member),
            (Err(failure), _) => return self.fail_commit(&commit, failure),
            (_, None) => return self.fail_commit(&commit, Failure::FORBIDDEN),
        };
        let services = Arc::clone(&self.services);
        self.work = Some(Box::pin(async move {
            let stored = transaction::store(&services, member, &rooms, &commit).await;
            WorkDone::Commit(commit, stored)
        }));
    }

    // ---- hearing ------------------------------------------------------------------------------

    fn on_subscribe(&mut self, subscribe: Subscribe) {
        let wish = match self.read_wish(&subscribe) {
            Ok(wish) => wish,
            Err(failure) => return self.session.refuse(failure.refusal(subscribe.receipt)),
        };
        let slot = self.reserve();
        let (services, mailbox) = (Arc::clone(&self.services), Arc::clone(&self.mailbox));
        self.work = Some(Box::pin(async move {
            let begun = begin(services, wish, mailbox, slot).await;
            WorkDone::Begun(subscribe, slot, begun)
        }));
    }

    fn read_wish(&self, subscribe: &Subscribe) -> Result<(Hear, MemberId, From), Failure> {
        let hear = Hear::parse(subscribe.destination()).ok_or(Failure::DESTINATION)?;
        let member = self.member().ok_or(Failure::FORBIDDEN)?;
        let is_log = matches!(hear, Hear::Room(_) | Hear::Alarms(_) | Hear::Notices);
        if subscribe.ack_mode != stomp::AckMode::Auto && !is_log {
            return Err(Failure::ACK_MODE);
        }
        Ok((hear, member, From::read(&subscribe.frame)?))
    }

    fn add(&mut self, subscribe: Subscribe, slot: Slot, begun: Begun) {
        let Some(version) = self.session.version() else {
            return self.free(slot);
        };
        let head = match begun.target {
            Target::Log(topic, _) => topic.message_id(begun.head),
            Target::Events(_) | Target::Errors | Target::System => None,
        };
        let head = head.map_or(0, |id| id.get()).to_string();
        let recovered = if begun.recovered { "true" } else { "false" };
        let names = (subscribe.key, subscribe.ack_mode);
        let subscription = Subscription::new(begun, names, (version, subscribe.id()));
        if let Some(place) = self.slots.get_mut(slot as usize) {
            *place = Some(subscription);
        }
        self.services.metrics.subscriptions_opened.inc();
        let headers = [("head", head.as_str()), ("recovered", recovered)];
        self.session.confirm_with(subscribe.receipt, &headers);
        self.queue(slot);
    }

    fn on_event(&mut self, slot: Slot, body: &[u8]) {
        let Some(Some(subscription)) = self.slots.get(slot as usize) else {
            return;
        };
        if let Source::Events { destination, .. } = &subscription.source {
            self.unstored += 1;
            let id = format!("e{}", self.unstored);
            push_unstored(&mut self.socket, &subscription.form, destination, &id, body);
        }
    }

    fn on_rejected(&mut self, key: SubscriptionKey, message_id: u64) {
        let Some(slot) = self.slot_of(key) else {
            return;
        };
        let Some(Some(subscription)) = self.slots.get(slot as usize) else {
            return;
        };
        let destination = subscription.destination();
        self.tell_error(
            Failure::REJECTED,
            &destination,
            None,
            Some(&message_id.to_string()),
        );
        self.queue(slot);
    }

    // ---- places -------------------------------------------------------------------------------

    /// A place for a subscription that is about to begin.
    fn reserve(&mut self) -> Slot {
        let free = self.slots.iter().position(Option::is_none);
        let at = free.unwrap_or(self.slots.len());
        if free.is_none() {
            self.slots.push(None);
        }
        Slot::try_from(at).unwrap_or(Slot::MAX)
    }

    fn free(&mut self, slot: Slot) {
        if let Some(place) = self.slots.get_mut(slot as usize) {
            *place = None;
        }
    }

    fn slot_of(&self, key: SubscriptionKey) -> Option<Slot> {
        let has_key = |place: &Option<Subscription>| {
            place
                .as_ref()
                .is_some_and(|subscription| subscription.key == key)
        };
        self.slots
            .iter()
            .position(has_key)
            .and_then(|at| Slot::try_from(at).ok())
    }

    fn remove(&mut self, key: SubscriptionKey) {
        if let Some(slot) = self.slot_of(key) {
            self.free(slot);
            self.services.metrics.subscriptions_closed.inc();
        }
    }

    // ---- failing ------------------------------------------------------------------------------

    /// A client that listens on `/user/queue/errors` is told there and stays; others get an ERROR.
    fn fail_send(&mut self, send: &Send, failure: Failure) {
        self.services
            .metrics
            .sends
            .with_label_values(&["rejected"])
            .inc();
        let receipt = send.receipt.as_ref().map(Receipt::as_str);
        let name = send.frame.header("client-message-id");
        if !self.tell_error(failure, send.destination(), receipt, name) {
            self.session.refuse(failure.refusal(send.receipt.clone()));
        }
    }

    fn fail_commit(&mut self, commit: &Commit, failure: Failure) {
        let destination = commit
            .sends
            .first()
            .map(Send::destination)
            .unwrap_or_default();
        let receipt = commit.receipt.as_ref().map(Receipt::as_str);
        if !self.tell_error(failure, destination, receipt, None) {
            self.session.refuse(failure.refusal(commit.receipt.clone()));
        }
    }

    /// Writes to the client's own error destination; `false` if it has none.
    fn tell_error(
        &mut self,
        failure: Failure,
        destination: &str,
        receipt_id: Option<&str>,
        client_message_id: Option<&str>,
    ) -> bool {
        let listens = |subscription: &&Subscription| matches!(subscription.source, Source::Errors);
        let Some(subscription) = self.slots.iter().flatten().find(listens) else {
            return false;
        };
        let Failure {
            code,
            name,
            message,
            retryable,
        } = failure;
        let error = SendError {
            code,
            name,
            message,
            retryable,
            destination,
            receipt_id,
            client_message_id,
        };
        let Ok(body) = serde_json::to_vec(&error) else {
            return false;
        };
        self.unstored += 1;
        let id = format!("e{}", self.unstored);
        let form = Arc::clone(&subscription.form);
        push_unstored(&mut self.socket, &form, "/user/queue/errors", &id, &body);
        true
    }
}
