//! Tests of the ring: what it keeps, holds and gives.

use rand::rngs::StdRng;
use rand::seq::SliceRandom as _;
use rand::{RngExt as _, SeedableRng as _};
use shared::clock::{Clock as _, SystemClock, UnixMillis};
use shared::ids::{MemberId, RoomId};
use stomp::Version;

use super::readers::{KEPT_MIN, KEPT_PER_FOLLOWER};
use super::*;
use crate::hub::DestinationView;
use crate::log::{Draft, Kind, Uid};

fn room() -> Topic {
    Topic::Room(RoomId::try_from(1_i64).unwrap())
}

fn inbox() -> Topic {
    Topic::Inbox(MemberId::try_from(1_i64).unwrap())
}

fn at(seq: u32) -> Seq {
    Seq::try_from(u64::from(seq)).unwrap()
}

fn entry_of(seq: u32, kind: Kind, body: Bytes) -> Arc<Entry> {
    let draft = Draft {
        uid: Uid(seq.into()),
        kind,
        sender: None,
        client_message_id: None,
        headers: Vec::new(),
        content_type: None,
        body,
        sent_at: UnixMillis::EPOCH,
    };
    Arc::new(Entry {
        seq: at(seq),
        deleted: false,
        draft,
    })
}

fn entry(seq: u32) -> Arc<Entry> {
    entry_of(seq, Kind::Chat, Bytes::from(format!("text {seq}")))
}

fn entries(seqs: impl IntoIterator<Item = u32>) -> Vec<Arc<Entry>> {
    seqs.into_iter().map(entry).collect()
}

fn now() -> Instant {
    SystemClock.now()
}

/// A ring that has begun at this head.
fn begun(topic: Topic, head: u32) -> Ring {
    let mut ring = Ring::new(topic);
    assert_eq!(ring.begin(at(head), now()), Taken::Nothing);
    ring
}

fn variant(view: DestinationView) -> Arc<FrameVariant> {
    Arc::new(FrameVariant {
        view,
        version: Version::V1_2,
        subscription: Some("s".into()),
        acks: false,
    })
}

/// What a pull of at most `count` entries gives, where the cursor then is, and how it ended.
fn pull(ring: &mut Ring, after: u32, count: usize) -> (Vec<u32>, u32, Pulled) {
    let (mut cursor, mut seqs) = (at(after), Vec::new());
    let pulled = ring.pull(
        &mut cursor,
        &variant(DestinationView::Room),
        |entry, frame| {
            assert!(frame.is_some());
            seqs.push(entry.seq.get());
            if seqs.len() == count {
                ControlFlow::Break(())
            } else {
                ControlFlow::Continue(())
            }
        },
    );
    (seqs, cursor.get(), pulled)
}

/// The bounds hold, and from every cursor comes what is there, or the word to read the store.
fn check(ring: &mut Ring, there: &BTreeSet<u32>) {
    let bytes: usize = ring.kept.iter().map(|kept| size(&kept.entry)).sum();
    assert_eq!(ring.bytes, bytes);
    assert!(ring.kept.len() <= RING_ENTRIES_MAX && ring.held.len() <= RING_ENTRIES_MAX);
    let held_bytes: usize = ring.held.values().map(|entry| size(entry)).sum();
    assert_eq!(ring.held_bytes, held_bytes);
    let Some(head) = ring.head.map(Seq::get) else {
        return;
    };
    let oldest = ring.kept.front().map_or(head + 1, |kept| kept.seq.get());
    let newest = ring.kept.back().map_or(head, |kept| kept.seq.get());
    for cursor in 0..=head {
        let (seqs, end, pulled) = pull(ring, cursor, usize::MAX);
        if cursor + 1 < oldest || (newest..head).contains(&cursor) {
            assert_eq!((seqs.len(), end), (0, cursor), "nothing is skipped");
            assert_eq!(pulled, Pulled::Behind(at(head)));
        } else {
            let expected: Vec<u32> = there.range(cursor + 1..head + 1).copied().collect();
            assert_eq!((seqs, end), (expected, head), "from {cursor} on");
            assert_eq!(pulled, Pulled::UpToDate);
        }
    }
}

