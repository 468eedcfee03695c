//! Replays the committed seeds of the fuzz targets (`fuzz/`), which themselves need a nightly
//! compiler and stay out of the workspace.

use std::path::{Path, PathBuf};
use std::time::Instant;

#[path = "../fuzz/bodies/decode.rs"]
mod decode_body;
#[path = "../fuzz/bodies/session.rs"]
mod session_body;

/// Seeds show each branch once; what fuzzing finds beyond that stays in its own corpus.
const SEEDS_MAX: usize = 40;
const SEED_BYTES_MAX: usize = 4 << 10;

#[test]
fn the_decoder_withstands_its_seeds() {
    for (path, seed) in seeds("decode") {
        println!("{}", path.display());
        decode_body::decode(&seed);
    }
}

#[test]
fn the_session_withstands_its_seeds() {
    for (path, seed) in seeds("session") {
        println!("{}", path.display());
        session_body::session(&seed, epoch());
    }
}

/// Every seed with each of the choices its first byte may make.
#[test]
fn seeds_hold_under_every_choice() {
    for (path, mut seed) in seeds("decode") {
        for choice in 0..=u8::MAX {
            println!("{} with {choice}", path.display());
            *seed.first_mut().expect("a seed begins with its choice") = choice;
            decode_body::decode(&seed);
        }
    }
    let epoch = epoch();
    for (path, mut seed) in seeds("session") {
        for choice in 0..64 {
            println!("{} with {choice}", path.display());
            *seed.first_mut().expect("a seed begins with its choice") = choice;
            session_body::session(&seed, epoch);
        }
    }
}

fn seeds(target: &str) -> Vec<(PathBuf, Vec<u8>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("fuzz/seeds")
        .join(target);
    let entries = std::fs::read_dir(&folder).expect("the seeds are committed");
    let mut paths: Vec<_> = entries
        .map(|entry| entry.expect("the folder can be listed").path())
        .collect();
    paths.sort();
    assert!(
        (1..=SEEDS_MAX).contains(&paths.len()),
        "{target}: {} seeds",
        paths.len()
    );
    let read = |path: PathBuf| {
        let seed = std::fs::read(&path).expect("a seed can be read");
        assert!(
            seed.len() <= SEED_BYTES_MAX,
            "{} is too long",
            path.display()
        );
        (path, seed)
    };
    paths.into_iter().map(read).collect()
}

#[expect(
    clippy::disallowed_methods,
    reason = "a session counts from an instant, and any will do"
)]
fn epoch() -> Instant {
    Instant::now()
}
