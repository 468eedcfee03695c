//! Effects of a connection's inputs: events of the socket, outputs of the STOMP session, connection
//! events, finished work.
//!
//! SEND and COMMIT are in `send`. Nothing here waits: slow work goes to the connection's `InFlight`.

use std::sync::Arc;
use std::time::Instant;

use shared::ids::{MemberId, RoomId};
use stomp::{Command, NotSubscribed, Output, Receipt, Subscribe, SubscriptionKey};
use tracing::debug;

use super::actor::Actor;
use super::delivery::{Subscription, SubscriptionTerms};
use super::error::{BLOCKED, ClientError, ErrorSubject, SESSION_ENDED};
use super::in_flight::WorkDone;
use super::login::{Accepted, log_in};
use super::registry::Change;
use super::socket::{SocketEvent, Wrote};
use super::subscribe::{Begun, SubscribeRequest, Target, begin};
use crate::auth::Identity;
use crate::metrics::BlockedAt;
use crate::wake_queue::{ConnectionEvent, Slot};
use crate::wire::SendError;

impl Actor {
    /// Handles an event of the socket.
    pub(super) fn on_socket(&mut self, event: SocketEvent, now: Instant) {
        match event {
            SocketEvent::Data(bytes) => {
                self.liveness.note_received(now);
                if self.session.buffered_bytes() == 0 {
                    self.in_flight.note_received(now);
                }
                self.session.handle_input(bytes, now);
            }
            SocketEvent::Alive => {
                self.liveness.note_received(now);
                self.session.handle_received(now);
            }
            SocketEvent::TooLarge => self.session.handle_message_too_large(),
            SocketEvent::Malformed(code) => self.session.close(code, "malformed WebSocket frame"),
            SocketEvent::Wrote(wrote) => {
                self.liveness.note_written(now);
                if wrote == Wrote::Stomp {
                    self.session.handle_sent(now);
                }
            }
            SocketEvent::Gone => self.closing.note_peer_gone(),
        }
    }

    /// Carries out the session's next output.
    pub(super) fn on_output(&mut self, output: Output) {
        if let Some(command) = command_of(&output) {
            self.services.metrics.frames_in.count(command);
        }
        match output {
            Output::Transmit(bytes) => {
                if bytes.starts_with(b"ERROR\n") {
                    self.services.metrics.stomp_errors.inc();
                }
                self.socket.push_text(&bytes);
            }
            Output::Login(login) => self.on_login(&login),
            Output::Send(send) => self.on_send(send),
            Output::Subscribe(subscribe) => self.on_subscribe(subscribe),
            Output::NotSubscribed(refused) => self.on_not_subscribed(refused),
            Output::Unsubscribe(ended) => {
                if self.subscriptions.remove(ended.key) {
                    self.note_subscription_ended();
                }
            }
            Output::Commit(commit) => self.on_commit(commit),
            Output::Acknowledged { key, .. } => self.subscriptions.queue_key(key),
            Output::Redeliver { key, message_id } => self.subscriptions.redeliver(key, message_id),
            Output::Rejected { key, message_id } => self.on_rejected(key, message_id),
            Output::Disconnect { receipt } => self.closing.request_by_client(receipt),
            // Handled by the loop, which has the socket to close.
            Output::Close { .. } => {}
        }
    }

    /// Handles an event from the wake queue.
    pub(super) fn on_connection_event(&mut self, event: ConnectionEvent) {
        match event {
            ConnectionEvent::Stored { ticket, outcome } => self.on_stored(ticket, outcome),
            ConnectionEvent::Event { slot, body } => {
                let socket = &mut self.socket;
                if !self.subscriptions.write_event(slot, &body, socket) {
                    self.services.metrics.events_dropped.inc();
                }
            }
            ConnectionEvent::Left { room, member } => self.on_left(room, member),
            ConnectionEvent::Migrate(at) => {
                self.migration.begin_restart(at);
                self.notify_of_migration();
            }
            ConnectionEvent::Close(reason) if reason.code == BLOCKED.code => self.close_blocked(),
            ConnectionEvent::Close(reason) => self.close_gracefully(reason),
        }
    }

