//! Redis address: one URL for a server, a cluster or Sentinels, and the client configuration made
//! from it.
//!
//! `link` connects. What this file does not do: check that a server answers there.

pub mod link;

use std::fmt;
use std::str::FromStr;

use fred::error::Error;
use fred::types::config::{
    ClusterDiscoveryPolicy, Config, ConnectionConfig, Server, ServerConfig, TlsConnector,
};
use rustls::ClientConfig;

use crate::config::Secret;

/// Default port of Redis.
const PORT: u16 = 6379;

/// Default port of a Sentinel.
const SENTINEL_PORT: u16 = 26379;

/// Addresses beyond this many are a mistake, not a cluster.
const HOSTS_MAX: usize = 64;

/// Address of Redis. `Debug` and `Display` hide the password.
#[derive(Clone, PartialEq, Eq)]
pub struct RedisUrl {
    /// Single server, cluster, or behind Sentinels.
    pub kind: RedisKind,
    /// Whether the connections are encrypted.
    pub tls: bool,
    /// Host names or addresses, with ports: of the one Redis, of some nodes of the cluster, or of
    /// the Sentinels. At least one.
    pub hosts: Vec<(String, u16)>,
    /// The name to log in with, if any.
    pub user: Option<String>,
    /// The password to log in with, if any. Sentinels are queried without one.
    pub password: Option<Secret<String>>,
    /// The database of the keys; channels belong to none.
    pub database: Option<u8>,
}

/// Deployment of Redis.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RedisKind {
    /// One server.
    Single,
    /// A cluster; messages go by sharded pub/sub, which needs Redis 7 or later.
    Cluster,
    /// Servers behind Sentinels, which name the primary of this service.
    Sentinel {
        /// Name of the service at the Sentinels.
        service: String,
    },
}

impl RedisUrl {
    /// Configuration of the client library: where to connect and how to log in; the rest at its
    /// defaults. With TLS, `trusted` has the accepted authorities; without it the system's are
    /// used.
    ///
    /// # Errors
    /// With TLS and nothing trusted: the system has no certificates that can be read.
    pub fn client_config(&self, trusted: Option<ClientConfig>) -> Result<Config, Error> {
        let hosts = self.hosts.iter();
        let mut hosts: Vec<_> = hosts
            .map(|(host, port)| Server::new(host.as_str(), *port))
            .collect();
        let server = match &self.kind {
            RedisKind::Single => ServerConfig::Centralized {
                server: hosts.swap_remove(0),
            },
            RedisKind::Cluster => ServerConfig::Clustered {
                hosts,
                policy: ClusterDiscoveryPolicy::UseCache,
            },
            RedisKind::Sentinel { service } => ServerConfig::Sentinel {
                hosts,
                service_name: service.clone(),
                username: None,
                password: None,
            },
        };
        let tls = self.tls.then(|| connector(trusted)).transpose()?;
        Ok(Config {
            server,
            tls: tls.map(Into::into),
            username: self.user.clone(),
            // It goes with the login of each connection.
            password: self
                .password
                .as_ref()
                .map(|password| password.expose().clone()),
            database: self.database,
            ..Config::default()
        })
    }
}

fn connector(trusted: Option<ClientConfig>) -> Result<TlsConnector, Error> {
    if let Some(trusted) = trusted {
        return Ok(trusted.into());
    }
    // Fails if a provider is installed already, which then is used.
    rustls::crypto::aws_lc_rs::default_provider()
        .install_default()
        .ok();
    TlsConnector::default_rustls()
}

/// The text is not an address of Redis. It is not quoted: it may contain a password.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "expected redis://[USER:PASSWORD@]HOST[:PORT][/DB], redis-cluster://HOST[:PORT],… or \
     redis-sentinel://HOST[:PORT],…/SERVICE (rediss for TLS)"
)]
pub struct BadRedisUrl;

impl FromStr for RedisUrl {
    type Err = BadRedisUrl;

