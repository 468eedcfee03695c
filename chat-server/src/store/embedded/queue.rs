//! Write queue: bounded, each write with a channel for its answer.
//!
//! The bound counts bytes, because one write may be 1 MiB or four bytes. A write holds its share
//! until it is answered, so what the writer has in hand is bounded, too.

use std::sync::Arc;
use std::time::Duration;

use shared::clock::UnixMillis;
use shared::ids::{MemberId, RoomId, Seq};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};
use tokio::time::timeout;

use super::NodeContext;
use super::outage::Pulse;
use crate::log::Topic;
use crate::store::{AccountStatus, Append, NewRecord, Room, StoreError};

/// Writes waiting and in hand: 32 MiB, thirty-two of the largest appends. One round of a disk that
/// writes 100 MB/s takes a third of a second then.
const QUEUE_BYTES_MAX: u32 = 32 << 20;

/// What the smallest write counts as: at most 8,192 writes wait.
const WRITE_BYTES_MIN: u32 = 4 << 10;

/// How many writes fit into the queue's bytes.
const QUEUE_WRITES_MAX: usize = (QUEUE_BYTES_MAX / WRITE_BYTES_MIN) as usize;

/// A write is answered within this time. A commit takes under a millisecond; a disk that is busy
/// with compaction may take a second. The sender's own deadline is 5 s, so it can retry twice.
pub(super) const WRITE_WAIT: Duration = Duration::from_millis(1_500);

/// A write.
#[derive(Debug)]
pub(super) enum Write {
    /// Writes nothing: its answer is the head behind the writes that came before.
    Head(Topic),
    Delete {
        topic: Topic,
        seq: Seq,
    },
    PutRoom(Box<Room>),
    MarkRead {
        member: MemberId,
        room: RoomId,
        seq: Seq,
    },
    /// The log moves into the store's epoch.
    Enter(Topic),
    SetAccountStatus {
        member: MemberId,
        status: AccountStatus,
        at: UnixMillis,
    },
    PutRecord {
        member: MemberId,
        record: NewRecord,
    },
}

/// `Applied` for everything but heads and a compare that failed.
pub(super) type Answer = Result<Append, StoreError>;

/// A write in the queue.
#[derive(Debug)]
pub(super) struct Request {
    pub(super) write: Write,
    pub(super) answer: oneshot::Sender<Answer>,
    /// Its share of the queue, given back when this is dropped.
    pub(super) share: OwnedSemaphorePermit,
}

/// The end of the queue where writes go in.
#[derive(Debug)]
pub(super) struct Queue {
    sender: mpsc::Sender<Request>,
    bytes: Arc<Semaphore>,
    pulse: Arc<Pulse>,
    context: NodeContext,
}

impl Queue {
    pub(super) fn new(context: NodeContext) -> (Self, mpsc::Receiver<Request>) {
        let (sender, receiver) = mpsc::channel(QUEUE_WRITES_MAX);
        let queue = Self {
            sender,
            bytes: Arc::new(Semaphore::new(QUEUE_BYTES_MAX as usize)),
            pulse: Arc::default(),
            context,
        };
        (queue, receiver)
    }

    /// What the writer shows its progress by.
    pub(super) fn pulse(&self) -> Arc<Pulse> {
        Arc::clone(&self.pulse)
    }

    /// Hands the write over and waits for the answer. `bytes` is about what it takes in memory.
    pub(super) async fn write(&self, write: Write, bytes: usize) -> Answer {
        let mut is_queued = false;
        let answer = timeout(WRITE_WAIT, self.enqueue(write, bytes, &mut is_queued)).await;
        if answer.is_err() {
            self.pulse.check(&self.context);
        }
        match answer {
            Ok(answer) => answer,
            Err(_elapsed) if is_queued => Err(StoreError::Unknown(format!(
                "no answer from the disk within {WRITE_WAIT:?}"
            ))),
            Err(_elapsed) => Err(StoreError::Unavailable(format!(
                "write queue full for {WRITE_WAIT:?}"
            ))),
        }
    }

    async fn enqueue(&self, write: Write, bytes: usize, is_queued: &mut bool) -> Answer {
        // A write larger than the queue goes when it is alone.
        let bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
        let share = bytes.clamp(WRITE_BYTES_MIN, QUEUE_BYTES_MAX);
        let share = Arc::clone(&self.bytes).acquire_many_owned(share).await;
        let share = share.expect("the semaphore is never closed");
        let (answer, answered) = oneshot::channel();
        // The queue has a free slot: every request holds a share of at least the smallest.
        self.sender
            .try_send(Request {
                write,
                answer,
                share,
            })
            .map_err(|_closed| StoreError::Unavailable("the writer has stopped".to_owned()))?;
        *is_queued = true;
        answered.await.unwrap_or_else(|_dropped| {
            Err(StoreError::Unknown(
                "the writer stopped before it answered".to_owned(),
            ))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write() -> Write {
        Write::Delete {
            topic: Topic::Room(RoomId::FIRST_ALLOCATED_BY_CHAT),
            seq: Seq::MAX,
        }
    }

    #[tokio::test(start_paused = true)]
    async fn unanswered_write_is_unknown() {
        let (queue, _kept) = Queue::new(NodeContext::default());
        let answer = queue.write(write(), 10).await;
        assert!(matches!(answer, Err(StoreError::Unknown(_))), "{answer:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn full_queue_is_unavailable_after_a_bounded_wait() {
        let (queue, mut receiver) = Queue::new(NodeContext::default());
        let large = queue.write(write(), usize::MAX);
        let small = queue.write(write(), 1);
        let (large, small) = tokio::join!(biased; large, small);
        assert!(matches!(large, Err(StoreError::Unknown(_))), "{large:?}");
        assert!(
            matches!(small, Err(StoreError::Unavailable(_))),
            "{small:?}"
        );
        // The large one is still in the queue and holds its share until it is taken.
        let again = queue.write(write(), 1).await;
        assert!(
            matches!(again, Err(StoreError::Unavailable(_))),
            "{again:?}"
        );
        drop(receiver.recv().await);
        let free = queue.write(write(), 1).await;
        assert!(matches!(free, Err(StoreError::Unknown(_))), "{free:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn smallest_writes_fill_the_queue_and_find_a_place() {
        let (queue, receiver) = Queue::new(NodeContext::default());
        let writes = (0..QUEUE_WRITES_MAX + 1).map(|_| queue.write(write(), 0));
        let answers = futures_util::future::join_all(writes).await;
        let unknown = answers
            .iter()
            .filter(|a| matches!(a, Err(StoreError::Unknown(_))))
            .count();
        assert_eq!(unknown, QUEUE_WRITES_MAX);
        assert_eq!(receiver.len(), QUEUE_WRITES_MAX);
    }

    #[tokio::test]
    async fn stopped_writer_is_told_apart() {
        let (queue, mut receiver) = Queue::new(NodeContext::default());
        let (answer, ()) = tokio::join!(biased; queue.write(write(), 1), async {
            drop(receiver.recv().await);
            receiver.close();
        });
        assert!(matches!(answer, Err(StoreError::Unknown(_))), "{answer:?}");
        let later = queue.write(write(), 1).await;
        assert!(
            matches!(later, Err(StoreError::Unavailable(_))),
            "{later:?}"
        );
    }
}
