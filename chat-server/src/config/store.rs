//! Settings of the store.

use std::path::PathBuf;
use std::str::FromStr;

use clap::{Args, ValueEnum};
use shared::config::Mistakes;

use super::{Unreadable, must};
use crate::store::scylla::settings::{
    ANSWER_WAIT, DataCenters, Replication, ScyllaAddress, ScyllaSettings, is_datacenter,
};

/// The message store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StoreUrl {
    /// A local folder.
    File(PathBuf),
    /// Servers of ScyllaDB or Apache Cassandra.
    Scylla(ScyllaAddress),
}

impl FromStr for StoreUrl {
    type Err = Unreadable;

    fn from_str(text: &str) -> Result<Self, Unreadable> {
        if text.starts_with(ScyllaAddress::SCHEME) {
            const FORM: Unreadable = Unreadable(
                "scylla://[USER:PASSWORD@]HOST[:PORT],HOST…/KEYSPACE, the keyspace in a-z, 0-9, _",
            );
            // Nothing of the text: it may hold a password.
            return text.parse().map(Self::Scylla).map_err(|_unreadable| FORM);
        }
        let path = text
            .strip_prefix("file:")
            .map(|path| path.trim_start_matches("//"));
        match path {
            Some(path) if !path.is_empty() => Ok(Self::File(path.into())),
            Some(_) | None => Err(Unreadable(
                "file:FOLDER, such as file:./data/chat, or scylla://HOST,HOST/KEYSPACE",
            )),
        }
    }
}

/// Options of a distributed store.
#[derive(Clone, Debug, PartialEq, Eq, Args)]
pub struct ScyllaFlags {
    /// Data centre for requests; required if there are several
    #[arg(long, env = "CHAT_SCYLLA_DATACENTER", value_name = "NAME")]
    pub scylla_datacenter: Option<String>,

    /// Replication factor of a new keyspace: 3, or DC1=3,DC2=3
    #[arg(
        long,
        env = "CHAT_SCYLLA_REPLICATION",
        default_value = "3",
        value_name = "COPIES"
    )]
    pub scylla_replication: Replication,

    /// Consistency, the same on all nodes: local-quorum if all nodes write through one data centre;
    /// quorum if they write through several
    #[arg(long, env = "CHAT_SCYLLA_CONSISTENCY", value_enum,
        default_value_t = ConsistencyFlag::LocalQuorum)]
    pub scylla_consistency: ConsistencyFlag,

    /// Certificate authorities (PEM) of the servers; with them connections are encrypted. The
    /// servers' certificates must name their IP addresses
    #[arg(long, env = "CHAT_SCYLLA_CA", value_name = "FILE")]
    pub scylla_ca: Option<PathBuf>,
}

/// The majority that decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ConsistencyFlag {
    /// A majority in the local data centre.
    LocalQuorum,
    /// A majority over all data centres.
    Quorum,
}

impl Default for ScyllaFlags {
    fn default() -> Self {
        Self {
            scylla_datacenter: None,
            scylla_replication: Replication::Factor(3),
            scylla_consistency: ConsistencyFlag::LocalQuorum,
            scylla_ca: None,
        }
    }
}

impl ScyllaFlags {
    /// The settings of the store at this address.
    #[must_use]
    pub fn settings(&self, address: &ScyllaAddress) -> ScyllaSettings {
        ScyllaSettings {
            address: address.clone(),
            datacenter: self.scylla_datacenter.clone(),
            replication: self.scylla_replication.clone(),
            reach: match self.scylla_consistency {
                ConsistencyFlag::LocalQuorum => DataCenters::LocalQuorum,
                ConsistencyFlag::Quorum => DataCenters::Quorum,
            },
            ca: self.scylla_ca.clone(),
            answer_wait: ANSWER_WAIT,
        }
    }

    pub(super) fn check(&self, mistakes: &mut Mistakes) {
        if let Some(name) = &self.scylla_datacenter {
            let right = "a name of letters, digits, ., _ and -";
            let good = is_datacenter(name);
            must(mistakes, good, "scylla_datacenter", name.clone(), right);
        }
    }
}

#[cfg(test)]
mod tests {
    use shared::config::{NoSettings, parse};

    use super::super::Config;
    use super::*;

    #[test]
    fn store_of_several_servers_has_its_settings() {
        let address = "scylla://me:hunter2@a,b:7/chat";
        let config: Config = parse([
            "chat-server",
            "--store",
            address,
            "--scylla-datacenter",
            "dc1",
            "--scylla-consistency",
            "quorum",
        ])
        .unwrap();
        let StoreUrl::Scylla(address) = &config.store else {
            panic!("{config:?}")
        };
        let settings = config.scylla.settings(address);
        assert_eq!(settings.address.hosts, ["a:9042", "b:7"]);
        assert_eq!(settings.datacenter.as_deref(), Some("dc1"));
        assert_eq!(settings.replication, Replication::Factor(3));
        assert_eq!(settings.reach, DataCenters::Quorum);
        assert!(!format!("{config:?}").contains("hunter2"));
    }

    #[test]
    fn defaults_are_those_of_the_command_line() {
        let config: Config = parse(["chat-server"]).unwrap();
        assert_eq!(config.scylla, ScyllaFlags::default());
    }

    #[test]
    fn settings_that_make_no_sense_are_refused() {
        for args in [
            ["--store", "scylla://a"],
            ["--store", "scylla://me@a/chat"],
            ["--scylla-datacenter", "d'c"],
            ["--scylla-replication", "0"],
            ["--scylla-consistency", "one"],
        ] {
            let args = ["chat-server", args[0], args[1]];
            let refused = parse::<Config>(args);
            assert!(matches!(refused, Err(NoSettings::Wrong(_))), "{args:?}");
        }
    }

    #[test]
    fn a_wrong_address_does_not_show_its_password() {
        let args = ["chat-server", "--store", "scylla://me:hunter2@a"];
        let Err(NoSettings::Wrong(mistakes)) = parse::<Config>(args) else {
            panic!("accepted")
        };
        assert!(!mistakes.to_string().contains("hunter2"), "{mistakes}");
    }
}
