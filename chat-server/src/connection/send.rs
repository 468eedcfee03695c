//! SEND, alone or in a transaction: from the frame to the appender, and the receipt or the error.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use futures_util::FutureExt;
use shared::config::Secret;
use shared::ids::{MemberId, RoomId};
use stomp::{Commit, Receipt, Send};

use super::actor::Actor;
use super::error::{ClientError, ErrorSubject};
use super::in_flight::{PendingSend, WorkDone};
use super::login::renew;
use super::message::{MessageRules, read_message};
use super::permission::{Permit, permit, shows_typing};
use super::transaction::{self, Sender};
use crate::append::{Outcome, Turn};
use crate::auth::Identity;
use crate::destination::SendTo;
use crate::log::{Draft, RoomEvent, Topic};
use crate::metrics::SendOutcome;
use crate::store::Room;
use crate::wake_queue::ConnectionEvent;
use crate::wakers::Wakers;

impl Actor {
    pub(super) fn on_send(&mut self, send: Send) {
        let (Some(sender), Some(to)) = (self.login.identity(), SendTo::parse(send.destination()))
        else {
            return self.fail_send(&send, ClientError::DESTINATION);
        };
        let services = Arc::clone(&self.services);
        match to {
            SendTo::Room(room) => self.on_message(send, room, sender),
            SendTo::Typing(_) if !self.may_send_now(1) => self.fail_send(&send, ClientError::RATE),
            SendTo::Typing(room) => {
                self.in_flight.start(async move {
                    WorkDone::Typing(send, shows_typing(&services, room, &sender).await)
                });
            }
            SendTo::Token => self.on_token(send, sender.member),
        }
    }

    /// A message to a room, unless one before it was refused for now and must be repeated first.
    fn on_message(&mut self, send: Send, room: RoomId, sender: Arc<Identity>) {
        let turn = self.take_turn(&send, room);
        if turn.has_to_wait() {
            return self.fail_message(&send, &turn, ClientError::BEHIND);
        }
        if !self.may_send_now(1) {
            return self.fail_message(&send, &turn, ClientError::RATE);
        }
        if let Some(room) = self.permits.get(&self.services, room, &sender) {
            return self.submit(send, turn, &room);
        }
        let services = Arc::clone(&self.services);
        // Nearly always all is cached, and the next frames need not wait.
        if let Some(cached) = permit(&services, room, &sender).now_or_never() {
            return self.on_permit(send, turn, cached);
        }
        self.in_flight.start(async move {
            WorkDone::Send(send, turn, permit(&services, room, &sender).await)
        });
    }

    /// Whether the member may write into the room of a message is decided.
    pub(super) fn on_permit(
        &mut self,
        send: Send,
        turn: Turn,
        decided: Result<Permit, ClientError>,
    ) {
        match decided {
            Ok(permit) => {
                self.submit(send, turn, permit.room());
                self.permits.keep(permit);
            }
            Err(failure) => self.fail_message(&send, &turn, failure),
        }
    }

    fn take_turn(&self, send: &Send, room: RoomId) -> Turn {
        let name = send.frame.header("client-message-id");
        let (topic, body) = (Topic::Room(room), send.frame.body());
        self.in_flight.take_turn(topic, name, body)
    }

    /// Whether the rate limit allows so many sends more.
    fn may_send_now(&self, sends: usize) -> bool {
        let allows = self.limiter.allows(sends);
        if !allows {
            let limited = &self.services.metrics.rate_limited;
            limited.with_label_values(&["send"]).inc();
        }
        allows
    }

    fn on_token(&mut self, send: Send, member: MemberId) {
        let token = String::from_utf8_lossy(send.frame.body()).trim().to_owned();
        let (services, entry) = (Arc::clone(&self.services), Arc::clone(&self.entry));
        self.in_flight.start(async move {
            let fresh = renew(&services, &entry, member, Secret::new(token)).await;
            WorkDone::Token(send.receipt, fresh)
        });
    }

    /// Gives a message to the appender; its outcome comes by the wake queue.
    fn submit(&mut self, send: Send, turn: Turn, room: &Room) {
        let draft = match self.draft(&send, room) {
            Ok(draft) => draft,
            Err(failure) => return self.fail_message(&send, &turn, failure),
        };
        let ticket = self.in_flight.add_send(PendingSend {
            send,
            turn: turn.clone(),
            since: self.services.clock.now(),
        });
        let wake_queue = Arc::clone(self.entry.wake_queue());
        let done = Box::new(move |outcome, wakers: &mut Wakers| {
            wake_queue.post_to(ConnectionEvent::Stored { ticket, outcome }, wakers);
        });
        self.services
            .appender
            .submit(Topic::Room(room.room_id), Some(turn), vec![draft], done);
    }

