//! Names of channels and keys in Redis.
//!
//! A topic is the hash tag of its names (the part in braces, Redis Cluster specification, "Hash
//! tags"), so its channel and its head key lie on one node of a cluster.

use shared::ids::{MemberId, RoomId};

use super::pubsub::Slots;
use crate::log::Topic;

/// 64 characters: it goes with every message.
const PREFIX_CHARS_MAX: usize = 64;

/// Names tried until one lies on each primary of a cluster. One that owns a single slot of 16,384
/// is found by then but for one time in 10^7; without a name of its own it is not probed.
const PROBE_NAMES_MAX: u32 = 1 << 18;

/// The names of the nodes of one bus.
#[derive(Clone, Debug)]
pub(super) struct Names {
    prefix: String,
    node: u64,
}

/// Whether a text can be the prefix of names: braces would be taken for a hash tag, and `:` ends
/// it.
#[must_use]
pub fn is_prefix(text: &str) -> bool {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_' || c == '.';
    (1..=PREFIX_CHARS_MAX).contains(&text.len()) && text.chars().all(is_plain)
}

/// What a channel is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Channel {
    /// Entries, heads and events of a topic.
    Topic(Topic),
    /// Control messages to all nodes.
    Control,
    /// A node's probes to itself.
    Probe,
}

impl Names {
    pub(super) fn new(prefix: String, node: u64) -> Self {
        Self { prefix, node }
    }

    pub(super) fn channel(&self, topic: Topic) -> String {
        format!("{}:{{{topic}}}", self.prefix)
    }

    pub(super) fn head_key(&self, topic: Topic) -> String {
        format!("{}:head:{{{topic}}}", self.prefix)
    }

    pub(super) fn turn_key(&self, topic: Topic) -> String {
        format!("{}:turn:{{{topic}}}", self.prefix)
    }

    /// This node, as the value of a key.
    pub(super) fn node_id(&self) -> String {
        format!("{:016x}", self.node)
    }

    pub(super) fn control(&self) -> String {
        format!("{}:control", self.prefix)
    }

    fn probe(&self, number: u32) -> String {
        format!("{}:probe:{:016x}:{number}", self.prefix, self.node)
    }

    /// The channels of this node's probes: one, or on a cluster one per primary.
    pub(super) fn probes(&self, slots: Option<&Slots>) -> Vec<String> {
        match slots {
            None => vec![self.probe(0)],
            Some(slots) => {
                slots.one_per_primary((0..PROBE_NAMES_MAX).map(|number| self.probe(number)))
            }
        }
    }

    /// What a channel of ours is for.
    pub(super) fn purpose(&self, channel: &str) -> Option<Channel> {
        let name = channel.strip_prefix(&self.prefix)?.strip_prefix(':')?;
        if name == "control" {
            return Some(Channel::Control);
        }
        if name.starts_with("probe:") {
            return Some(Channel::Probe);
        }
        let (kind, id) = name.strip_prefix('{')?.strip_suffix('}')?.split_once(':')?;
        match kind {
            "room" => id.parse::<RoomId>().ok().map(Topic::Room),
            "inbox" => id.parse::<MemberId>().ok().map(Topic::Inbox),
            _ => None,
        }
        .map(Channel::Topic)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn room() -> Topic {
        Topic::Room(RoomId::try_from(42_u64).unwrap())
    }

    fn inbox() -> Topic {
        Topic::Inbox(MemberId::try_from(7_u64).unwrap())
    }

    /// Other builds and operators know these names: they stay.
    #[test]
    fn names_never_change() {
        let names = Names::new("dapanda".to_owned(), 0xab);
        assert_eq!(names.channel(room()), "dapanda:{room:42}");
        assert_eq!(names.channel(inbox()), "dapanda:{inbox:7}");
        assert_eq!(names.head_key(room()), "dapanda:head:{room:42}");
        assert_eq!(names.turn_key(room()), "dapanda:turn:{room:42}");
        assert_eq!(names.control(), "dapanda:control");
        assert_eq!(names.probes(None), ["dapanda:probe:00000000000000ab:0"]);
    }

    #[test]
    fn purpose_is_read_from_the_name() {
        let names = Names::new("dapanda".to_owned(), 1);
        for topic in [room(), inbox()] {
            let purpose = names.purpose(&names.channel(topic));
            assert_eq!(purpose, Some(Channel::Topic(topic)));
        }
        assert_eq!(names.purpose(&names.control()), Some(Channel::Control));
        let probe = names.probes(None).remove(0);
        assert_eq!(names.purpose(&probe), Some(Channel::Probe));
        for other in [
            "dapanda:{room:0}",
            "dapanda:{shop:1}",
            "dapanda:{room:1",
            "other:{room:1}",
            "",
        ] {
            assert_eq!(names.purpose(other), None, "{other}");
        }
    }

    #[test]
    fn a_prefix_cannot_break_a_name() {
        assert!(is_prefix("dapanda") && is_prefix("test-1_a.b"));
        for wrong in ["", "a b", "a{b", "a}b", "a:b", "é", &"x".repeat(65)] {
            assert!(!is_prefix(wrong), "{wrong}");
        }
    }
}
