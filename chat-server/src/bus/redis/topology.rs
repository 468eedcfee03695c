//! Slots of a cluster's nodes, and the detection of their changes.
//!
//! A slot that moves takes no subscriptions along: the old node ends them with a message that
//! the client library drops. So the slots are read periodically, and everything is subscribed anew
//! after a change.

use std::time::Duration;

use tokio::time::{MissedTickBehavior, interval, sleep};

use super::link::CommandConnection;
use shared::redis::link::LinkError;

/// Changes within this time are one: a rebalancing moves thousands of slots, one by one.
const SETTLE: Duration = Duration::from_millis(200);

/// The owner of each slot, as each primary reports it.
///
/// Of each, because a slot's subscriptions end when its old owner learns that it has lost it, and
/// that may be a good while after the others know: until then it takes new ones.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Topology {
    views: Vec<View>,
}

/// The primaries as one of them lists them in `CLUSTER NODES`, each with its epoch, which rises
/// when it wins slots: so one that left and came back shows too.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct View {
    primaries: Vec<String>,
}

impl Topology {
    pub(super) async fn look(connection: &CommandConnection) -> Result<Self, LinkError> {
        let texts = connection.cluster_nodes().await?;
        let views = texts.iter().map(|text| View::read(text)).collect();
        Ok(Self { views })
    }

    /// Returns when the slots have changed.
    ///
    /// | waits for | cancel-safe | then |
    /// |---|---|---|
    /// | a command that another node has to carry out | yes, a channel | reads the slots |
    /// | the next reading that is due | yes, a timer | reads the slots |
    pub(super) async fn changes(
        &self,
        connection: &CommandConnection,
        every: Duration,
    ) -> Result<(), LinkError> {
        let mut redirections = connection.redirections();
        let mut due = interval(every);
        due.set_missed_tick_behavior(MissedTickBehavior::Delay);
        due.tick().await; // the first tick is at once
        loop {
            tokio::select! {
                redirection = redirections.next() => redirection?,
                _ = due.tick() => {}
            }
            if Self::look(connection).await? != *self {
                sleep(SETTLE).await;
                return Ok(());
            }
        }
    }
}

impl View {
    /// One line a node: id, address, flags, its primary, two times, epoch, link, slots.
    fn read(text: &str) -> Self {
        let primary = |line: &str| {
            let mut fields = line.split_ascii_whitespace();
            let (id, address, flags) = (fields.next()?, fields.next()?, fields.next()?);
            let epoch = fields.nth(3)?;
            // A slot under migration is in brackets, at its old and new node only.
            let slots = fields.skip(1).filter(|slots| !slots.starts_with('['));
            let slots: Vec<_> = slots.collect();
            let is_primary = flags.split(',').any(|flag| flag == "master");
            (is_primary && !slots.is_empty())
                .then(|| format!("{id} {address} {epoch} {}", slots.join(" ")))
        };
        let mut primaries: Vec<_> = text.lines().filter_map(primary).collect();
        primaries.sort();
        Self { primaries }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NODES: &str = "\
        07c3 127.0.0.1:30004@31004 slave 67ed 0 1426238317239 4 connected\n\
        67ed 127.0.0.1:30002@31002,host master - 0 1426238316232 2 connected 5461-10922\n\
        292f 127.0.0.1:30003@31003 master - 0 1426238318243 3 connected 10923-16383\n\
        6ec2 127.0.0.1:30005@31005 master,fail - 0 1426238316232 5 disconnected\n\
        e7d1 127.0.0.1:30001@31001 myself,master - 0 0 1 connected 0-5460 [93-<-292f]\n";

    /// `from` replaced by `to` is, or is not, a change.
    fn check(from: &str, to: &str, is_change: bool) {
        let changed = NODES.replace(from, to);
        assert_ne!(changed, NODES);
        let is_other = View::read(&changed) != View::read(NODES);
        assert_eq!(is_other, is_change, "{from} → {to}");
    }

    #[test]
    fn slots_epochs_and_addresses_matter() {
        check("0-5460", "0-5459", true);
        check(" 2 connected", " 6 connected", true);
        check("127.0.0.1:30003", "127.0.0.1:30009", true);
        check(
            "fail - 0 1426238316232 5 disconnected",
            "fail - 0 1 5 connected 7",
            true,
        );
    }

    #[test]
    fn times_replicas_and_who_was_asked_do_not() {
        check("1426238318243", "1426238318999", false);
        check("myself,", "", false);
        check(" [93-<-292f]", "", false);
        check("07c3 127.0.0.1:30004", "07c4 127.0.0.1:30014", false);
    }
}