/// Entries arrive in any order, some twice, some never; now and then a page is read from the store.
/// In the end everything is visible, and the ring reported every move of the head.
fn play(seed: u64, topic: Topic, begin: u32, gone: f64) {
    println!("seed {seed}");
    let mut random = StdRng::seed_from_u64(seed);
    let last: u32 = random.random_range(begin + 300..begin + 1_500);
    let there: BTreeSet<u32> = (1..=last)
        .filter(|seq| *seq == last || !random.random_bool(gone))
        .collect();
    let mut arriving: Vec<u32> = there.range(begin.max(1)..).copied().collect();
    let lost = random.random_range(0..=arriving.len() / 2);
    let apart = random.random_range(1..400);
    for stretch in arriving.chunks_mut(apart) {
        stretch.shuffle(&mut random);
    }
    for _ in 0..lost {
        let at = random.random_range(0..arriving.len());
        arriving[at] = arriving[random.random_range(0..arriving.len())];
    }
    let mut ring = Ring::new(topic);
    // Forms that others are to read are kept: each is encoded once here.
    let _followers = [ring.join(), ring.join()];
    let begins_after = random.random_range(0..50);
    for (count, part) in arriving.chunks(random.random_range(1..20)).enumerate() {
        if count == begins_after {
            ring.begin(at(begin), now());
        }
        let before = ring.head;
        let taken = ring.take(&entries(part.iter().copied()), now());
        assert_eq!(taken == Taken::Grew, ring.head != before);
        if random.random_bool(0.1) {
            read_page(&mut ring, &there, 100);
            if random.random_bool(0.2) {
                check(&mut ring, &there);
            }
        }
    }
    ring.begin(at(begin), now());
    ring.announce(at(last));
    while ring.missing().is_some() {
        read_page(&mut ring, &there, 100);
    }
    assert_eq!(ring.head, Some(at(last)));
    assert!(ring.held.is_empty(), "nothing waits any more");
    check(&mut ring, &there);
}

/// What the hub does when something is missing.
fn read_page(ring: &mut Ring, there: &BTreeSet<u32>, count: u32) {
    let Some((head, last)) = ring.missing() else {
        return;
    };
    let last = last.get().min(head.get() + count);
    let page = entries(there.range(head.get() + 1..=last).copied());
    assert_eq!(ring.fill(&page, at(last), now()), Taken::Grew);
}

#[test]
fn a_room_is_shown_whole_in_whatever_order_it_arrives() {
    for seed in 0..40 {
        play(seed, room(), if seed % 2 == 0 { 0 } else { 700 }, 0.0);
    }
}

#[test]
fn an_inbox_is_shown_with_the_holes_that_time_left() {
    for seed in 100..140 {
        play(seed, inbox(), if seed % 2 == 0 { 0 } else { 700 }, 0.2);
    }
}

#[test]
fn what_is_further_ahead_is_held_up_to_a_bound_and_then_only_announced() {
    let mut ring = begun(room(), 0);
    assert_eq!(ring.take(&entries(2..=1_000), now()), Taken::Nothing);
    assert_eq!(ring.held.len(), RING_ENTRIES_MAX);
    assert_eq!(ring.missing(), Some((at(0), at(1_000))));
    // The one that was missing shows those that were held; the rest must be read.
    assert_eq!(ring.take(&entries([1]), now()), Taken::Grew);
    assert_eq!(ring.head, Some(at(257)));
    assert_eq!(ring.missing(), Some((at(257), at(1_000))));
    assert_eq!(ring.fill(&entries(258..=769), at(769), now()), Taken::Grew);
    assert_eq!(ring.missing(), Some((at(769), at(1_000))));
    assert_eq!(pull(&mut ring, 513, usize::MAX).0.len(), RING_ENTRIES_MAX);
    assert_eq!(pull(&mut ring, 512, 1).2, Pulled::Behind(at(769)));
}

