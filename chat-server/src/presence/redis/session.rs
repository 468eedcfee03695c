//! Sessions with the registry: connect, register everybody, write changes and renewals, check
//! departures; after a failure back off and connect again.

use std::sync::Arc;
use std::time::{Duration, Instant};

use rand::RngExt as _;
use rand::rngs::StdRng;
use shared::ids::MemberId;
use shared::redis::link::{COMMAND_BACKLOG, Link, LinkError, LinkSettings};
use tokio::time::sleep;

use super::Shared;
use super::connection::{Command, Connection};
use super::members::Write;
use crate::presence::PresenceChange;
use crate::presence::changes::tick;

/// Members written at a time: Redis does nothing else for about a millisecond.
const BATCH_MAX: usize = 512;

/// After a write that was refused, by a cluster whose slots move for example.
const RETRY_PAUSE: Duration = Duration::from_millis(200);

/// Keeps a session until the registry is closed.
pub(super) async fn run(shared: Arc<Shared>, settings: LinkSettings, mut random: StdRng) {
    let closing = shared.closing.clone();
    let pause_min = shared.tuning.retry_max / 40;
    let (mut pause, mut is_logged) = (pause_min, false);
    loop {
        let opened = closing
            .run_until_cancelled(Link::open(&settings, COMMAND_BACKLOG))
            .await;
        let error = match opened {
            None => return,
            Some(Err(error)) => error,
            Some(Ok(mut link)) => {
                (pause, is_logged) = (pause_min, false);
                let over = shared.drain.hard().child_token();
                let connection = Connection::new(&link, &settings, over);
                shared.status.go_up(connection.clone());
                let served = serve(&shared, &connection, &mut link).await;
                shared.status.go_away();
                connection.over.cancel();
                if served.is_ok() {
                    link.quit().await;
                }
                link.close().await;
                match served {
                    Ok(()) => return,
                    Err(error) => error,
                }
            }
        };
        // Logged once until it is up again: later attempts fail alike.
        if is_logged {
            tracing::debug!("the presence registry is still away: {error}");
        } else {
            tracing::warn!("the presence registry is away: {error}");
        }
        is_logged = true;
        // Between half and all of it, so that the nodes do not reconnect all at once.
        let wait = pause.mul_f64(random.random_range(0.5..=1.0));
        if closing.run_until_cancelled(sleep(wait)).await.is_none() {
            return;
        }
        pause = (pause * 2).min(shared.tuning.retry_max);
    }
}

/// Serves until an error, or until everything is written and the registry is closed.
///
/// | waits for | cancel-safe | then |
/// |---|---|---|
/// | the end of the connection | yes, a task's handle | the session ends |
/// | a caller giving up | yes, a token | the session ends |
/// | the work | no, but the next session registers everybody | the session ends |
async fn serve(
    shared: &Arc<Shared>,
    connection: &Connection,
    link: &mut Link,
) -> Result<(), LinkError> {
    let work = Work::begin(shared, connection).run();
    tokio::select! {
        error = link.ended() => Err(error),
        () = connection.over.cancelled() => Err(LinkError::GivenUp),
        served = work => served,
    }
}

/// The work of a session.
struct Work<'s> {
    shared: &'s Shared,
    connection: &'s Connection,
    /// Members of the renewal under way that are still to be renewed.
    renewal: Vec<MemberId>,
    renew_at: Instant,
    probe_at: Instant,
}

impl<'s> Work<'s> {
    /// Everybody is to be registered: the registry may have been emptied.
    fn begin(shared: &'s Shared, connection: &'s Connection) -> Self {
        let now = shared.clock.now();
        shared.members.take_back();
        Self {
            shared,
            connection,
            renewal: shared.members.all(),
            renew_at: now + shared.tuning.renew_every,
            probe_at: now + shared.tuning.probe_every,
        }
    }

    async fn run(mut self) -> Result<(), LinkError> {
        let period = tick(self.shared.tuning.grace).min(self.shared.tuning.renew_every);
        loop {
            let mut has_worked = self.write().await?;
            has_worked |= self.renew().await?;
            has_worked |= self.check_departures().await?;
            if has_worked {
                continue;
            }
            if self.shared.closing.is_cancelled() {
                return Ok(());
            }
            tokio::select! {
                () = self.shared.members.changed() => {}
                () = self.shared.closing.cancelled() => {}
                () = sleep(period) => self.on_tick().await?,
            }
        }
    }