    fn draft(&self, send: &Send, room: &Room) -> Result<Draft, ClientError> {
        let member = self.login.member().ok_or(ClientError::FORBIDDEN)?;
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

    pub(super) fn on_stored(&mut self, ticket: u64, outcome: Outcome) {
        let Some(PendingSend { send, turn, since }) = self.in_flight.take_send(ticket) else {
            return;
        };
        let took = self.services.clock.now().saturating_duration_since(since);
        self.services
            .metrics
            .send_seconds
            .observe(took.as_secs_f64());
        match outcome {
            Ok(_) => {
                turn.settle();
                self.session.confirm(send.receipt);
            }
            Err(error) => self.fail_message(&send, &turn, error.into()),
        }
    }

    pub(super) fn publish_typing(&mut self, send: Send, room: Option<RoomId>, now: Instant) {
        let room = room.filter(|room| self.typed.allows(*room, now));
        if let (Some(room), Some(member_id)) = (room, self.login.member()) {
            self.services
                .hub
                .publish_event(room, RoomEvent::Typing { member_id });
        }
        self.session.confirm(send.receipt);
    }

    /// A transaction's messages: all are checked before any is given to the appender, and those of
    /// one room go as one batch.
    pub(super) fn on_commit(&mut self, commit: Commit) {
        let rooms = commit
            .sends
            .iter()
            .map(|send| match SendTo::parse(send.destination()) {
                Some(SendTo::Room(room)) => Ok(room),
                Some(SendTo::Typing(_) | SendTo::Token) | None => Err(ClientError::DESTINATION),
            });
        let rooms: Result<Vec<RoomId>, ClientError> = rooms.collect();
        let (rooms, identity) = match (rooms, self.login.identity()) {
            (Ok(rooms), Some(identity)) => (rooms, identity),
            (Err(failure), _) => return self.fail_commit(&commit, failure),
            (_, None) => return self.fail_commit(&commit, ClientError::FORBIDDEN),
        };
        let mut turns = BTreeMap::new();
        for (room, send) in rooms.iter().zip(&commit.sends) {
            turns
                .entry(*room)
                .or_insert_with(|| self.take_turn(send, *room));
        }
        let all: Vec<Turn> = turns.values().cloned().collect();
        if all.iter().any(Turn::has_to_wait) {
            return self.on_committed(commit, &all, Err(ClientError::BEHIND));
        }
        if !self.may_send_now(commit.sends.len()) {
            return self.on_committed(commit, &all, Err(ClientError::RATE));
        }
        let services = Arc::clone(&self.services);
        self.in_flight.start(async move {
            let sender = Sender { identity, turns };
            let stored = transaction::store(&services, &sender, &rooms, &commit).await;
            WorkDone::Commit(commit, all, stored)
        });
    }

    /// A transaction is repeated as a whole, so each of its rooms waits for it.
    pub(super) fn on_committed(
        &mut self,
        commit: Commit,
        turns: &[Turn],
        stored: Result<(), ClientError>,
    ) {
        let now = self.services.clock.now();
        for turn in turns {
            match stored {
                Err(failure) if failure.retryable => turn.refuse(now),
                Ok(()) | Err(_) => turn.settle(),
            }
        }
        match stored {
            Ok(()) => self.session.confirm_commit(commit),
            Err(failure) => self.fail_commit(&commit, failure),
        }
    }

    /// A message was refused: for good, or for now, and then those behind it wait until it is
    /// repeated.
    pub(super) fn fail_message(&mut self, send: &Send, turn: &Turn, failure: ClientError) {
        if failure.retryable {
            turn.refuse(self.services.clock.now());
        } else {
            turn.settle();
        }
        self.fail_send(send, failure);
    }

    /// A client that has subscribed to `/user/queue/errors` gets an error there and stays; others get
    /// an ERROR.
    pub(super) fn fail_send(&mut self, send: &Send, failure: ClientError) {
        self.services.metrics.sends.count(SendOutcome::Rejected);
        let subject = ErrorSubject {
            destination: send.destination(),
            receipt_id: send.receipt.as_ref().map(Receipt::as_str),
            client_message_id: send.frame.header("client-message-id"),
        };
        if !self.ends_member(failure) && !self.report(&failure.describe(subject)) {
            self.session.refuse(failure.refusal(send.receipt.clone()));
        }
    }

    fn fail_commit(&mut self, commit: &Commit, failure: ClientError) {
        let first = commit.sends.first();
        let subject = ErrorSubject {
            destination: first.map(Send::destination).unwrap_or_default(),
            receipt_id: commit.receipt.as_ref().map(Receipt::as_str),
            client_message_id: None,
        };
        if !self.ends_member(failure) && !self.report(&failure.describe(subject)) {
            self.session.refuse(failure.refusal(commit.receipt.clone()));
        }
    }
}