#[test]
fn what_came_before_the_head_was_known_is_sorted_in() {
    let mut ring = Ring::new(room());
    assert_eq!(ring.take(&entries([12, 9, 11, 10]), now()), Taken::Nothing);
    assert_eq!(pull(&mut ring, 0, usize::MAX).2, Pulled::UpToDate);
    assert_eq!(ring.begin(at(10), now()), Taken::Grew);
    assert_eq!(ring.head, Some(at(12)));
    assert_eq!(pull(&mut ring, 10, 9), (vec![11, 12], 12, Pulled::UpToDate));
}

#[test]
fn a_pull_ends_where_the_receiver_is_full_and_goes_on_there() {
    let mut ring = begun(room(), 5);
    ring.take(&entries(6..=9), now());
    assert_eq!(pull(&mut ring, 5, 2), (vec![6, 7], 7, Pulled::Full));
    assert_eq!(pull(&mut ring, 7, 2), (vec![8, 9], 9, Pulled::UpToDate));
    assert_eq!(pull(&mut ring, 9, 2), (vec![], 9, Pulled::UpToDate));
    // A cursor above the head (a follower of a node that is ahead) waits.
    assert_eq!(pull(&mut ring, 20, 2), (vec![], 20, Pulled::UpToDate));
}

#[test]
fn bytes_are_bounded_too_but_the_newest_stays() {
    let mut ring = begun(room(), 0);
    let large = |seq, kib: usize| entry_of(seq, Kind::Opaque, vec![b'x'; kib << 10].into());
    for seq in 1..=50 {
        ring.take(&[large(seq, 20)], now());
        assert!(ring.bytes <= RING_BYTES_MAX);
    }
    assert_eq!(ring.kept.len(), 12, "of 40.5 KiB each in 512 KiB");
    ring.take(&[large(51, 2_048)], now());
    assert_eq!(pull(&mut ring, 50, 1).0, [51]);
    assert_eq!(ring.kept.len(), 1);
}

#[test]
fn what_is_held_is_bounded_in_bytes_too() {
    let mut ring = begun(room(), 0);
    let large = |seq| entry_of(seq, Kind::Opaque, vec![b'x'; 60 << 10].into());
    for seq in (2..=100).chain(2..=100) {
        ring.take(&[large(seq)], now());
        assert!(ring.held_bytes <= RING_BYTES_MAX);
    }
    assert_eq!(ring.held.len(), 4, "of 120.5 KiB each in 512 KiB");
    assert_eq!(ring.take(&[large(1)], now()), Taken::Grew);
    assert_eq!((ring.head, ring.held_bytes), (Some(at(5)), 0));
    assert_eq!(ring.missing(), Some((at(5), at(100))));
}

#[test]
fn what_never_was_is_not_waited_for() {
    let mut ring = begun(room(), 5);
    assert!(ring.announce(at(9)));
    assert!(!ring.announce(at(9)));
    ring.take(&entries([7, 10]), now());
    assert!(!ring.retract(at(9), at(7)), "more was heard of");
    assert!(ring.retract(at(10), at(7)));
    assert_eq!(ring.missing(), Some((at(5), at(7))));
    // What is given the position later is shown, not what was held.
    ring.take(&entries([6, 8, 9]), now());
    assert_eq!(ring.head, Some(at(9)), "7 was held, and is of this log");
    assert_eq!((ring.held.len(), ring.held_bytes), (0, 0));
}

#[test]
fn headers_count_like_bodies() {
    let mut ring = begun(room(), 0);
    for seq in 1..=1_000 {
        let mut entry = Entry::clone(&entry(seq));
        entry.draft.headers = vec![("name".into(), "x".repeat(2_000).into())];
        ring.take(&[Arc::new(entry)], now());
    }
    assert_eq!(ring.kept.len(), (512 << 10) / (512 + 2 * 2_015));
}

