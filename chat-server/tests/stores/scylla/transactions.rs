//! Sends that reach over the end of a bucket, through the appender.

use std::sync::Arc;

use bytes::Bytes;
use chat_server::append::{Appender, AppenderParts, Placed, RoomHeads, RoomHeadsParts};
use chat_server::bus::local::LocalBus;
use chat_server::log::{Draft, Kind, Uid};
use chat_server::metrics::Metrics;
use chat_server::store::{MessageStore, RoomStore};
use shared::clock::{Clock as _, SystemClock};
use shared::drain::Drain;

use super::{connect, fill, head, read, settings};
use crate::contract::make::{fresh_topic, member, seq};

pub(super) fn draft(text: String) -> Draft {
    Draft {
        uid: Uid(rand::random()),
        kind: Kind::Chat,
        sender: Some(member(1)),
        client_message_id: Some(text.as_str().into()),
        headers: Vec::new(),
        content_type: None,
        body: Bytes::from(text),
        sent_at: SystemClock.unix_millis(),
    }
}

#[tokio::test]
async fn send_over_a_border_has_one_receipt_for_all_of_it() {
    let store = connect(&settings()).await;
    let topic = fresh_topic();
    fill(&store, topic, 4_090).await;
    let (drain, metrics) = (Drain::new(), Arc::new(Metrics::new()));
    let heads = RoomHeads::new(RoomHeadsParts {
        rooms: Arc::clone(&store) as Arc<dyn RoomStore>,
        messages: Arc::clone(&store) as Arc<dyn MessageStore>,
        drain: drain.clone(),
        metrics: Arc::clone(&metrics),
    });
    let appender = Appender::new(AppenderParts {
        store: Arc::clone(&store) as Arc<dyn MessageStore>,
        heads,
        bus: Arc::new(LocalBus::new().attach(64).0),
        clock: Arc::new(SystemClock),
        drain,
        metrics,
        placed: Box::new(|_, _, _| {}),
        stored: Box::new(|_, _, _| {}),
    });
    let drafts: Vec<Draft> = (0..12).map(|nth| draft(format!("part {nth}"))).collect();
    let assigned = appender.send(topic, drafts.clone()).await.unwrap();
    let expected = |is_new| -> Vec<_> {
        let seqs = (4_091..=4_102).map(seq);
        seqs.map(|seq| Placed { seq, is_new }).collect()
    };
    assert_eq!(assigned, expected(true));
    // Sent again under the same names, it is the same.
    assert_eq!(
        appender.send(topic, drafts.clone()).await.unwrap(),
        expected(false)
    );
    assert_eq!(head(&store, topic).await, 4_102);
    let stored = read(&store, topic, 4_091, 4_102).await;
    let stored: Vec<_> = stored.iter().map(|entry| entry.draft.clone()).collect();
    assert_eq!(stored, drafts);
}
