//! What a connection does because time has passed: heart-beats, pings, and giving up.

use std::pin::Pin;
use std::time::Instant;

use stomp::CloseCode;
use tokio::time::Sleep;

use super::actor::Actor;

/// The token has run out; a client with a fresh one may come back.
const TOKEN_EXPIRED: CloseCode = CloseCode(4401);

/// The connection has reached its greatest age, and nothing else is wrong with it.
const OLD: (CloseCode, &str) = (CloseCode(1012), "max-age");

impl Actor {
    pub(super) fn on_time(&mut self, now: Instant) {
        if !self.may_read() {
            // The peer's bytes wait in front of the door; that is no silence.
            self.note_alive(now);
            self.session.handle_received(now);
        }
        if self.socket.has_stomp_waiting() {
            // What waits is as good as a heart-beat, and a beat behind it would come no sooner.
            self.session.handle_sent(now);
        }
        self.session.handle_timeout(now);
        if self.stalled_due().is_some_and(|due| due <= now) {
            self.services.metrics.slow_closed.inc();
            self.peer_gone = true;
        }
        if self.close_due.is_some_and(|due| due <= now) {
            self.peer_gone = true;
        }
        if self.login_due().is_some_and(|due| due <= now) {
            self.end_login();
        }
        self.end_lingering(now);
        if self.migrate_due().is_some_and(|due| due <= now) {
            self.on_migrate_due(now);
        }
        if self.closing_due().is_some_and(|due| due <= now) {
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

    /// What ends with a token ends at once, and coming back with the same is in vain; what has only
    /// become old is to come again.
    fn end_login(&mut self) {
        let is_old = self.login.as_ref().is_some_and(|login| login.ends_by_age);
        if is_old {
            let (code, reason) = OLD;
            self.close_gracefully(code, reason);
        } else {
            self.session.close(TOKEN_EXPIRED, "token expired");
        }
    }

    /// When the login ends; what is ending is not ended again: a time in the past would wake the task
    /// for ever.
    fn login_due(&self) -> Option<Instant> {
        let is_ending = self.is_ending() || self.session.is_closed();
        let login = self.login.as_ref().filter(|_| !is_ending);
        login.map(|login| login.ends_at)
    }

    /// When a silent peer is pinged, and when it is given up after that.
    ///
    /// A peer whose heart-beats are late is pinged before they count as missed: browsers slow down the
    /// timers of a page in the background, but still answer pings.
    pub(super) fn silence_due(&self) -> Instant {
        let interval = self.services.config.ping_interval;
        let due = self.heard_at.checked_add(interval).unwrap_or(self.heard_at);
        let is_probed = self.pinged || self.session.is_closed();
        let probe_due = self.session.probe_due().filter(|_| !is_probed);
        probe_due.map_or(due, |probe| probe.min(due))
    }

    pub(super) fn set_timer(&self, timer: &mut Pin<Box<Sleep>>) {
        let due = [
            self.session.poll_timeout(),
            self.stalled_due(),
            self.close_due,
            self.login_due(),
            self.migrate_due(),
            self.closing_due(),
            self.linger_due(),
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