/// Word of it comes before the entry, or while a page is being read in which it still is whole.
#[test]
fn an_entry_may_be_taken_back_before_it_comes() {
    let mut ring = Ring::new(inbox());
    for seq in [1, 3, 4, 6, 7, 8] {
        ring.delete(at(seq));
    }
    ring.begin(at(2), now());
    ring.take(&entries([3, 6]), now());
    // Of an inbox 4 and 7 have expired.
    ring.fill(&entries([5]), at(5), now());
    ring.fill(&[], at(7), now());
    assert_eq!(ring.taken_back, BTreeSet::from([at(8)]));
    ring.take(&entries([8, 9]), now());
    let deleted: Vec<(u32, bool)> = ring
        .kept
        .iter()
        .map(|kept| (kept.seq.get(), kept.entry.deleted))
        .collect();
    let expected = [(3, true), (5, false), (6, true), (8, true), (9, false)];
    assert_eq!(deleted, expected);
    assert!(ring.taken_back.is_empty());
    // Whoever makes things up does not fill the memory.
    (10..10_000).for_each(|seq| ring.delete(at(seq)));
    assert_eq!(ring.taken_back.len(), RING_ENTRIES_MAX);
}

#[test]
fn an_entry_that_is_taken_back_loses_its_body_wherever_it_is() {
    let mut ring = begun(room(), 0);
    ring.take(&entries([1, 2, 4]), now());
    let first = variant(DestinationView::Room);
    let frames = |ring: &mut Ring| {
        let (mut cursor, mut frames) = (Seq::ZERO, Vec::new());
        ring.pull(&mut cursor, &first, |_, frame| {
            frames.push(String::from_utf8_lossy(&frame.unwrap()).into_owned());
            ControlFlow::Continue(())
        });
        frames
    };
    assert!(frames(&mut ring)[1].contains("text 2"));
    for seq in [2, 4, 9] {
        ring.delete(at(seq)); // shown, held, and not there at all
    }
    ring.take(&entries([3]), now());
    for (frame, gone) in frames(&mut ring).iter().zip([false, true, false, true]) {
        assert_eq!(frame.contains("deleted:true"), gone, "{frame}");
        assert_eq!(frame.contains("text"), !gone, "{frame}");
    }
    check(&mut ring, &(1..=4).collect());
}

#[test]
fn many_that_are_taken_back_do_not_make_the_ring_smaller() {
    let mut ring = begun(room(), 0);
    for seq in 1..=2_000 {
        let body = vec![b'x'; 500].into();
        ring.take(&[entry_of(seq, Kind::Chat, body)], now());
        ring.delete(at(seq));
    }
    check(&mut ring, &(1..=2_000).collect());
    assert_eq!(ring.kept.len(), RING_ENTRIES_MAX);
}

#[test]
fn what_is_old_is_forgotten_and_then_in_the_store_only() {
    let mut ring = begun(room(), 0);
    let began = now();
    let age = Duration::from_secs(30);
    ring.take(&entries(1..=3), began);
    ring.take(&entries(4..=5), began + age / 2);
    ring.forget_older(began + age, age);
    assert_eq!(pull(&mut ring, 2, 9).2, Pulled::Behind(at(5)));
    assert_eq!(pull(&mut ring, 3, 9), (vec![4, 5], 5, Pulled::UpToDate));
    ring.forget_older(began + age * 2, age);
    assert_eq!((ring.bytes, ring.head), (0, Some(at(5))));
    assert_eq!(pull(&mut ring, 4, 9).2, Pulled::Behind(at(5)));
    assert_eq!(pull(&mut ring, 5, 9).2, Pulled::UpToDate);
    assert_eq!(ring.take(&entries([6]), began + age * 2), Taken::Grew);
    assert_eq!(pull(&mut ring, 5, 9).0, [6]);
}

#[test]
fn a_lens_passes_over_what_it_does_not_show() {
    let mut ring = begun(inbox(), 0);
    for (seq, kind) in [(1, Kind::Notice), (2, Kind::Alarm), (3, Kind::Notice)] {
        ring.take(&[entry_of(seq, kind, Bytes::from_static(b"{}"))], now());
    }
    let (mut cursor, mut shown) = (Seq::ZERO, Vec::new());
    let pulled = ring.pull(
        &mut cursor,
        &variant(DestinationView::Alarms),
        |_, frame| {
            shown.push(frame.is_some());
            ControlFlow::Continue(())
        },
    );
    assert_eq!((cursor, pulled), (at(3), Pulled::UpToDate));
    assert_eq!(shown, [false, true, false]);
}

