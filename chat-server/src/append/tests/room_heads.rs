//! What lists show of a room follows its log, whatever happened to the note of it.

use tokio::time::sleep;

use super::*;

/// Waits until the record of room 1 is at this position.
async fn noted(fixture: &Fixture, at: u32) -> String {
    let room = RoomId::try_from(1_u64).unwrap();
    let looking = async {
        loop {
            let found = fixture.faulty.noted(room);
            match found.filter(|head| head.seq == seq(at)) {
                Some(head) => return head.text,
                None => sleep(Duration::from_millis(5)).await,
            }
        }
    };
    let noted = timeout(PATIENCE, looking).await;
    noted.unwrap_or_else(|_| panic!("the record does not come to {at}"))
}

#[tokio::test]
async fn an_append_found_by_reading_on_is_noted() {
    let fixture = Fixture::new().await;
    fixture
        .faulty
        .script(Operation::Append, [Fault::ApplyThenHang]);
    assert_eq!(fixture.send("hello", None).await, at(1));
    assert_eq!(noted(&fixture, 1).await, "hello");
}

#[tokio::test]
async fn a_failed_note_is_repeated_and_only_the_newest_is_written() {
    let fixture = Fixture::new().await;
    fixture.faulty.set(&[Operation::NoteHead], Fault::Fail);
    for nth in 1..=50 {
        assert_eq!(fixture.send(&nth.to_string(), None).await, at(nth));
    }
    fixture.faulty.heal();
    assert_eq!(noted(&fixture, 50).await, "50");
    assert_eq!(fixture.faulty.carried_out(Operation::NoteHead), 1);
}

/// The node that stored it ended before it noted it; the sender asks again at this one.
#[tokio::test]
async fn a_send_that_is_repeated_is_noted() {
    let fixture = Fixture::new().await;
    let mut entries = Vec::new();
    for (at, name) in [(1, "a"), (2, "b")] {
        let (seq, draft) = (seq(at), draft(name, Some(name)));
        entries.push(Arc::new(Entry {
            seq,
            deleted: false,
            draft,
        }));
    }
    let append = fixture.store.append(room(1), Seq::ZERO, entries);
    append.await.unwrap();
    assert_eq!(fixture.send("a", Some("a")).await, again_at(1));
    assert_eq!(
        noted(&fixture, 2).await,
        "b",
        "the newest, not the repeated"
    );
}
