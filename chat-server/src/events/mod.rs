//! Domain events of the market: applied to members, and appended to the inboxes of those concerned.
//!
//! The market's relay posts a batch until it is taken, so a batch may come several times and to
//! several nodes: an entry's client message id is the event's id, which the log deduplicates.
//!
//! | file | contents |
//! |---|---|
//! | `accounts` | what events change about members' accounts |
//! | `addressees` | recipients of an event, and the data for each |
//! | `pushes` | which notifications are offered for push |
//! | `text` | titles and sentences, in Korean and English |
//!
//! What this module does not do: deliver. An entry reaches its reader like every entry of a log.

mod accounts;
mod addressees;
mod pushes;
mod text;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::mem;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use shared::clock::{Clock, UnixMillis};
use shared::event::{EVENTS_MAX, Envelope, EventId, EventPost, RefusedEvent};
use shared::ids::MemberId;
use shared::text::Language;
use shared::trace::{Span, TRACEPARENT};

use crate::append::AppendError;
use crate::inbox::{Alarm, AlarmState, InboxError, Inboxes, Notice, RunningAlarm};
use crate::log::{Draft, Headers, Kind, Uid};
use crate::members::Members;
use crate::metrics::Metrics;
use crate::push::{MemberPreferences, PushNotice, PushText, Pusher, Targets};
use crate::rooms::Rooms;
use crate::store::APPEND_ENTRIES_MAX;
use addressees::Message;

/// Age up to which a post is taken. Its sender gives a post up long before, and posts the same events
/// again; one that a network held back must not come after what the log's deduplication covers, which
/// is ten minutes.
pub const POST_AGE_MAX: Duration = Duration::from_secs(300);

/// Inboxes that one post is appended to at a time.
const INBOXES_AT_ONCE: usize = 128;

/// Changes of members that one post makes at a time.
const CHANGES_AT_ONCE: usize = 16;

/// Events of one append to an inbox: each is up to two entries.
const EVENTS_PER_APPEND: usize = APPEND_ENTRIES_MAX / 2;

/// Why a post was not taken. Its events may or may not be stored; posting them again is harmless.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TakeError {
    /// These events cannot be stored, now or later. The others should be posted again.
    #[error("{} events cannot be taken", .0.len())]
    Refused(Vec<RefusedEvent>),
    /// The store does not answer now.
    #[error("events cannot be stored now")]
    Unavailable,
    /// The post is older than [`POST_AGE_MAX`].
    #[error("the post is too old")]
    Stale,
    /// Too many events, or one without an id.
    #[error("no valid post")]
    Invalid,
}

/// Dependencies of [`Events`].
#[derive(Debug)]
pub struct EventsParts {
    /// Account status, sessions, profiles.
    pub members: Arc<Members>,
    /// Where members are called by their names.
    pub rooms: Arc<Rooms>,
    /// Where notifications and alarms go.
    pub inboxes: Arc<Inboxes>,
    /// What members want to be notified of.
    pub preferences: Arc<MemberPreferences>,
    /// Where push notifications go.
    pub targets: Arc<Targets>,
    /// Takes the notifications of members without a connection.
    pub pusher: Pusher,
    /// The age of posts.
    pub clock: Arc<dyn Clock>,
    /// Counts events.
    pub metrics: Arc<Metrics>,
}

/// The receiver of events.
pub struct Events {
    parts: EventsParts,
}

/// What one event adds to one inbox.
struct Delivery {
    event: EventId,
    /// Ends with the last inbox of the event.
    span: Span,
    drafts: Vec<Draft>,
    alarm: Option<Booking>,
    /// How many drafts it had.
    entries: usize,
    /// For the notification, which is the last of them.
    push: Option<PushNotice>,
}

/// The booking that an alarm is about.
struct Booking {
    alarm: Alarm,
    ends_at: UnixMillis,
}

impl Events {
    /// A receiver.
    #[must_use]
    pub fn new(parts: EventsParts) -> Self {
        Self { parts }
    }

