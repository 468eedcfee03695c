//! The codes and tokens that were given out.

use std::collections::VecDeque;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use shared::clock::UnixMillis;

use super::Kind;

/// Codes and tokens that are remembered, the newest.
const REMEMBERED_MAX: usize = 1_024;

/// How long a code works.
const CODE_TIME: Duration = Duration::from_secs(60);

/// What a code stands for.
#[derive(Clone, Debug)]
pub(super) struct Ticket {
    pub(super) kind: Kind,
    pub(super) person: u64,
    pub(super) challenge: String,
    pub(super) nonce: String,
}

impl Ticket {
    /// Whether this verifier belongs to the challenge (RFC 7636, 4.6).
    pub(super) fn is_met_by(&self, verifier: &str) -> bool {
        let algorithm = &aws_lc_rs::digest::SHA256;
        let digest = aws_lc_rs::digest::digest(algorithm, verifier.as_bytes());
        URL_SAFE_NO_PAD.encode(digest) == self.challenge
    }
}

#[derive(Debug, Default)]
pub(super) struct Books {
    codes: VecDeque<(String, Ticket, UnixMillis)>,
    tokens: VecDeque<(String, Kind, u64)>,
}

impl Books {
    pub(super) fn give_code(&mut self, ticket: Ticket, now: UnixMillis) -> String {
        let code = random();
        let until = now.saturating_add(CODE_TIME);
        push(&mut self.codes, (code.clone(), ticket, until));
        code
    }

    /// A code works once.
    pub(super) fn take_code(&mut self, code: &str, now: UnixMillis) -> Option<Ticket> {
        let place = self.codes.iter().position(|(known, ..)| known == code)?;
        let (_, ticket, until) = self.codes.remove(place)?;
        (now < until).then_some(ticket)
    }

    pub(super) fn give_token(&mut self, kind: Kind, person: u64) -> String {
        let token = random();
        push(&mut self.tokens, (token.clone(), kind, person));
        token
    }

    pub(super) fn whose_token(&self, kind: Kind, token: &str) -> Option<u64> {
        let mut known = self.tokens.iter();
        let found = known.find(|(known, of, _)| known == token && *of == kind)?;
        Some(found.2)
    }
}

fn push<T>(queue: &mut VecDeque<T>, item: T) {
    if queue.len() == REMEMBERED_MAX {
        queue.pop_front();
    }
    queue.push_back(item);
}

fn random() -> String {
    URL_SAFE_NO_PAD.encode(rand::random::<[u8; 24]>())
}
