//! What of the appender shows from within, or in virtual time: its queues and their end, deadlines,
//! what becomes of appends that were given up. How it settles faults of the store is in
//! `tests/stores/append.rs`.

mod deadlines;
mod order;
mod parts;
mod queues;
mod room_heads;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use shared::clock::{Clock, SystemClock, UnixMillis};
use shared::drain::Drain;
use shared::ids::{MemberId, RoomId, Seq};
use tempfile::TempDir;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{interval, timeout};

use super::{Appender, AppenderParts, Origin, Outcome, Placed, RoomHeads, RoomHeadsParts};
use crate::bus::local::{LocalBus, LocalNode};
use crate::bus::{Bus, BusEvent};
use crate::log::{Draft, Entry, Kind, Topic, Uid};
use crate::metrics::Metrics;
use crate::store::embedded::EmbeddedStore;
use crate::store::faulty::{Fault, FaultyStore, Operation};
use crate::store::{MessageStore, ReadConsistency, RoomStore, SyncMode};
use crate::wakers::Wakers;

/// No step takes this long; what does has failed.
const PATIENCE: Duration = Duration::from_secs(20);

/// What happened after the store's answers, in the order it happened.
type Events = Arc<Mutex<Vec<String>>>;

/// A node's appender on a real store, with a bus that has a listener.
struct Fixture {
    appender: Arc<Appender>,
    store: Arc<EmbeddedStore>,
    faulty: Arc<FaultyStore>,
    events: Events,
    heard: mpsc::Receiver<BusEvent>,
    _listener: LocalNode,
    _folder: TempDir,
}

impl Fixture {
    async fn new() -> Self {
        Self::by(Arc::new(SystemClock)).await
    }

    async fn by(clock: Arc<dyn Clock>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        // The system's page cache is enough here: nothing is killed.
        let sync = SyncMode::Every(Duration::from_secs(3_600));
        let store = Arc::new(EmbeddedStore::open(folder.path(), sync).unwrap());
        let faulty = Arc::new(FaultyStore::new(Arc::clone(&store)));
        let events = Events::default();
        let bus = LocalBus::new();
        let (listener, heard) = bus.attach(1_024);
        listener.subscribe(room(1)).await.unwrap();
        let shown = Arc::clone(&events);
        let (drain, metrics) = (Drain::new(), Arc::new(Metrics::new()));
        let heads = RoomHeads::new(RoomHeadsParts {
            rooms: Arc::clone(&faulty) as Arc<dyn RoomStore>,
            messages: Arc::clone(&faulty) as Arc<dyn MessageStore>,
            drain: drain.clone(),
            metrics: Arc::clone(&metrics),
        });
        let appender = Appender::new(AppenderParts {
            store: Arc::clone(&faulty) as Arc<dyn MessageStore>,
            heads,
            bus: Arc::new(bus.attach(1).0),
            clock,
            drain,
            metrics,
            placed: Box::new(|_, _, _| {}),
            stored: Box::new(move |_, entries, _| {
                let seqs = seqs(entries);
                shown.lock().unwrap().push(format!("shown {seqs:?}"));
            }),
        });
        Self {
            appender: Arc::new(appender),
            store,
            faulty,
            events,
            heard,
            _listener: listener,
            _folder: folder,
        }
    }

    fn submit(&self, drafts: Vec<Draft>) -> oneshot::Receiver<Outcome> {
        self.submit_from(None, drafts)
    }

    fn submit_from(
        &self,
        origin: Option<&Origin>,
        drafts: Vec<Draft>,
    ) -> oneshot::Receiver<Outcome> {
        let (tell, outcome) = oneshot::channel();
        let events = Arc::clone(&self.events);
        let first = drafts.first().unwrap();
        let name = first.client_message_id.as_deref();
        let now = SystemClock.now();
        let turn = origin.map(|origin| origin.take_turn(room(1), name, &first.body, now));
        let in_turn = turn.clone();
        let done = move |outcome: Outcome, _: &mut Wakers| {
            match (&outcome, in_turn) {
                (Err(_), Some(turn)) => turn.refuse(SystemClock.now()),
                (Ok(_), Some(turn)) => turn.settle(),
                (_, None) => {}
            }
            events.lock().unwrap().push(match &outcome {
                Ok(seqs) => {
                    let seqs: Vec<u32> = seqs.iter().map(|placed| placed.seq.get()).collect();
                    format!("receipt {seqs:?}")
                }
                Err(error) => format!("{error:?}"),
            });
            drop(tell.send(outcome));
        };
        self.appender.submit(room(1), turn, drafts, Box::new(done));
        outcome
    }

    async fn send(&self, text: &str, name: Option<&str>) -> Outcome {
        self.submit(vec![draft(text, name)]).await.unwrap()
    }

    fn events(&self) -> Vec<String> {
        self.events.lock().unwrap().clone()
    }

    /// The positions that the other nodes have received so far.
    fn heard(&mut self) -> Vec<Vec<u32>> {
        let mut all = Vec::new();
        while let Ok(BusEvent::Entries(_, entries)) = self.heard.try_recv() {
            all.push(seqs(&entries));
        }
        all
    }
}

/// Polls until the condition holds. With virtual time a poll takes no time.
async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let mut look = interval(Duration::from_millis(1));
    let looking = async {
        while !holds() {
            look.tick().await;
        }
    };
    let held = timeout(PATIENCE, looking).await;
    held.unwrap_or_else(|_| panic!("in vain: {what}"));
}

fn room(id: u64) -> Topic {
    Topic::Room(RoomId::try_from(id).unwrap())
}

fn draft(text: &str, name: Option<&str>) -> Draft {
    Draft {
        uid: Uid(rand::random()),
        kind: Kind::Chat,
        sender: Some(MemberId::try_from(1_u64).unwrap()),
        client_message_id: name.map(Into::into),
        headers: Vec::new(),
        content_type: None,
        body: Bytes::from(text.to_owned()),
        sent_at: UnixMillis::EPOCH,
    }
}

fn seq(seq: u32) -> Seq {
    Seq::try_from(u64::from(seq)).unwrap()
}

/// Stored by this send.
fn at(first: u32) -> Outcome {
    let seq = seq(first);
    Ok(vec![Placed { seq, is_new: true }])
}

/// Stored before.
fn again_at(first: u32) -> Outcome {
    let seq = seq(first);
    Ok(vec![Placed { seq, is_new: false }])
}

fn seqs(entries: &[Arc<Entry>]) -> Vec<u32> {
    entries.iter().map(|entry| entry.seq.get()).collect()
}