    async fn on_tick(&mut self) -> Result<(), LinkError> {
        let now = self.shared.clock.now();
        if now >= self.renew_at {
            self.renew_at = now + self.shared.tuning.renew_every;
            self.renewal = self.shared.members.all();
        }
        if now >= self.probe_at {
            self.probe_at = now + self.shared.tuning.probe_every;
            self.connection.ping().await?;
        }
        Ok(())
    }

    /// Writes a batch of the queue, and announces members that came online. Returns whether the
    /// queue had any.
    async fn write(&mut self) -> Result<bool, LinkError> {
        let writes = self.shared.members.take(BATCH_MAX);
        if writes.is_empty() {
            return Ok(false);
        }
        let commands = writes.iter().map(|write| match write {
            Write::Register(member) => self.register(*member),
            Write::Remove(member) => Command::Remove {
                key: self.shared.key(*member),
                node: self.shared.node.clone(),
            },
        });
        let answers = self.connection.carry_out(commands.collect()).await;
        let mut failed = Failed::default();
        for (write, answer) in writes.iter().zip(answers) {
            match (write, answer) {
                (Write::Register(member), Ok(1)) => {
                    let change = PresenceChange::Online(*member);
                    self.shared.changes.push(change);
                }
                (Write::Register(_) | Write::Remove(_), Ok(_)) => {}
                (_, Err(error)) => failed.note(write.member(), error),
            }
        }
        let members = self.settle(failed).await?;
        self.shared.members.finish(members);
        Ok(true)
    }

    /// Renews some of the entries. Nobody is announced: who was there before the registry was
    /// emptied has not come online.
    async fn renew(&mut self) -> Result<bool, LinkError> {
        if self.renewal.is_empty() {
            return Ok(false);
        }
        let members = self.shared.members.renewable(&mut self.renewal, BATCH_MAX);
        let commands = members.iter().map(|member| self.register(*member));
        let answers = self.connection.carry_out(commands.collect()).await;
        let mut failed = Failed::default();
        for (member, answer) in members.into_iter().zip(answers) {
            if let Err(error) = answer {
                failed.note(member, error);
            }
        }
        let members = self.settle(failed).await?;
        self.renewal.extend(members);
        Ok(true)
    }

    /// Announces members that went offline.
    async fn check_departures(&mut self) -> Result<bool, LinkError> {
        let now = self.shared.clock.now();
        let Some(members) = self.shared.members.take_departed(now, BATCH_MAX) else {
            return Ok(false);
        };
        let keys = members.iter().map(|member| self.shared.key(*member));
        let answers = self
            .connection
            .carry_out(keys.map(Command::Withdraw).collect());
        let mut failed = Failed::default();
        for (member, answer) in members.iter().zip(answers.await) {
            match answer {
                Ok(1) => self.shared.changes.push(PresenceChange::Offline(*member)),
                Ok(_) => {}
                Err(error) => {
                    self.shared.metrics.presence.dropped.inc();
                    failed.note(*member, error);
                }
            }
        }
        // Not checked again: a room that is opened reads the presence of its members.
        self.settle(failed).await?;
        Ok(true)
    }

    fn register(&self, member: MemberId) -> Command {
        Command::Register {
            key: self.shared.key(member),
            node: self.shared.node.clone(),
            ttl: self.shared.tuning.ttl,
        }
    }

    /// Pauses after a failure. Returns the members to try again, none once the registry is closed:
    /// their entries expire. An error that another connection may cure ends the session; the next
    /// one registers everybody.
    async fn settle(&self, failed: Failed) -> Result<Vec<MemberId>, LinkError> {
        let Some(error) = failed.error else {
            return Ok(Vec::new());
        };
        let count = u64::try_from(failed.members.len()).unwrap_or(u64::MAX);
        self.shared.metrics.presence.errors.inc_by(count);
        if error.needs_another_connection() {
            return Err(error);
        }
        if self.shared.closing.is_cancelled() {
            return Ok(Vec::new());
        }
        tracing::debug!("the presence registry refused a write: {error}");
        sleep(RETRY_PAUSE).await;
        Ok(failed.members)
    }
}

/// Members whose command failed, and the error that matters most.
#[derive(Default)]
struct Failed {
    members: Vec<MemberId>,
    error: Option<LinkError>,
}

impl Failed {
    fn note(&mut self, member: MemberId, error: LinkError) {
        self.members.push(member);
        if self.error.is_none() || error.needs_another_connection() {
            self.error = Some(error);
        }
    }
}