#[test]
fn subscriptions_of_one_form_share_the_bytes() {
    let mut ring = begun(room(), 0);
    let followers = [ring.join(), ring.join()];
    ring.take(&entries([1]), now());
    let mut places = Vec::new();
    for _ in followers {
        ring.pull(
            &mut Seq::ZERO.clone(),
            &variant(DestinationView::Room),
            |_, frame| {
                places.push(frame.unwrap().as_ptr());
                ControlFlow::Continue(())
            },
        );
    }
    assert_eq!(places[0], places[1]);
}

/// Frames and tails that are kept.
fn encoded(ring: &Ring) -> usize {
    let count = |kept: &Kept| kept.encoded.count();
    ring.kept.iter().map(count).sum()
}

/// Reads everything after this position, as a follower does.
fn read(ring: &mut Ring, after: u32) {
    let (_, end, pulled) = pull(ring, after, usize::MAX);
    assert_eq!(pulled, Pulled::UpToDate);
    ring.note_moved(at(after), at(end));
}

#[test]
fn encoded_forms_go_once_all_followers_have_read_the_entry() {
    let mut ring = begun(room(), 0);
    for _ in 0..3 {
        ring.join();
    }
    ring.take(&entries(1..=5), now());
    read(&mut ring, 0);
    read(&mut ring, 0);
    assert_eq!(encoded(&ring), 5 * 2, "a tail and a frame each");
    read(&mut ring, 0);
    assert_eq!(encoded(&ring), 0);
    // One that comes back reads again what is there.
    ring.note_moved(at(5), at(2));
    assert_eq!(pull(&mut ring, 2, 9).0, [3, 4, 5]);
    assert_eq!(encoded(&ring), 0, "nobody else is to read it");
}

#[test]
fn form_with_one_reader_is_not_kept() {
    let mut ring = begun(room(), 0);
    ring.join();
    ring.take(&entries(1..=5), now());
    assert_eq!(pull(&mut ring, 0, 9).0, [1, 2, 3, 4, 5]);
    assert_eq!(encoded(&ring), 0);
}

#[test]
fn ring_shrinks_when_nobody_is_behind_and_not_before() {
    let mut ring = begun(room(), 0);
    for _ in 0..2 {
        ring.join();
    }
    ring.take(&entries(1..=200), now());
    read(&mut ring, 0);
    assert_eq!(ring.size().entries, 200, "the other one is behind");
    read(&mut ring, 0);
    assert_eq!(ring.size().entries, KEPT_MIN);
    assert!(ring.kept.capacity() <= 4 * KEPT_MIN);
    check(&mut ring, &(1..=200).collect());

    // Of many followers those who reconnect are many.
    for _ in 2..20 {
        ring.join();
    }
    ring.take(&entries(201..=400), now());
    (0..20).for_each(|_| read(&mut ring, 200));
    assert_eq!(ring.size().entries, 20 * KEPT_PER_FOLLOWER);
    for _ in 20..1_000 {
        ring.join();
    }
    ring.take(&entries(401..=900), now());
    ring.note_moved(at(400), at(900));
    assert_eq!(ring.size().entries, RING_ENTRIES_MAX);
}

#[test]
fn follower_that_leaves_holds_nothing_back() {
    let mut ring = begun(room(), 0);
    for _ in 0..2 {
        ring.join();
    }
    ring.take(&entries(1..=100), now());
    read(&mut ring, 0);
    assert_eq!((ring.size().entries, encoded(&ring)), (100, 200));
    ring.note_moved(at(0), at(50));
    ring.leave(at(50));
    assert_eq!((ring.size().entries, encoded(&ring)), (KEPT_MIN, 0));
    ring.leave(at(100));
    ring.leave(at(100));
    check(&mut ring, &(1..=100).collect());
}
