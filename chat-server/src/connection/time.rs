//! What a connection does because time has passed: heart-beats, pings, and giving up.

use std::pin::Pin;
use std::time::Instant;

use bytes::Bytes;
use stomp::CloseCode;
use tokio::time::Sleep;

use super::actor::Actor;

/// The token has run out; a client with a fresh one may come back.
const TOKEN_EXPIRED: CloseCode = CloseCode(4401);

impl Actor {
    pub(super) fn on_time(&mut self, now: Instant) {
        if !self.may_read() {
            // The peer's bytes wait in front of the door; that is no silence.
            self.note_alive(now);
            self.session.handle_input(Bytes::new(), now);
        }
        self.session.handle_timeout(now);
        if self.stalled_due().is_some_and(|due| due <= now) {
            self.services.metrics.slow_closed.inc();
            self.peer_gone = true;
        }
        if self.close_due.is_some_and(|due| due <= now) {
            self.peer_gone = true;
        }
        if self
            .login
            .as_ref()
            .is_some_and(|login| login.ends_at <= now)
        {
            self.session.close(TOKEN_EXPIRED, "token expired");
        }
        if self.retire_due().is_some_and(|due| due <= now) {
            self.on_retire_due(now);
        }
        if self.farewell_due().is_some_and(|due| due <= now) {
            // What they become of, their senders find out when they send them again.
            self.work = None;
            self.sends.clear();
        }
        if self.silence_due() <= now {
            if self.pinged {
                self.services.metrics.heartbeats_missed.inc();
                self.peer_gone = true;
            } else {
                self.pinged = true;
                self.heard_at = now;
                self.socket.push_ping();
            }
        }
    }

    /// When to give up on a peer that takes nothing.
    pub(super) fn stalled_due(&self) -> Option<Instant> {
        let waiting = self.socket.pending_bytes() > 0;
        let limit = self.services.config.send_time_limit;
        waiting
            .then(|| self.progress_at.checked_add(limit))
            .flatten()
    }

    /// When to stop waiting for what is under way.
    fn farewell_due(&self) -> Option<Instant> {
        self.farewell_due.filter(|_| self.is_dismissed())
    }

    pub(super) fn silence_due(&self) -> Instant {
        let interval = self.services.config.ping_interval;
        self.heard_at.checked_add(interval).unwrap_or(self.heard_at)
    }

    pub(super) fn set_timer(&self, timer: &mut Pin<Box<Sleep>>) {
        // What has ended is not ended again: a time in the past would wake the task for ever.
        let login = self.login.as_ref().filter(|_| !self.session.is_closed());
        let login_ends = login.map(|login| login.ends_at);
        let due = [
            self.session.poll_timeout(),
            self.stalled_due(),
            self.close_due,
            login_ends,
            self.retire_due(),
            self.farewell_due(),
        ];
        let due = due
            .into_iter()
            .flatten()
            .fold(self.silence_due(), Instant::min);
        // Setting a timer costs more than waking once too early: heart-beats move theirs with every
        // byte, so it is only ever set forward.
        let due = tokio::time::Instant::from(due);
        if due < timer.deadline() || timer.is_elapsed() {
            timer.as_mut().reset(due);
        }
    }
}
