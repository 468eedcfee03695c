//! Search for the newest bucket of a log.
//!
//! Buckets exist from 0 on without a gap, and all but the newest are full. So a bucket that is not
//! full is the newest, which takes one read where the guess is right. It reads nothing itself.

use shared::ids::Seq;

/// Positions of a bucket: a partition of the tables. At 1 KiB an entry 4 MiB, far below where
/// partitions get slow, and a page touches two of them at most.
pub(super) const BUCKET_ENTRIES: u32 = 4_096;

/// Buckets of a log that is full.
const BUCKETS: u32 = Seq::MAX.get() / BUCKET_ENTRIES + 1;

/// The bucket of a position.
pub(super) fn bucket_of(seq: Seq) -> u32 {
    seq.get() / BUCKET_ENTRIES
}

/// The last position of a bucket.
pub(super) fn last_of(bucket: u32) -> Seq {
    let next = (u64::from(bucket) + 1) * u64::from(BUCKET_ENTRIES);
    Seq::try_from(next - 1).expect("a log has 1,024 buckets")
}

/// A search for the newest bucket: names the bucket to read next, and takes its head.
///
/// Doubling steps away from the guess, then halving: at most about twenty reads.
#[derive(Clone, Copy, Debug)]
pub(super) struct Search {
    /// The bucket to read next.
    pub(super) at: u32,
    step: u32,
    full: Option<(u32, Seq)>,
    missing: Option<u32>,
}

impl Search {
    /// Begins at a guess.
    pub(super) fn from(guess: u32) -> Self {
        Self {
            at: guess.min(BUCKETS - 1),
            step: 1,
            full: None,
            missing: None,
        }
    }

    /// At [`Search::at`] a bucket with this head is, or none. The log's head, if that is known now.
    pub(super) fn take(&mut self, found: Option<Seq>) -> Option<Seq> {
        match found {
            Some(head) if head < last_of(self.at) => return Some(head),
            Some(head) => self.full = Some((self.at, head)),
            None => self.missing = Some(self.at),
        }
        self.at = match (self.full, self.missing) {
            (Some((below, head)), None) if below == BUCKETS - 1 => return Some(head),
            (Some((below, _)), None) => below.saturating_add(self.step).min(BUCKETS - 1),
            (None, Some(0)) => return Some(Seq::ZERO),
            (None, Some(above)) => above.saturating_sub(self.step),
            (Some((below, head)), Some(above)) if above <= below + 1 => return Some(head),
            (Some((below, _)), Some(above)) => below.midpoint(above),
            (None, None) => self.at, // cannot be: one of them was just set
        };
        self.step = self.step.saturating_mul(2);
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seq(number: u32) -> Seq {
        Seq::try_from(u64::from(number)).unwrap()
    }

    /// A log that ends at `head`, searched from `guess`: the number of reads.
    #[track_caller]
    fn check(head: u32, guess: u32) -> usize {
        let mut search = Search::from(guess);
        for checks in 1..100 {
            let exists = head > 0 && search.at * BUCKET_ENTRIES <= head;
            let found = exists.then(|| seq(head).min(last_of(search.at)));
            if let Some(found) = search.take(found) {
                assert_eq!(found, seq(head), "from {guess}");
                return checks;
            }
        }
        panic!("{head} is not found from {guess}");
    }

    #[test]
    fn every_end_is_found_from_every_guess() {
        let ends = [
            0, 1, 4_094, 4_095, 4_096, 4_097, 8_190, 8_191, 8_192, 100_000,
        ];
        let far = [4_000_000, Seq::MAX.get() - 1, Seq::MAX.get()];
        for head in ends.into_iter().chain(far) {
            for guess in [0, 1, 2, 3, 23, 24, 25, 500, 1_022, 1_023, 5_000] {
                let checks = check(head, guess);
                assert!(checks <= 22, "{checks} checks for {head} from {guess}");
            }
        }
    }

    #[test]
    fn right_guess_takes_one_look() {
        for head in [1, 4_094, 4_096, 8_190, 100_000] {
            assert_eq!(check(head, head / BUCKET_ENTRIES), 1);
        }
    }

    #[test]
    fn buckets_cover_all_positions() {
        assert_eq!(BUCKETS, 1_024);
        assert_eq!(last_of(0), seq(4_095));
        assert_eq!(last_of(1), seq(8_191));
        assert_eq!(last_of(BUCKETS - 1), Seq::MAX);
        assert_eq!([4_095, 4_096].map(|at| bucket_of(seq(at))), [0, 1]);
    }
}