    /// Takes a post: when it returns `Ok`, all its events are applied and in the inboxes. Returns
    /// their number.
    ///
    /// # Errors
    /// See [`TakeError`].
    pub async fn take(&self, post: EventPost) -> Result<usize, TakeError> {
        let taken = self.take_all(post).await;
        let outcome = match &taken {
            Ok(_) => "ok",
            Err(TakeError::Refused(refused)) => {
                for RefusedEvent { event_id, reason } in refused {
                    tracing::error!(%event_id, "event {event_id} is refused: {reason}");
                }
                "refused"
            }
            Err(TakeError::Unavailable) => "unavailable",
            Err(TakeError::Stale) => "stale",
            Err(TakeError::Invalid) => "invalid",
        };
        let posts = &self.parts.metrics.market_events.posts;
        posts.with_label_values(&[outcome]).inc();
        taken
    }

    async fn take_all(&self, post: EventPost) -> Result<usize, TakeError> {
        let now = self.parts.clock.unix_millis();
        if post.events.len() > EVENTS_MAX {
            return Err(TakeError::Invalid);
        }
        if now.saturating_since(post.posted_at.to_unix()) > POST_AGE_MAX {
            return Err(TakeError::Stale);
        }
        let (events, mut refused) = post.parse().map_err(|_no_id| TakeError::Invalid)?;
        refused.extend(events.iter().filter_map(addressees::unreadable));
        if !refused.is_empty() {
            return Err(TakeError::Refused(refused));
        }
        let changes: Vec<_> = events.iter().map(|event| self.apply(event)).collect();
        let changes = stream::iter(changes).buffer_unordered(CHANGES_AT_ONCE);
        changes.try_collect::<()>().await?;
        let deliveries = self.deliveries(&events, now).await?;
        let appends = deliveries.into_iter();
        let appends: Vec<_> = appends
            .map(|(member, all)| self.deliver(member, all))
            .collect();
        let appends = stream::iter(appends).buffer_unordered(INBOXES_AT_ONCE);
        // All of them, although one fails: fewer are left for the next post.
        let outcomes: Vec<_> = appends.collect().await;
        self.judge(outcomes)?;
        let taken = &self.parts.metrics.market_events.taken;
        taken.inc_by(events.len() as u64);
        Ok(events.len())
    }

    /// The entries for each inbox, in the order of the events.
    async fn deliveries(
        &self,
        events: &[Envelope],
        now: UnixMillis,
    ) -> Result<BTreeMap<MemberId, Vec<Delivery>>, TakeError> {
        let addressed = events.iter().map(|event| (event, addressees::of(event)));
        let addressed: Vec<(&Envelope, Vec<Message>)> = addressed.collect();
        let readers = addressed.iter().flat_map(|(_, messages)| messages);
        let readers: BTreeSet<MemberId> = readers.map(|message| message.member).collect();
        let readers: Vec<MemberId> = readers.into_iter().collect();
        let profiles = self.parts.members.profiles(&readers).await;
        let profiles = profiles.map_err(|_unavailable| TakeError::Unavailable)?;
        let preferences = pushes::preferences(&self.parts.preferences, &readers).await?;
        let mut deliveries = BTreeMap::<_, Vec<Delivery>>::new();
        for (envelope, messages) in addressed {
            if messages.is_empty() {
                continue;
            }
            let span = Span::of_append(envelope);
            for mut message in messages {
                message.notice = message
                    .notice
                    .filter(|_| preferences.want(message.member, envelope));
                let profile = profiles.get(&message.member);
                let language = profile.map(|profile| profile.language).unwrap_or_default();
                let member = message.member;
                let delivery = delivery(envelope, message, language, now, &span);
                deliveries.entry(member).or_default().push(delivery);
            }
        }
        Ok(deliveries)
    }

    /// Appends to one inbox, in order; returns the events that it cannot take for good.
    async fn deliver(
        &self,
        member: MemberId,
        deliveries: Vec<Delivery>,
    ) -> Result<Vec<RefusedEvent>, TakeError> {
        let mut deliveries = deliveries.into_iter().peekable();
        while deliveries.peek().is_some() {
            let mut chunk: Vec<Delivery> = deliveries.by_ref().take(EVENTS_PER_APPEND).collect();
            for delivery in &chunk {
                self.note_alarm(member, delivery).await?;
            }
            let drafts = chunk.iter_mut().flat_map(|one| mem::take(&mut one.drafts));
            let appended = self.parts.inboxes.append(member, drafts.collect()).await;
            if appended.is_err() {
                chunk.iter().for_each(|delivery| delivery.span.fail());
            }
            match appended {
                Ok(placed) => {
                    let new = placed.iter().filter(|placed| placed.is_new).count();
                    self.parts.metrics.market_events.entries.inc_by(new as u64);
                    pushes::offer(&self.parts.pusher, &mut chunk, &placed);
                }
                Err(AppendError::Unavailable) => return Err(TakeError::Unavailable),
                // An operator has to act; until then the event must not hold up all others.
                Err(
                    error @ (AppendError::Full | AppendError::Corrupt | AppendError::NameTaken),
                ) => {
                    let refused = chunk.into_iter().chain(deliveries);
                    let refused = refused.map(|delivery| RefusedEvent {
                        event_id: delivery.event,
                        reason: format!("inbox {member}: {error}"),
                    });
                    return Ok(refused.collect());
                }
            }
        }
        Ok(Vec::new())
    }