    fn from_str(text: &str) -> Result<Self, BadRedisUrl> {
        let (scheme, rest) = text.split_once("://").ok_or(BadRedisUrl)?;
        let (family, kind) = scheme.split_once('-').unwrap_or((scheme, ""));
        let tls = match family {
            "redis" => false,
            "rediss" => true,
            _ => return Err(BadRedisUrl),
        };
        // The password may contain an unescaped `@`; a host cannot.
        let (login, rest) = match rest.rsplit_once('@') {
            Some((login, rest)) => (Some(login), rest),
            None => (None, rest),
        };
        let (user, password) = login.map_or(Ok((None, None)), read_login)?;
        let (hosts, path) = rest.split_once('/').unwrap_or((rest, ""));
        let kind = match (kind, path) {
            ("", _) => RedisKind::Single,
            ("cluster", "") => RedisKind::Cluster,
            ("sentinel", service) if !service.is_empty() => RedisKind::Sentinel {
                service: unescape(service)?,
            },
            _ => return Err(BadRedisUrl),
        };
        let is_single = kind == RedisKind::Single;
        let database = match path {
            number if is_single && !number.is_empty() => {
                Some(number.parse().ok().ok_or(BadRedisUrl)?)
            }
            _ => None,
        };
        let port = match kind {
            RedisKind::Sentinel { .. } => SENTINEL_PORT,
            RedisKind::Single | RedisKind::Cluster => PORT,
        };
        let hosts: Vec<_> = hosts
            .split(',')
            .map(|host| read_host(host, port))
            .collect::<Result<_, _>>()?;
        if hosts.len() > HOSTS_MAX || is_single && hosts.len() > 1 {
            return Err(BadRedisUrl);
        }
        Ok(Self {
            kind,
            tls,
            hosts,
            user,
            password,
            database,
        })
    }
}

type Login = (Option<String>, Option<Secret<String>>);

/// `user:password`, `:password` or, as often written, the password alone.
fn read_login(text: &str) -> Result<Login, BadRedisUrl> {
    let (user, password) = text.split_once(':').unwrap_or(("", text));
    if password.is_empty() {
        return Err(BadRedisUrl);
    }
    let user = (!user.is_empty()).then(|| unescape(user)).transpose()?;
    Ok((user, Some(Secret::new(unescape(password)?))))
}

/// `host`, `host:port`, `[address]` or `[address]:port`.
fn read_host(text: &str, port: u16) -> Result<(String, u16), BadRedisUrl> {
    let (host, after) = match text.strip_prefix('[') {
        Some(inner) => inner.split_once(']').ok_or(BadRedisUrl)?,
        None => text.split_at(text.find(':').unwrap_or(text.len())),
    };
    let port = match after.strip_prefix(':') {
        Some(number) => number.parse().ok().ok_or(BadRedisUrl)?,
        None if after.is_empty() => port,
        None => return Err(BadRedisUrl),
    };
    let is_part = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | ':');
    if host.is_empty() || !host.chars().all(is_part) {
        return Err(BadRedisUrl);
    }
    Ok((host.to_owned(), port))
}

/// Percent-encoding undone (RFC 3986 §2.1).
fn unescape(text: &str) -> Result<String, BadRedisUrl> {
    let mut parts = text.split('%');
    let mut bytes = parts.next().unwrap_or_default().as_bytes().to_vec();
    for part in parts {
        let code = part.get(..2).ok_or(BadRedisUrl)?;
        // The number's own parser would also accept a sign.
        let is_hex = code.chars().all(|c| c.is_ascii_hexdigit());
        let byte = u8::from_str_radix(code, 16).ok().filter(|_| is_hex);
        bytes.push(byte.ok_or(BadRedisUrl)?);
        bytes.extend_from_slice(&part.as_bytes()[2..]);
    }
    String::from_utf8(bytes).ok().ok_or(BadRedisUrl)
}

impl fmt::Display for RedisUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let family = if self.tls { "rediss" } else { "redis" };
        let (kind, path) = match &self.kind {
            RedisKind::Single => ("", self.database.map(|number| number.to_string())),
            RedisKind::Cluster => ("-cluster", None),
            RedisKind::Sentinel { service } => ("-sentinel", Some(service.clone())),
        };
        write!(f, "{family}{kind}://")?;
        for (nth, (host, port)) in self.hosts.iter().enumerate() {
            let comma = if nth == 0 { "" } else { "," };
            match host.contains(':') {
                true => write!(f, "{comma}[{host}]:{port}")?,
                false => write!(f, "{comma}{host}:{port}")?,
            }
        }
        path.map_or(Ok(()), |path| write!(f, "/{path}"))
    }
}

