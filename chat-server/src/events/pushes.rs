//! Pushes of a post: what the members want, and which notifications this post has stored.

use std::collections::BTreeMap;

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use shared::event::Envelope;
use shared::ids::MemberId;

use super::{Delivery, TakeError};
use crate::append::Placed;
use crate::push::{Channel, Class, MemberPreferences, Preferences, PushStoreUnavailable, Pusher};

/// Preferences that one post reads at a time.
const AT_ONCE: usize = 64;

/// What the members of a post want to be notified of.
pub(super) struct Wanted(BTreeMap<MemberId, Preferences>);

impl Wanted {
    /// Whether the member wants to be notified of events of this kind.
    pub(super) fn want(&self, member: MemberId, envelope: &Envelope) -> bool {
        let preferences = self.0.get(&member).copied().unwrap_or_default();
        let class = Class::of_kind(envelope.event.kind().as_str());
        preferences.channel(class) != Channel::None
    }
}

/// What these members want to be notified of.
pub(super) async fn preferences(
    all: &MemberPreferences,
    members: &[MemberId],
) -> Result<Wanted, TakeError> {
    let reads: Vec<_> = members.iter().map(|member| read(all, *member)).collect();
    let reads = stream::iter(reads).buffer_unordered(AT_ONCE);
    let read: Result<_, PushStoreUnavailable> = reads.try_collect().await;
    read.map(Wanted)
        .map_err(|_unavailable| TakeError::Unavailable)
}

async fn read(
    all: &MemberPreferences,
    member: MemberId,
) -> Result<(MemberId, Preferences), PushStoreUnavailable> {
    Ok((member, all.of(member).await?))
}

/// Offers the notifications of these deliveries that this append has stored; a delivery's notification is its
/// last draft.
pub(super) fn offer(pusher: &Pusher, deliveries: &mut [Delivery], placed: &[Placed]) {
    let mut end = 0_usize;
    for delivery in deliveries {
        end += delivery.entries;
        let at = end.checked_sub(1).and_then(|at| placed.get(at));
        if let (Some(push), Some(placed)) = (delivery.push.take(), at)
            && placed.is_new
        {
            pusher.offer(push);
        }
    }
}
