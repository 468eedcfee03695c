//! Bounded queue of a node's bus events: events that do not fit are replaced by one `Lost`.

use tokio::sync::mpsc;

use super::BusEvent;

/// The sending side of a node's receiver. One at a time may use it, so it stands behind a lock.
#[derive(Debug)]
pub(super) struct EventSink {
    /// Its last slot is reserved for `Lost`, so that a `Lost` fits whenever an event does not.
    sender: mpsc::Sender<BusEvent>,
    /// How many events were sent after the newest `Lost`; `None` if that was received, or none
    /// sent.
    since_lost: Option<usize>,
}

impl EventSink {
    /// For a node that can have `capacity` events waiting, at least one, and one `Lost`.
    pub(super) fn new(capacity: usize) -> (Self, mpsc::Receiver<BusEvent>) {
        let (sender, receiver) = mpsc::channel(capacity.max(1).saturating_add(1));
        let sink = Self {
            sender,
            since_lost: None,
        };
        (sink, receiver)
    }

    /// Queues `event`, or a `Lost` in its stead.
    ///
    /// Under the lock there is one sender, so the number of free slots can only rise meanwhile. The
    /// receiver frees a slot just after it took the event out: a `Lost` may seem to wait although
    /// the receiver has it already. That is as good: its node reads the heads after this, and finds
    /// what `event` was about, which was stored before it was published.
    ///
    /// The number of waiting events is read once. At a second reading, after a full receiver, both
    /// its events and its `Lost` could be gone, and another `Lost` would follow that one.
    pub(super) fn push(&mut self, event: BusEvent) {
        let waiting = self.look();
        if waiting + 1 < self.sender.max_capacity() {
            self.since_lost = self.since_lost.map(|since| since + 1);
            self.put(event);
        } else {
            self.put_lost();
        }
    }

    /// Queues a `Lost`, unless one waits: its node reads the heads after this all the same.
    pub(super) fn push_lost(&mut self) {
        self.look();
        self.put_lost();
    }

    /// How many wait. Events leave in the order they came: if no more wait than came after the
    /// `Lost`, it has left.
    fn look(&mut self) -> usize {
        let waiting = self.sender.max_capacity() - self.sender.capacity();
        self.since_lost = self.since_lost.filter(|since| waiting > *since);
        waiting
    }

    fn put_lost(&mut self) {
        if self.since_lost.is_none() {
            self.since_lost = Some(0);
            self.put(BusEvent::Lost);
        }
    }

    fn put(&self, event: BusEvent) {
        // Fails if the node has dropped its receiver, and so takes no events any more.
        self.sender.try_send(event).ok();
    }
}

#[cfg(test)]
mod tests {
    use shared::ids::{RoomId, Seq};

    use super::*;
    use crate::log::Topic;

    fn event() -> BusEvent {
        BusEvent::Head(Topic::Room(RoomId::try_from(1_u64).unwrap()), Seq::ZERO)
    }

    /// What waits, as letters: `e` an event, `L` a `Lost`.
    fn waiting(receiver: &mut mpsc::Receiver<BusEvent>) -> String {
        std::iter::from_fn(|| receiver.try_recv().ok())
            .map(|event| {
                if matches!(event, BusEvent::Lost) {
                    'L'
                } else {
                    'e'
                }
            })
            .collect()
    }

    #[test]
    fn what_does_not_fit_is_one_lost() {
        let (mut sink, mut receiver) = EventSink::new(2);
        (0..9).for_each(|_| sink.push(event()));
        assert_eq!(waiting(&mut receiver), "eeL");
        sink.push(event());
        assert_eq!(waiting(&mut receiver), "e");
    }

    #[test]
    fn a_lost_finds_room_in_a_full_receiver_and_is_not_doubled() {
        let (mut sink, mut receiver) = EventSink::new(2);
        (0..2).for_each(|_| sink.push(event()));
        (0..3).for_each(|_| sink.push_lost());
        sink.push(event());
        assert_eq!(waiting(&mut receiver), "eeL");
        (0..3).for_each(|_| sink.push_lost());
        assert_eq!(waiting(&mut receiver), "L");
    }

    #[test]
    fn events_behind_a_waiting_lost_bring_no_second_one() {
        let (mut sink, mut receiver) = EventSink::new(3);
        sink.push_lost();
        (0..9).for_each(|_| sink.push(event()));
        assert_eq!(waiting(&mut receiver), "Lee");
    }

    /// A reader that empties the receiver just while its sender finds it full.
    #[test]
    fn one_lost_is_not_followed_by_another_however_fast_the_reader() {
        let (mut sink, mut receiver) = EventSink::new(1);
        let reader = std::thread::spawn(move || {
            let mut after_lost = false;
            while let Some(event) = receiver.blocking_recv() {
                let is_lost = matches!(event, BusEvent::Lost);
                assert!(!(is_lost && after_lost), "one lost after the other");
                after_lost = is_lost;
            }
        });
        (0..1_000_000).for_each(|_| sink.push(event()));
        drop(sink);
        reader.join().unwrap();
    }
}