    /// Continues with a frame whose work is done.
    pub(super) fn on_work(&mut self, done: WorkDone, now: Instant) {
        match done {
            WorkDone::Login(result) => self.on_identity(result, now),
            WorkDone::Token(receipt, Ok(identity)) => self.on_fresh_token(receipt, identity, now),
            WorkDone::Token(receipt, Err(failure)) => self.refuse(failure, receipt),
            WorkDone::Send(send, turn, decided) => self.on_permit(send, turn, decided),
            WorkDone::Typing(send, Err(failure)) => self.fail_send(&send, failure),
            WorkDone::Typing(send, Ok(room)) => self.publish_typing(send, room, now),
            WorkDone::Commit(commit, turns, stored) => self.on_committed(commit, &turns, stored),
            WorkDone::Begun(subscribe, slot, Ok(begun)) => {
                self.add_subscription(subscribe, slot, begun);
            }
            WorkDone::Begun(subscribe, _, Err(failure)) => self.refuse(failure, subscribe.receipt),
        }
    }

    /// Ends the session with an ERROR, unless the frame was not wrong.
    fn refuse(&mut self, failure: ClientError, receipt: Option<Receipt>) {
        if !self.ends_member(failure) {
            self.session.refuse(failure.refusal(receipt));
        }
    }

    /// Ends the session, without an ERROR, if the failure is the member's and not the frame's; whether
    /// it did.
    pub(super) fn ends_member(&mut self, failure: ClientError) -> bool {
        if failure == ClientError::BLOCKED {
            self.close_blocked();
        } else if failure == ClientError::SESSION_ENDED {
            self.close_gracefully(SESSION_ENDED);
        } else {
            return false;
        }
        true
    }

    /// Ends the session of a blocked member, after the sends in flight.
    pub(super) fn close_blocked(&mut self) {
        if !self.closing.is_ending() {
            self.close_gracefully(BLOCKED);
            self.services.metrics.close_blocked.count(BlockedAt::Open);
        }
    }

    /// Writes an error to the client's error destination; `false` if it has not subscribed to that.
    pub(super) fn report(&mut self, error: &SendError<'_>) -> bool {
        self.subscriptions.write_error(error, &mut self.socket)
    }

    // ---- login --------------------------------------------------------------------------------

    fn on_login(&mut self, login: &stomp::Login) {
        let credentials = self.login.take_credentials(&login.frame);
        let (services, entry) = (Arc::clone(&self.services), Arc::clone(&self.entry));
        self.in_flight
            .start(async move { WorkDone::Login(log_in(&services, &entry, &credentials).await) });
    }

    fn on_identity(&mut self, result: Result<Identity, ClientError>, now: Instant) {
        let metrics = &self.services.metrics;
        let failure = match result {
            Ok(identity) => return self.accept_login(identity, now),
            Err(failure) => failure,
        };
        let mut refusal = failure.refusal(None);
        if failure == ClientError::CONNECTIONS {
            let refused = &metrics.connections_refused;
            refused.with_label_values(&["member"]).inc();
            let max = self.services.config.member_connections_max;
            refusal.message = format!("{}: {max} at most", failure.message).into();
        } else {
            let reason = match failure {
                ClientError::BLOCKED => {
                    metrics.close_blocked.count(BlockedAt::Login);
                    "blocked"
                }
                _ if failure.retryable => "unavailable",
                _ => "refused",
            };
            metrics.auth_failures.with_label_values(&[reason]).inc();
            // Front ends stop reconnecting at exactly this text; an outage must not use it.
            if !failure.retryable {
                refusal.message = stomp::AUTHENTICATION_FAILED.into();
            }
        }
        self.session.refuse(refusal);
    }

    fn accept_login(&mut self, identity: Identity, now: Instant) {
        let (session, member) = (self.entry.id().to_string(), identity.member);
        self.session
            .accept_login(&session, &member.to_string(), now);
        self.services.metrics.logins.inc();
        debug!(%member, "member {member} logged in");
        self.entry.note_version(self.session.version());
        let accepted = Accepted::new(identity, &self.services, now);
        self.login.accept(accepted);
    }

    fn on_fresh_token(&mut self, receipt: Option<Receipt>, fresh: Identity, now: Instant) {
        let fresh = Accepted::new(fresh, &self.services, now);
        if self.login.renew(fresh) {
            self.session.confirm(receipt);
        } else {
            self.session.refuse(ClientError::TOKEN.refusal(receipt));
        }
    }

    /// Notifies the client of a move, once, as soon as it has subscribed to notices.
    pub(super) fn notify_of_migration(&mut self) {
        if self.closing.is_ending() || !self.subscriptions.has_system() {
            return;
        }
        let Some(notice) = self.migration.take_notice(self.services.clock.now()) else {
            return;
        };
        let seed = self.services.seed;
        self.subscriptions
            .write_drain_notice(&notice, seed, &mut self.socket);
        let notices = &self.services.metrics.drain_notices;
        notices.with_label_values(&[notice.reason]).inc();
    }

