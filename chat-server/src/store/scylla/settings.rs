//! Where the servers are and how the store uses them.
//!
//! What this file does not do: flags and the environment, which are `config`'s.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use shared::config::Secret;

/// The port of CQL where an address names none.
const PORT: u16 = 9042;

/// Servers named in an address at most: any of them leads to all the others.
const HOSTS_MAX: usize = 64;

/// The servers' own limit.
const KEYSPACE_CHARS_MAX: usize = 48;

/// Data centres at most, and copies in one of them at most: far above what anybody runs.
const DATACENTERS_MAX: usize = 16;
const FACTOR_MAX: u8 = 16;

/// `scylla://[user:password@]host[:port],host…/keyspace`. The password is taken as it stands, up to
/// the last `@`, without percent-encoding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScyllaAddress {
    /// Servers to begin with, each `host:port`.
    pub hosts: Vec<String>,
    /// Created if it is missing.
    pub keyspace: String,
    /// Whom to log in as.
    pub login: Option<Login>,
}

/// Whom to log in as.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Login {
    /// The name.
    pub user: String,
    /// Never shown.
    pub password: Secret<String>,
}

/// Configuration of the store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScyllaSettings {
    /// The servers' addresses and the keyspace.
    pub address: ScyllaAddress,
    /// The data centre for requests; `None`: there is only one.
    pub datacenter: Option<String>,
    /// Copies, for a keyspace that is created.
    pub replication: Replication,
    /// The majority that decides.
    pub reach: DataCenters,
    /// Certificates (PEM) that sign the servers'; with them connections are encrypted. The servers'
    /// certificates must name their IP addresses.
    pub ca: Option<PathBuf>,
    /// Time-out of one request to the servers; [`ANSWER_WAIT`] but in tests.
    pub answer_wait: Duration,
}

/// The appender's time-out of a request is 1.5 s. A little less here, so that it gets the reason of
/// the failure, and the next request goes to another server.
pub const ANSWER_WAIT: Duration = Duration::from_millis(1_400);

/// The majority that decides. All nodes must use the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DataCenters {
    /// In the local data centre: all chat nodes write through one.
    LocalQuorum,
    /// Over all data centres: chat nodes write through several. Slower by the way between them.
    Quorum,
}

/// How many copies a keyspace has when it is created; one that exists is left as it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Replication {
    /// So many, in the data centre in use.
    Factor(u8),
    /// So many, by data centre.
    ByDatacenter(Vec<(String, u8)>),
}

