//! Idempotency keys: the first answer of each is replayed for 15 days, errors too.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use shared::clock::UnixMillis;

use super::codes::Answer;

/// The longest key.
pub(super) const KEY_CHARS_MAX: usize = 300;

/// How long a key is remembered.
const KEY_TIME: Duration = Duration::from_secs(15 * 24 * 3_600);

/// Keys at most; a further one replaces the oldest. A test of 10,000 charges with refunds has fewer.
const KEYS_MAX: usize = 262_144;

/// The keys by their scope: key, method and URL. The body does not belong to it.
#[derive(Debug, Default)]
pub(super) struct Keys {
    answers: HashMap<String, Option<Answer>>,
    ages: VecDeque<(UnixMillis, String)>,
}

/// What a key means for a request.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Begun {
    /// It is new: process the request, then [`Keys::finish`].
    New,
    /// The first request is being processed.
    Running,
    /// The first request's answer.
    Replay(Answer),
}

impl Keys {
    pub(super) fn begin(&mut self, scope: &str, now: UnixMillis) -> Begun {
        self.forget(now);
        match self.answers.get(scope) {
            Some(Some(answer)) => Begun::Replay(answer.clone()),
            Some(None) => Begun::Running,
            None => {
                self.insert(scope.to_owned(), None, now);
                Begun::New
            }
        }
    }

    pub(super) fn finish(&mut self, scope: &str, answer: Answer) {
        if let Some(place) = self.answers.get_mut(scope) {
            *place = Some(answer);
        }
    }

    /// A key of the file.
    pub(super) fn restore(&mut self, scope: String, answer: Answer, since: UnixMillis) {
        self.insert(scope, Some(answer), since);
    }

    /// The finished ones, the oldest first.
    pub(super) fn finished(&self) -> impl Iterator<Item = (&str, &Answer, UnixMillis)> {
        self.ages.iter().filter_map(|(since, scope)| {
            let answer = self.answers.get(scope)?.as_ref()?;
            Some((scope.as_str(), answer, *since))
        })
    }

    fn insert(&mut self, scope: String, answer: Option<Answer>, since: UnixMillis) {
        if self.ages.len() >= KEYS_MAX
            && let Some((_, oldest)) = self.ages.pop_front()
        {
            self.answers.remove(&oldest);
        }
        self.ages.push_back((since, scope.clone()));
        self.answers.insert(scope, answer);
    }

    fn forget(&mut self, now: UnixMillis) {
        while let Some((since, _)) = self.ages.front()
            && now.saturating_since(*since) >= KEY_TIME
            && let Some((_, scope)) = self.ages.pop_front()
        {
            self.answers.remove(&scope);
        }
    }
}
