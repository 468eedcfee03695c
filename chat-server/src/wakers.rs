//! Wake-ups of tasks that are made together.
//!
//! A connection that gets several things from one step, such as the outcome of its send and the message
//! itself, is woken once, when it has all of them: it writes them to its socket in one call then.

use std::task::Waker;

/// Wakers that are woken when this is dropped.
#[derive(Debug, Default)]
#[must_use = "dropped at once, it wakes too early"]
pub struct Wakers {
    wakers: Vec<Waker>,
}

impl Wakers {
    /// Adds a waker, if there is one.
    pub fn add(&mut self, waker: Option<Waker>) {
        self.wakers.extend(waker);
    }
}

impl Drop for Wakers {
    fn drop(&mut self) {
        for waker in self.wakers.drain(..) {
            waker.wake();
        }
    }
}
