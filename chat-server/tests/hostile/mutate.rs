//! Damage to a stream of bytes, by chance.

use std::ops::Range;

use rand::RngExt as _;
use rand::rngs::StdRng;

/// How often a stream is damaged at most; more and nothing of a session is left.
const TIMES_MAX: usize = 3;

/// Bytes that one damage deletes or doubles at most, for the same reason.
const PART_MAX: usize = 80;

/// Bytes that mean something to one of the protocols.
const TELLING: [&[u8]; 12] = [
    b"\0",
    b"\n",
    b"\r\n",
    b":",
    b"\\",
    b"\n\n",
    b"\0\0\0",
    b"\x81\xfe\xff\xff",
    b"\x88\x80\0\0\0\0",
    b"\xff",
    b"content-length:99999999999999999999\n",
    b"receipt:x\n",
];

/// Damages the bytes once or a few times; `other` is what a splice takes from.
pub(crate) fn mutate(rng: &mut StdRng, mut bytes: Vec<u8>, other: &[u8]) -> Vec<u8> {
    for _ in 0..rng.random_range(1..=TIMES_MAX) {
        mutate_once(rng, &mut bytes, other);
    }
    bytes
}

fn mutate_once(rng: &mut StdRng, bytes: &mut Vec<u8>, other: &[u8]) {
    match rng.random_range(0..7) {
        0 => {
            for _ in 0..rng.random_range(1..=8) {
                let at = rng.random_range(0..bytes.len().max(1));
                let bit = 1 << rng.random_range(0..8);
                bytes
                    .iter_mut()
                    .skip(at)
                    .take(1)
                    .for_each(|byte| *byte ^= bit);
            }
        }
        1 => bytes.truncate(rng.random_range(0..=bytes.len())),
        2 => drop(bytes.drain(part(rng, bytes.len()))),
        3 => {
            let copy = bytes[part(rng, bytes.len())].to_vec();
            insert(rng, bytes, &copy);
        }
        4 => {
            let noise = noise(rng, 64);
            insert(rng, bytes, &noise);
        }
        5 => {
            let telling = TELLING[rng.random_range(0..TELLING.len())];
            insert(rng, bytes, telling);
        }
        _ => {
            bytes.truncate(rng.random_range(0..=bytes.len()));
            bytes.extend(&other[rng.random_range(0..=other.len())..]);
        }
    }
}

/// Bytes without any meaning.
pub(crate) fn noise(rng: &mut StdRng, max: usize) -> Vec<u8> {
    let length = rng.random_range(0..=max);
    (0..length).map(|_| rng.random()).collect()
}

fn insert(rng: &mut StdRng, bytes: &mut Vec<u8>, new: &[u8]) {
    let at = rng.random_range(0..=bytes.len());
    drop(bytes.splice(at..at, new.iter().copied()));
}

fn part(rng: &mut StdRng, length: usize) -> Range<usize> {
    let start = rng.random_range(0..=length);
    start..rng.random_range(start..=length.min(start + PART_MAX))
}
