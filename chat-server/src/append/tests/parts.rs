//! Sends that reach over the end of a part of the log.

use super::*;

/// Parts of eight positions, and a log that has so many entries already.
async fn with_head(head: u32) -> Fixture {
    let fixture = Fixture::new().await;
    fixture.faulty.divide_logs(8);
    for nth in 1..=head {
        assert_eq!(fixture.send(&nth.to_string(), None).await, at(nth));
    }
    fixture.events.lock().unwrap().clear();
    fixture
}

fn drafts(count: usize) -> Vec<Draft> {
    (0..count)
        .map(|nth| draft(&format!("part {nth}"), None))
        .collect()
}

fn all(seqs: std::ops::RangeInclusive<u32>) -> Outcome {
    let placed = seqs.map(|at| Placed {
        seq: seq(at),
        is_new: true,
    });
    Ok(placed.collect())
}

#[tokio::test]
async fn receipt_follows_the_last_piece() {
    let fixture = with_head(5).await;
    let outcome = fixture.submit(drafts(12)).await.unwrap();
    assert_eq!(outcome, all(6..=17));
    let events = || fixture.events();
    until("the last piece is shown", || events().len() == 4).await;
    let expected = [
        "shown [6, 7]",
        "shown [8, 9, 10, 11, 12, 13, 14, 15]",
        "receipt [6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17]",
        "shown [16, 17]",
    ];
    assert_eq!(fixture.events(), expected);
}

#[tokio::test]
async fn whole_sends_before_the_end_are_told_at_once() {
    let mut fixture = with_head(5).await;
    // The first append is under way while the others gather.
    let first = fixture.submit(drafts(1));
    let (second, third) = (fixture.submit(drafts(1)), fixture.submit(drafts(2)));
    assert_eq!(first.await.unwrap(), all(6..=6));
    assert_eq!(second.await.unwrap(), all(7..=7));
    assert_eq!(third.await.unwrap(), all(8..=9));
    let stored = fixture
        .store
        .read(room(1), seq(1), seq(9), ReadConsistency::Quorum)
        .await;
    assert_eq!(seqs(&stored.unwrap()), (1..=9).collect::<Vec<_>>());
    until("others heard", || fixture.events().len() >= 5).await;
    assert_eq!(fixture.heard().concat(), (1..=9).collect::<Vec<_>>());
}

#[tokio::test]
async fn unknown_outcomes_at_the_end_of_a_part_settle_once() {
    let fixture = with_head(5).await;
    // Both pieces are stored although their answers are lost.
    fixture
        .faulty
        .script(Operation::Append, [Fault::ApplyThenHang; 2]);
    let outcome = fixture.submit(drafts(6)).await.unwrap();
    assert_eq!(outcome, all(6..=11));
    let head = fixture
        .store
        .head(room(1), ReadConsistency::Serial)
        .await
        .unwrap();
    assert_eq!(head, seq(11));
}