    async fn note_alarm(&self, member: MemberId, delivery: &Delivery) -> Result<(), TakeError> {
        let Some(Booking { alarm, ends_at }) = &delivery.alarm else {
            return Ok(());
        };
        let (inboxes, now) = (&self.parts.inboxes, self.parts.clock.unix_millis());
        let noted = match alarm.event_state {
            AlarmState::Start => {
                let running = RunningAlarm {
                    trade: alarm.trade_id,
                    body: json(alarm),
                    ends_at: *ends_at,
                };
                inboxes.note_running(member, running, now).await
            }
            AlarmState::End => inboxes.note_ended(member, alarm.trade_id).await,
        };
        noted.map_err(|_error: InboxError| TakeError::Unavailable)
    }

    /// Refused events come first: an outage is retried anyway.
    fn judge(&self, outcomes: Vec<Result<Vec<RefusedEvent>, TakeError>>) -> Result<(), TakeError> {
        let (mut refused, mut failure) = (BTreeMap::new(), None);
        for outcome in outcomes {
            match outcome {
                Ok(events) => {
                    let by_id = events.into_iter().map(|one| (one.event_id.clone(), one));
                    refused.extend(by_id);
                }
                Err(error) => failure = Some(error),
            }
        }
        match failure {
            _ if !refused.is_empty() => Err(TakeError::Refused(refused.into_values().collect())),
            Some(error) => Err(error),
            None => Ok(()),
        }
    }
}

/// The entries of one message.
fn delivery(
    envelope: &Envelope,
    message: Message,
    language: Language,
    now: UnixMillis,
    span: &Span,
) -> Delivery {
    let member = message.member;
    let Message { alarm, notice, .. } = message;
    let mut headers = Headers::new();
    if let Some(traceparent) = span.traceparent() {
        let traceparent = traceparent.to_string();
        headers.push((TRACEPARENT.as_str().into(), traceparent.into()));
    }
    let draft = |kind, name: String, body| Draft {
        uid: Uid(rand::random()),
        kind,
        sender: None,
        client_message_id: Some(name.into()),
        headers: headers.clone(),
        content_type: None,
        body,
        sent_at: now,
    };
    let mut drafts = Vec::with_capacity(2);
    if let Some(booking) = &alarm {
        let name = format!("alarm:{}", envelope.id);
        drafts.push(draft(Kind::Alarm, name, json(&booking.alarm)));
    }
    let mut push = None;
    if let Some(addressed) = notice {
        let (title, body) = text::of(&addressed.text, language);
        let kind = envelope.event.kind();
        let push_text = PushText::new(title, &body);
        let (event, data) = ((envelope.id.as_str(), kind.as_str()), &addressed.data);
        push = Some(PushNotice::of_event(
            member,
            event,
            push_text,
            data.clone().into(),
        ));
        let notice = Notice {
            kind: envelope.event.kind().as_str().to_owned(),
            title: title.to_owned(),
            body,
            data: addressed.data,
        };
        drafts.push(draft(Kind::Notice, envelope.id.to_string(), json(&notice)));
    }
    Delivery {
        event: envelope.id.clone(),
        span: span.clone(),
        entries: drafts.len(),
        drafts,
        alarm,
        push,
    }
}

/// The JSON of a struct whose keys are texts.
fn json(body: &impl serde::Serialize) -> Bytes {
    Bytes::from(serde_json::to_vec(body).expect("keys are texts, and numbers are finite"))
}

impl fmt::Debug for Events {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Events").finish_non_exhaustive()
    }
}
