//! The pusher: decides which members get a push, and offers it to their targets.
//!
//! Offering is one bounded `try_send`: a slow push service, a slow store, or none at all, never holds up a send, an
//! inbox or a trade. What does not fit is dropped and counted; it is in the room or the inbox.
//!
//! A notification goes to a member without a live connection on any node who wants it. A chat message goes to
//! each such member of its room, at most once per quiet time and room. A room of more than
//! [`BIG_ROOM`](super::BIG_ROOM) members is considered once per quiet time as a whole, or each message would cost
//! requests for all of them.

use std::sync::Arc;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use shared::ids::Seq;
use tokio::select;
use tokio::sync::mpsc;

use super::considering::{Considering, PusherParts};
use super::lane::Lanes;
use super::message::cut;
use super::offer::{ChatPush, Offer, PushNotice};
use crate::log::{Draft, Kind, Topic};
use crate::metrics::{Metrics, PushDrop, PushKind};

/// Offers that wait: 1 KiB each, 10 MiB.
const OFFERS_MAX: usize = 10_000;

/// Offers considered at a time.
const OFFERS_AT_ONCE: usize = 16;

/// Characters of a chat message in a push.
const CHAT_CHARS_MAX: usize = 100;

/// Takes offers. Clones offer to the same queue.
#[derive(Clone, Debug)]
pub struct Pusher {
    queue: Option<mpsc::Sender<Offer>>,
    metrics: Arc<Metrics>,
}

/// Offers on their way to the task.
#[derive(Debug)]
pub struct Offers(mpsc::Receiver<Offer>);

impl Pusher {
    /// A pusher, and the end of its queue for [`PusherParts::run`].
    #[must_use]
    pub fn new(metrics: Arc<Metrics>) -> (Self, Offers) {
        let (queue, offers) = mpsc::channel(OFFERS_MAX);
        let queue = Some(queue);
        (Self { queue, metrics }, Offers(offers))
    }

    /// A pusher of a site without push services: offers end here.
    #[must_use]
    pub const fn none(metrics: Arc<Metrics>) -> Self {
        Self {
            queue: None,
            metrics,
        }
    }

    /// Offers a notification whose inbox entry was stored by this call. Never waits.
    pub fn offer(&self, notice: PushNotice) {
        self.put(PushKind::Notice, || Offer::Notice(Box::new(notice)));
    }

    /// Offers a message that this node has stored. Never waits.
    pub fn offer_stored(&self, topic: Topic, seq: Seq, draft: &Draft) {
        let (Topic::Room(room), Kind::Chat) = (topic, draft.kind) else {
            return;
        };
        self.put(PushKind::Chat, || {
            let text = str::from_utf8(&draft.body).unwrap_or_default();
            Offer::Chat(ChatPush {
                room,
                seq,
                sender: draft.sender,
                text: cut(text, CHAT_CHARS_MAX),
            })
        });
    }

    fn put(&self, kind: PushKind, offer: impl FnOnce() -> Offer) {
        let Some(queue) = &self.queue else { return };
        let push = &self.metrics.push;
        push.offered.count(kind);
        match queue.try_reserve() {
            Ok(place) => place.send(offer()),
            Err(mpsc::error::TrySendError::Full(())) => push.dropped.count(PushDrop::Queue),
            Err(mpsc::error::TrySendError::Closed(())) => push.dropped.count(PushDrop::Stop),
        }
    }
}

impl PusherParts {
    /// Considers offers until the drain begins.
    pub async fn run(self, Offers(mut offers): Offers) {
        let lanes = Lanes::start(
            &self.services,
            &self.targets,
            &self.clock,
            (&self.drain, &self.metrics),
        );
        let soft = self.drain.soft();
        let considering = Considering::new(self, lanes);
        let mut open = FuturesUnordered::new();
        // | arm | input | cancel-safe because |
        // |---|---|---|
        // | cancelled | the drain begins | a token |
        // | open.next | an offer has been considered | the futures stay in the set |
        // | offers.recv | an offer | documented |
        loop {
            select! {
                () = soft.cancelled() => break,
                Some(()) = open.next(), if !open.is_empty() => {}
                offer = offers.recv(), if open.len() < OFFERS_AT_ONCE => match offer {
                    Some(offer) => open.push(considering.consider(offer)),
                    None => break,
                },
            }
        }
        offers.close();
        let dropped = &considering.parts.metrics.push.dropped;
        while offers.try_recv().is_ok() {
            dropped.count(PushDrop::Stop);
        }
        (0..open.len()).for_each(|_| dropped.count(PushDrop::Stop));
    }
}