    // ---- subscriptions ------------------------------------------------------------------------

    fn on_subscribe(&mut self, subscribe: Subscribe) {
        let reader = self.login.identity().ok_or(ClientError::FORBIDDEN);
        let request = reader.and_then(|reader| SubscribeRequest::read(&subscribe, reader));
        let request = match request {
            Ok(request) => request,
            Err(failure) => return self.session.refuse(failure.refusal(subscribe.receipt)),
        };
        let slot = self.subscriptions.reserve();
        let services = Arc::clone(&self.services);
        let wake_queue = Arc::clone(self.entry.wake_queue());
        self.in_flight.start(async move {
            let begun = begin(services, request, wake_queue, slot).await;
            WorkDone::Begun(subscribe, slot, begun)
        });
    }

    /// One subscription too many. A client with an error destination gets an error there; another one
    /// keeps its connection and its subscriptions: after an ERROR it would reconnect and subscribe to
    /// as many again.
    fn on_not_subscribed(&mut self, refused: NotSubscribed) {
        let NotSubscribed {
            max,
            frame,
            receipt,
        } = refused;
        let limited = &self.services.metrics.rate_limited;
        limited.with_label_values(&["subscriptions"]).inc();
        let failure = ClientError::SUBSCRIPTIONS;
        let text = format!("{}: {max} at most", failure.message);
        let subject = ErrorSubject {
            destination: frame.header("destination").unwrap_or_default(),
            receipt_id: receipt.as_ref().map(Receipt::as_str),
            client_message_id: None,
        };
        let error = SendError {
            message: &text,
            ..failure.describe(subject)
        };
        if !self.report(&error) {
            let code = failure.code.to_string();
            let headers = [("refused", &*code), ("message", &*text)];
            self.session.confirm_with(receipt, &headers);
        }
    }

    /// Counts a subscription that has ended.
    pub(super) fn note_subscription_ended(&self) {
        self.services.metrics.subscriptions_closed.inc();
        self.entry.note_subscription(Change::Ended);
    }

    fn add_subscription(&mut self, subscribe: Subscribe, slot: Slot, begun: Begun) {
        let Some(version) = self.session.version() else {
            return;
        };
        let head = match begun.target {
            Target::Log(topic, _) => topic.message_id(begun.head),
            Target::Events(_) | Target::Errors | Target::System => None,
        };
        let head = head.map_or(0, |id| id.get()).to_string();
        let recovered = if begun.recovered { "true" } else { "false" };
        let terms = SubscriptionTerms {
            key: subscribe.key,
            ack_mode: subscribe.ack_mode,
            version,
            id: subscribe.id(),
        };
        self.subscriptions
            .add(slot, Subscription::new(begun, terms));
        self.services.metrics.subscriptions_opened.inc();
        self.entry.note_subscription(Change::Begun);
        let headers = [("head", head.as_str()), ("recovered", recovered)];
        self.session.confirm_with(subscribe.receipt, &headers);
        self.subscriptions.queue(slot);
        self.notify_of_migration();
    }

    /// The client has rejected a message twice.
    fn on_rejected(&mut self, key: SubscriptionKey, message_id: u64) {
        let Some(destination) = self.subscriptions.destination(key) else {
            return;
        };
        let id = message_id.to_string();
        let subject = ErrorSubject {
            destination: &destination,
            receipt_id: None,
            client_message_id: Some(&id),
        };
        self.report(&ClientError::REJECTED.describe(subject));
        self.subscriptions.queue_key(key);
    }

    /// Ends the deliveries of a room that the member has left. The connection and the STOMP
    /// subscription stay open; no further message arrives on it.
    fn on_left(&mut self, room: RoomId, member: MemberId) {
        if self.login.member() != Some(member) {
            return;
        }
        while let Some(subscription) = self.subscriptions.take_of_room(room) {
            self.note_subscription_ended();
            let destination = subscription.destination();
            let subject = ErrorSubject {
                destination: &destination,
                receipt_id: None,
                client_message_id: None,
            };
            // A client without an error destination learns it when it next uses the room.
            self.report(&ClientError::NOT_PARTICIPANT.describe(subject));
        }
    }
}

/// The frame that an output comes from; frames that the session handles alone are not counted.
fn command_of(output: &Output) -> Option<Command> {
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