impl fmt::Debug for RedisUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Connection settings of every client: each command is attempted once, and none is redirected to
/// another node of a cluster.
///
/// While a slot is being migrated, its old owner redirects commands for keys that it does not have
/// to the new one (`ASK`). fred 10.1 takes the next answer of the new owner, whatever it belongs
/// to, for the reply to `ASKING`, and asks the old owner again; or, with no attempt left, ends all
/// its connections for good. Without redirection only the command fails; the client updates its
/// slot map from a `MOVED` all the same.
#[must_use]
pub fn connection_config() -> ConnectionConfig {
    ConnectionConfig {
        max_command_attempts: 1,
        max_redirections: 0,
        ..ConnectionConfig::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `text` is read and shown as `shown`.
    fn check(text: &str, shown: &str) -> RedisUrl {
        let url: RedisUrl = text.parse().unwrap();
        assert_eq!(url.to_string(), shown, "{text}");
        url
    }

    #[test]
    fn addresses_are_read() {
        check("redis://localhost", "redis://localhost:6379");
        check("redis://10.0.0.1:7000/3", "redis://10.0.0.1:7000/3");
        check("rediss://[::1]:7", "rediss://[::1]:7");
        check(
            "redis-cluster://a,b:7001,c",
            "redis-cluster://a:6379,b:7001,c:6379",
        );
        check("rediss-cluster://a", "rediss-cluster://a:6379");
        let url = check(
            "redis-sentinel://a,b/main",
            "redis-sentinel://a:26379,b:26379/main",
        );
        let service = "main".to_owned();
        assert_eq!(url.kind, RedisKind::Sentinel { service });
    }

    #[test]
    fn logins_are_read_and_never_shown() {
        for (text, user, password) in [
            ("redis://chat:pa%3ass%40@h", Some("chat"), "pa:ss@"),
            ("redis://:hunter2@h", None, "hunter2"),
            ("redis://hunter2@h", None, "hunter2"),
            ("redis://chat:hun@ter2@h", Some("chat"), "hun@ter2"),
        ] {
            let url = check(text, "redis://h:6379");
            assert_eq!(url.user.as_deref(), user);
            assert_eq!(url.password.as_ref().unwrap().expose(), password);
            let debug = format!("{url:?}");
            assert!(!debug.contains(password), "{debug}");
        }
    }

    #[test]
    fn client_is_told_all_of_it() {
        let config = |text: &str| {
            let url: RedisUrl = text.parse().unwrap();
            url.client_config(None).unwrap()
        };
        let single = config("redis://chat:hunter2@h:7/3");
        assert_eq!(single.server.hosts(), vec![Server::new("h", 7)]);
        assert_eq!(single.username.as_deref(), Some("chat"));
        assert_eq!(single.password.as_deref(), Some("hunter2"));
        assert_eq!((single.database, single.tls.is_some()), (Some(3), false));
        let cluster = config("rediss-cluster://a,b:7");
        assert!(cluster.server.is_clustered() && cluster.tls.is_some());
        assert_eq!(cluster.server.hosts().len(), 2);
        let sentinels = config("redis-sentinel://a/main").server;
        assert!(
            matches!(sentinels, ServerConfig::Sentinel { service_name, .. }
            if service_name == "main")
        );
    }

    #[test]
    fn what_is_no_address_is_refused_without_being_quoted() {
        for wrong in [
            "redis",
            "redis://",
            "redis:///0",
            "http://h",
            "redis-ring://h",
            "redis://h:port",
            "redis://h/x",
            "redis://h/256",
            "redis://a,b",
            "redis-cluster://h/0",
            "redis-cluster://a,,b",
            "redis-sentinel://h",
            "redis://user:@h",
            "redis://u:%zz@h",
            "redis://u:%+f@h",
            "redis://[::1",
            "redis://h h",
        ] {
            let error = wrong.parse::<RedisUrl>().unwrap_err();
            assert!(!error.to_string().contains("hunter"), "{wrong}");
        }
    }
}
