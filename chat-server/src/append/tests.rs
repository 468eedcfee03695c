//! What of the appender only shows from within: its queues, their bounds and their end. How it
//! settles faults of the store is in `tests/append.rs`.

mod queues;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use shared::clock::{Clock, ManualClock, UnixMillis};
use shared::drain::Drain;
use shared::ids::{MemberId, RoomId, Seq};
use tempfile::TempDir;
use tokio::sync::mpsc;

use super::{Appender, AppenderParts, Outcome};
use crate::bus::local::{LocalBus, LocalNode};
use crate::bus::{Bus, BusEvent};
use crate::log::{Draft, Entry, Kind, Topic, Uid};
use crate::metrics::Metrics;
use crate::store::embedded::EmbeddedStore;
use crate::store::{MessageStore, RoomStore, SyncMode};

/// No step takes this long; what does has failed.
const PATIENCE: Duration = Duration::from_secs(20);

/// An appender on a real store, by a clock that stands still.
struct Fixture {
    appender: Arc<Appender>,
    clock: Arc<ManualClock>,
    store: Arc<EmbeddedStore>,
    told: Told,
    _folder: TempDir,
}

/// What happened after the store's answer, in the order it happened.
type Told = Arc<Mutex<Vec<String>>>;

impl Fixture {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        // The system's page cache is enough here: nothing is killed.
        let sync = SyncMode::Every(Duration::from_secs(3_600));
        let store = Arc::new(EmbeddedStore::open(folder.path(), sync).unwrap());
        let clock = Arc::new(ManualClock::new(UnixMillis::EPOCH));
        let told = Told::default();
        let appender = appender(&store, &clock, &told, LocalBus::new().attach(1).0);
        Self {
            appender: Arc::new(appender),
            clock,
            store,
            told,
            _folder: folder,
        }
    }

    /// A second node on the same store.
    fn other(&self) -> Arc<Appender> {
        let bus = LocalBus::new().attach(1).0;
        Arc::new(appender(&self.store, &self.clock, &Told::default(), bus))
    }

    async fn send(&self, text: &str, name: Option<&str>) -> Outcome {
        self.appender.send(room(1), vec![draft(text, name)]).await
    }
}

fn appender(
    store: &Arc<EmbeddedStore>,
    clock: &Arc<ManualClock>,
    told: &Told,
    bus: LocalNode,
) -> Appender {
    let shown = Arc::clone(told);
    Appender::new(AppenderParts {
        store: Arc::clone(store) as Arc<dyn MessageStore>,
        rooms: Arc::clone(store) as Arc<dyn RoomStore>,
        bus: Arc::new(bus) as Arc<dyn Bus>,
        clock: Arc::clone(clock) as Arc<dyn Clock>,
        drain: Drain::new(),
        metrics: Arc::new(Metrics::new()),
        stored: Box::new(move |_, entries| {
            let seqs = seqs(entries);
            shown.lock().unwrap().push(format!("shown {seqs:?}"));
        }),
    })
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

fn at(seq: u64) -> Outcome {
    Ok(vec![Seq::try_from(seq).unwrap()])
}

fn seqs(entries: &[Arc<Entry>]) -> Vec<u32> {
    entries.iter().map(|entry| entry.seq.get()).collect()
}