/// The text is none of the forms the setting has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected {0}")]
pub struct Unreadable(&'static str);

impl ScyllaAddress {
    /// What stands before the address.
    pub const SCHEME: &'static str = "scylla://";
}

impl FromStr for ScyllaAddress {
    type Err = Unreadable;

    fn from_str(text: &str) -> Result<Self, Unreadable> {
        const FORM: Unreadable = Unreadable(
            "scylla://[USER:PASSWORD@]HOST[:PORT],HOST…/KEYSPACE, the keyspace in a-z, 0-9, _",
        );
        let rest = text.strip_prefix(Self::SCHEME).ok_or(FORM)?;
        let (login, place) = match rest.rsplit_once('@') {
            None => (None, rest),
            Some((login, place)) => {
                let (user, password) = login.split_once(':').ok_or(FORM)?;
                let password = Secret::new(password.to_owned());
                let user = user.to_owned();
                (Some(Login { user, password }), place)
            }
        };
        let (hosts, keyspace) = place.split_once('/').ok_or(FORM)?;
        let hosts: Option<Vec<String>> = hosts.split(',').map(with_port).collect();
        let hosts = hosts.filter(|hosts| hosts.len() <= HOSTS_MAX).ok_or(FORM)?;
        if !is_keyspace(keyspace) {
            return Err(FORM);
        }
        Ok(Self {
            hosts,
            keyspace: keyspace.to_owned(),
            login,
        })
    }
}

/// `host:port`, `[v6]:port`, or without the port.
fn with_port(host: &str) -> Option<String> {
    let (name, port) = match host.rsplit_once(':') {
        Some((name, port)) if !port.ends_with(']') => (name, port.parse::<u16>().ok()?),
        Some(_) | None => (host, PORT),
    };
    let is_v6 = name.starts_with('[') && name.ends_with(']');
    let is_good = |c: char| c.is_ascii_alphanumeric() || ".-_".contains(c);
    let good = !name.is_empty() && (name.chars().all(is_good) || is_v6);
    good.then(|| format!("{name}:{port}"))
}

/// Small letters only: names without quotes, the same in whatever case.
fn is_keyspace(name: &str) -> bool {
    let is_good = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    name.starts_with(|c: char| c.is_ascii_lowercase())
        && name.len() <= KEYSPACE_CHARS_MAX
        && name.chars().all(is_good)
}

/// Whether this can be a data centre's name: what can stand in a statement within quotes.
#[must_use]
pub fn is_datacenter(name: &str) -> bool {
    let is_good = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    !name.is_empty() && name.len() <= KEYSPACE_CHARS_MAX && name.chars().all(is_good)
}

impl FromStr for Replication {
    type Err = Unreadable;

    fn from_str(text: &str) -> Result<Self, Unreadable> {
        const FORM: Unreadable = Unreadable("a number such as 3, or DATACENTRE=3,DATACENTRE=3");
        let factor = |text: &str| {
            let factor = text.parse::<u8>().ok();
            factor.filter(|factor| (1..=FACTOR_MAX).contains(factor))
        };
        if let Some(factor) = factor(text) {
            return Ok(Self::Factor(factor));
        }
        let pair = |text: &str| {
            let (name, copies) = text.split_once('=')?;
            is_datacenter(name).then(|| Some((name.to_owned(), factor(copies)?)))?
        };
        let pairs: Option<Vec<_>> = text.split(',').map(pair).collect();
        let pairs = pairs.filter(|pairs| pairs.len() <= DATACENTERS_MAX);
        pairs.map(Self::ByDatacenter).ok_or(FORM)
    }
}

impl fmt::Display for Replication {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Factor(factor) => factor.fmt(f),
            Self::ByDatacenter(pairs) => {
                let pairs = pairs
                    .iter()
                    .map(|(name, factor)| format!("{name}={factor}"));
                f.write_str(&pairs.collect::<Vec<_>>().join(","))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> Option<ScyllaAddress> {
        text.parse().ok()
    }

    #[test]
    fn addresses_are_read() {
        let read = address("scylla://a,10.0.0.1:9999,[::1],[::1]:7/chat").unwrap();
        assert_eq!(
            read.hosts,
            ["a:9042", "10.0.0.1:9999", "[::1]:9042", "[::1]:7"]
        );
        assert_eq!((read.keyspace.as_str(), read.login), ("chat", None));
        let read = address("scylla://me:p@ss:w/rd@a:1/chat").unwrap();
        let login = read.login.unwrap();
        assert_eq!(
            (login.user.as_str(), login.password.expose().as_str()),
            ("me", "p@ss:w/rd")
        );
        assert_eq!(read.hosts, ["a:1"]);
    }

    #[test]
    fn other_forms_are_refused() {
        for text in [
            "scylla://a",
            "scylla:///chat",
            "scylla://a/",
            "scylla://a/Chat",
            "scylla://a/chat; drop",
            "scylla://a/9",
            "scylla://a,/chat",
            "scylla://a:x/chat",
            "scylla://a:70000/chat",
            "scylla://me@a/chat",
            "scylla://a b/chat",
            "cql://a/chat",
        ] {
            assert_eq!(address(text), None, "{text}");
        }
    }

    #[test]
    fn password_is_not_shown() {
        let read = address("scylla://me:hunter2@a/chat").unwrap();
        assert!(!format!("{read:?}").contains("hunter2"));
    }

    #[test]
    fn replication_is_read() {
        let read = |text: &str| text.parse::<Replication>().ok();
        assert_eq!(read("3"), Some(Replication::Factor(3)));
        let two = vec![("dc1".to_owned(), 3), ("dc-2".to_owned(), 2)];
        assert_eq!(read("dc1=3,dc-2=2"), Some(Replication::ByDatacenter(two)));
        assert_eq!(read("dc1=3,dc-2=2").unwrap().to_string(), "dc1=3,dc-2=2");
        for text in ["0", "17", "", "dc1", "dc1=", "dc1=0", "d'c=3", "dc1=3,"] {
            assert_eq!(read(text), None, "{text}");
        }
    }
}
