//! Chance from a seed and names alone: the n-th call for an order has the same faults in every run, whatever
//! the order of calls.

use aws_lc_rs::digest::{SHA256, digest};

/// A number of these names.
pub(crate) fn draw(seed: u64, names: &[&str], count: u64) -> u64 {
    let mut text = seed.to_le_bytes().to_vec();
    for name in names {
        text.extend_from_slice(name.as_bytes());
        text.push(0);
    }
    text.extend_from_slice(&count.to_le_bytes());
    let hash = digest(&SHA256, &text);
    let start = hash.as_ref().iter().take(8);
    start.fold(0, |number, byte| (number << 8) | u64::from(*byte))
}

/// Which of these outcomes a number means, each with its share per mille; `None` for the rest.
pub(crate) fn choose<T: Copy>(number: u64, shares: &[(u16, T)]) -> Option<T> {
    let place = number % 1_000;
    let mut end = 0;
    for (share, outcome) in shares {
        end += u64::from(*share);
        if place < end {
            return Some(*outcome);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_per_mille() {
        let shares = [(250, 'a'), (0, 'b'), (100, 'c')];
        let count = |outcome| {
            let chosen = (0..1_000).map(|number| choose(number, &shares));
            chosen.filter(|one| *one == outcome).count()
        };
        let counts = [Some('a'), Some('b'), Some('c'), None].map(count);
        assert_eq!(counts, [250, 0, 100, 650]);
    }

    #[test]
    fn every_part_of_a_name_counts() {
        let first = draw(1, &["confirm", "order-1"], 0);
        assert_eq!(draw(1, &["confirm", "order-1"], 0), first);
        for other in [
            draw(2, &["confirm", "order-1"], 0),
            draw(1, &["cancel", "order-1"], 0),
            draw(1, &["confirmo", "rder-1"], 0),
            draw(1, &["confirm", "order-1"], 1),
        ] {
            assert_ne!(other, first);
        }
    }
}
