//! A session says what the model says, whatever client, application and clock do.

// By this attribute clippy knows that helpers may panic, too.
#[cfg(test)]
mod frames;
#[cfg(test)]
mod inbound;
#[cfg(test)]
mod model;
#[cfg(test)]
mod script;
#[cfg(test)]
#[expect(dead_code, reason = "the tests of single rules need more of it")]
#[path = "../session/support.rs"]
mod support;

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;
    use std::time::{Duration, Instant};

    use bytes::Bytes;
    use proptest::prelude::*;
    use stomp::{CloseCode, HeartBeat, SessionConfig};

    use super::model::{self, Model, State};
    use super::script::{Delivery, Polling, Shape, Step, cut, encode, pick, resolve, scripts};
    use super::support::{Application, Peer, answer, authentication_failed};

    /// A session and its model, which get the same inputs.
    struct Pair {
        peer: Peer,
        start: Instant,
        model: Model,
        messages: u64,
        transcript: String,
    }

    impl Pair {
        fn new() -> Self {
            let config = SessionConfig {
                heart_beat: HeartBeat {
                    can_send_ms: model::CAN_SEND_MS,
                    wants_ms: model::WANTS_MS,
                },
                login_timeout: Duration::from_millis(model::LOGIN_MS),
                subscriptions_max: model::SUBSCRIPTIONS_MAX,
                unacknowledged_max: model::UNACKNOWLEDGED_MAX,
                transactions_max: model::TRANSACTIONS_MAX,
                transaction_frames_max: model::TRANSACTION_FRAMES_MAX,
                transaction_bytes_max: model::TRANSACTION_BYTES_MAX,
                server: "model/1".into(),
                ..SessionConfig::default()
            };
            let peer = Peer::new(config, Application::Waits);
            Self {
                start: peer.now,
                peer,
                model: Model::new(),
                messages: 0,
                transcript: String::new(),
            }
        }

        fn step(&mut self, step: &Step) -> Result<(), TestCaseError> {
            self.note(format_args!("{step:?}"));
            match step {
                Step::Input(shapes, cuts, polling) => return self.input(shapes, cuts, *polling),
                Step::Answer(which) => self.answer(*which),
                Step::Deliver(which, delivery) => self.deliver(*which, *delivery),
                Step::Sent => {
                    self.peer.session.handle_sent(self.peer.now);
                    self.model.on_sent();
                }
                Step::Wait(ms) => self.wait(*ms),
                Step::Due => {
                    let due = self.model.due().unwrap_or(self.model.now);
                    self.wait(due.saturating_sub(self.model.now));
                }
                Step::Refuse => {
                    self.peer.session.refuse(authentication_failed());
                    self.model.on_refused();
                }
                Step::Close => {
                    self.peer.session.close(CloseCode(1012), "restart");
                    self.model.close(1012, "restart");
                }
                Step::Finish => {
                    self.peer.session.finish(None);
                    self.model.close(1000, "");
                }
                Step::MessageTooLarge => {
                    self.peer.session.handle_message_too_large();
                    self.model.on_message_too_large();
                }
            }
            self.compare()
        }

        fn input(
            &mut self,
            shapes: &[Shape],
            cuts: &[u16],
            polling: Polling,
        ) -> Result<(), TestCaseError> {
            // The version decides how a client writes; so it has to be known before the next frame.
            let polling = match self.model.state {
                State::Open => polling,
                State::Greeting | State::LoggingIn(..) | State::Leaving | State::Closed => {
                    Polling::Polled
                }
            };
            let mut expected = Vec::new();
            let mut bytes = Vec::new();
            self.model.on_bytes();
            for shape in shapes {
                let Some(inbound) = resolve(shape, &self.model) else {
                    bytes.push(b'\n');
                    continue;
                };
                bytes.extend(encode(&inbound, self.model.version));
                self.model.on_inbound(inbound);
                if polling == Polling::Polled {
                    expected.extend(self.model.poll());
                }
            }
            if polling == Polling::Polled {
                expected.extend(self.model.poll());
            }
            self.note(format_args!(
                "  received {:?}",
                String::from_utf8_lossy(&bytes)
            ));
            let mut lines = Vec::new();
            for chunk in cut(&bytes, cuts) {
                let session = &mut self.peer.session;
                session.handle_input(Bytes::from(chunk), self.peer.now);
                if polling == Polling::Polled {
                    lines.extend(self.peer.outputs());
                }
            }
            self.note(format_args!("  {lines:?}"));
            prop_assert_eq!(lines, expected, "\n{}", self.transcript);
            if polling == Polling::Polled {
                self.compare()
            } else {
                Ok(())
            }
        }

        fn answer(&mut self, which: u8) {
            let count = self.model.requests.len();
            if let Some(at) = usize::from(which).checked_rem(count) {
                let request = self.model.requests.remove(at);
                self.model.on_answer(request);
                let request = self
                    .peer
                    .waiting
                    .remove(at)
                    .expect("as many as in the model");
                answer(&mut self.peer.session, request, self.peer.now);
            }
        }

        fn deliver(&mut self, which: u8, delivery: Delivery) {
            let known: Vec<_> = self.model.subscriptions.values().collect();
            let Some(known) = pick(&known, which) else {
                return;
            };
            let message = match (delivery, known.waiting.keys().next_back()) {
                (Delivery::Again, Some(waiting)) => *waiting,
                _ => {
                    self.messages += 1;
                    self.messages
                }
            };
            let number = known.number;
            // An unpolled SUBSCRIBE has no key yet, so nothing can go out on it.
            if let Some(key) = self.peer.keys.get(number) {
                self.peer.session.handle_delivered(*key, message);
                self.model.on_delivered(number, message);
            }
        }

        fn wait(&mut self, ms: u64) {
            self.model.now += ms;
            self.model.on_timeout();
            self.peer.now += Duration::from_millis(ms);
            self.peer.session.handle_timeout(self.peer.now);
        }

        /// All that can be seen of the session has to be as in the model.
        fn compare(&mut self) -> Result<(), TestCaseError> {
            let lines = self.peer.outputs();
            self.note(format_args!("  {lines:?}"));
            prop_assert_eq!(lines, self.model.poll(), "\n{}", self.transcript);
            let session = &self.peer.session;
            let stands = (session.version(), session.is_open(), session.is_closed());
            let state = self.model.state;
            let expected = (
                self.model.version,
                state == State::Open,
                state == State::Closed,
            );
            prop_assert_eq!(stands, expected, "\n{}", self.transcript);
            let due = session.poll_timeout().map(|due| due - self.start);
            let expected = self.model.due().map(Duration::from_millis);
            prop_assert_eq!(due, expected, "\n{}", self.transcript);
            prop_assert_eq!(self.peer.waiting.len(), self.model.requests.len());
            prop_assert_eq!(self.peer.keys.len(), self.model.subscribed);
            for (number, key) in self.peer.keys.iter().enumerate() {
                let window = session.delivery_window(*key);
                prop_assert_eq!(window, self.model.window(number), "\n{}", self.transcript);
            }
            Ok(())
        }

        fn note(&mut self, line: std::fmt::Arguments<'_>) {
            writeln!(self.transcript, "{line}").unwrap();
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig {
            cases: 1_000,
            failure_persistence: None,
            ..ProptestConfig::default()
        })]

        #[test]
        fn the_session_says_what_the_model_says(script in scripts()) {
            let mut pair = Pair::new();
            for step in &script {
                pair.step(step)?;
            }
        }
    }
}
