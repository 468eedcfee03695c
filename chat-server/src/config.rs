//! The settings of the chat server; `--help` is their reference.

mod bounds;
mod bus;
mod command;
mod push;
mod stop;
mod store;

use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::time::Duration;

use clap::{Args, Parser};
use shared::claims::TokenScope;
use shared::config::{Mistake, Mistakes, Settings, parse_bytes, parse_duration};
use shared::limits::OpenFiles;
use shared::telemetry::{LogFilter, LogFormat};
use shared::trace::export::TraceSettings;
use shared::web::{Serving, cors};
use stomp::HeartBeat;

use crate::auth::KeySource;
use crate::store::SyncMode;
pub use bounds::Bounds;
pub use bus::{BusUrl, RedisFlags};
pub use command::{Command, CommandLine};
pub use push::{AccountSource, PushFlags};
pub use stop::{CLOSE_MAX, Rebalance, StopTimes};
pub use store::{ConsistencyFlag, ScyllaFlags, StoreUrl};

/// The chat server: STOMP over WebSocket at `/conn`, chat REST under `/api`
#[derive(Clone, Debug, Parser)]
#[command(name = "chat-server", version)]
pub struct Config {
    /// Address for clients
    #[arg(
        long,
        env = "CHAT_LISTEN",
        default_value = "127.0.0.1:8081",
        value_name = "ADDRESS:PORT"
    )]
    pub listen: SocketAddr,

    /// Address for metrics, health and the internal room API; never public
    #[arg(
        long,
        env = "CHAT_ADMIN_LISTEN",
        default_value = "127.0.0.1:9081",
        value_name = "ADDRESS:PORT"
    )]
    pub admin_listen: SocketAddr,

    /// Message store: file:FOLDER, for this process alone; or scylla://HOST,HOST/KEYSPACE, with
    /// USER:PASSWORD@ before the hosts (the password as it is) and :PORT behind each if needed
    #[arg(
        long,
        env = "CHAT_STORE",
        hide_env_values = true, // it may hold a password
        default_value = "file:./data/chat",
        value_name = "URL"
    )]
    pub store: StoreUrl,

    /// Options of a distributed store
    #[command(flatten)]
    pub scylla: ScyllaFlags,

    /// Bus between nodes: local (this is the only node), redis://HOST, redis-cluster://HOST,HOST or
    /// redis-sentinel://HOST,HOST/SERVICE, with USER:PASSWORD@ before the hosts, :PORT behind each
    /// and /DB at the end if needed; rediss for TLS
    #[arg(
        long,
        env = "CHAT_BUS",
        hide_env_values = true,
        default_value = "local",
        value_name = "URL"
    )]
    pub bus: BusUrl,

    /// Options of a Redis bus
    #[command(flatten)]
    pub redis: RedisFlags,

    /// Public keys that verify tokens (a JWKS): a URL, or file:PATH
    #[arg(
        long,
        env = "CHAT_JWKS",
        default_value = "http://127.0.0.1:8082/.well-known/jwks.json",
        value_name = "URL",
        value_parser = parse_jwks
    )]
    pub jwks: KeySource,

    /// The `iss` that tokens must have
    #[arg(long, env = "CHAT_TOKEN_ISSUER", default_value = "dapanda")]
    pub token_issuer: String,

    /// The `aud` that tokens must have
    #[arg(long, env = "CHAT_TOKEN_AUDIENCE", default_value = "dapanda")]
    pub token_audience: String,

    /// Origins whose pages may use cookies here, besides the server's own. Comma-separated
    #[arg(
        long,
        env = "CHAT_ALLOWED_ORIGINS",
        default_value = "http://localhost:3000",
        value_delimiter = ',',
        value_name = "ORIGIN"
    )]
    pub allowed_origins: Vec<String>,

    /// Idle time-out of an HTTP connection between two requests. Longer than the load balancer's own, or
    /// requests sent while the connection closes are lost
    #[arg(long, env = "CHAT_HTTP_IDLE_TIME", default_value = "75s", value_parser = parse_duration,
        value_name = "TIME")]
    pub http_idle_time: Duration,

    /// Push notifications
    #[command(flatten)]
    pub push: PushFlags,

    /// Limits and time-outs
    #[command(flatten)]
    pub limits: ChatLimits,

    /// Times of a stop
    #[command(flatten)]
    pub stop: StopTimes,

    /// Where traces go
    #[command(flatten)]
    pub traces: TraceSettings,

    /// Format of log lines
    #[arg(long, env = "CHAT_LOG_FORMAT", value_enum, default_value_t = LogFormat::Human)]
    pub log_format: LogFormat,

    /// Log filter: a level, or levels by module
    #[arg(long, env = "CHAT_LOG", default_value = "info", value_name = "FILTER")]
    pub log: LogFilter,
}

/// Limits, time-outs and durability of a chat server, whatever its store. A struct of its own, so
/// that a program with a chat server inside has the same flags. Settings of the listener are not here,
/// because such a program has one of its own.
#[derive(Clone, Debug, PartialEq, Eq, Args)]
pub struct ChatLimits {
    /// When stored messages reach the disk: `always`, before they are acknowledged, many at a time;
    /// or an interval such as 50ms: faster, but a power failure loses up to that much. Either way
    /// they survive a crash of this program
    #[arg(long, env = "CHAT_SYNC", default_value = "always", value_name = "always|INTERVAL",
        value_parser = parse_sync)]
    pub sync: SyncMode,

    /// Connections of this node; further ones get 503. Lowered, with a warning in the log, if the
    /// system allows the process too few open files
    #[arg(
        long,
        env = "CHAT_CONNECTIONS_MAX",
        default_value_t = 50_000,
        value_name = "COUNT"
    )]
    pub connections_max: usize,

    /// Time-out from the first byte to a whole request, and again from the upgrade to the accepted
    /// CONNECT
    #[arg(long, env = "CHAT_LOGIN_TIMEOUT", default_value = "10s", value_parser = parse_duration,
        value_name = "TIME")]
    pub login_timeout: Duration,

    /// Heart-beats, in milliseconds: the shortest interval at which this server sends, and the
    /// interval that it requests from clients. The server accepts a client's own
    /// interval between the two
    #[arg(long, env = "CHAT_HEART_BEAT", default_value = "1000,25000", value_parser = parse_heart_beat,
        value_name = "SENDS,HEARS")]
    pub heart_beat: HeartBeat,

    /// Silence after which a WebSocket ping is sent; after as much again the connection is closed
    #[arg(long, env = "CHAT_PING_INTERVAL", default_value = "30s", value_parser = parse_duration,
        value_name = "TIME")]
    pub ping_interval: Duration,

    /// Time without progress in sending after which a connection is closed; the client can resume
    #[arg(long, env = "CHAT_SEND_TIME_LIMIT", default_value = "30s", value_parser = parse_duration,
        value_name = "TIME")]
    pub send_time_limit: Duration,

    /// Longest chat message, in characters
    #[arg(
        long,
        env = "CHAT_MESSAGE_CHARS_MAX",
        default_value_t = 250,
        value_name = "COUNT"
    )]
    pub message_chars_max: usize,

    /// Largest STOMP frame after login, in bytes
    #[arg(long, env = "CHAT_FRAME_BYTES_MAX", default_value = "65536", value_parser = parse_bytes,
        value_name = "BYTES")]
    pub frame_bytes_max: usize,

    /// Rate limit: messages of a connection per second, with bursts of five times as many; 0: no
    /// limit
    #[arg(
        long,
        env = "CHAT_SENDS_PER_SECOND",
        default_value_t = 20,
        value_name = "COUNT"
    )]
    pub sends_per_second: u32,

    /// Maximum age of a connection that logged in by cookie
    #[arg(long, env = "CHAT_CONNECTION_AGE_MAX", default_value = "24h", value_parser = parse_duration,
        value_name = "TIME")]
    pub connection_age_max: Duration,

    /// Rebalancing of clients over the nodes
    #[command(flatten)]
    pub rebalance: Rebalance,

    /// Start a subscription without a position at the member's read mark, not at the newest
    /// message: for old front ends, which send no position and would miss messages
    #[arg(long, env = "CHAT_REPLAY_UNREAD")]
    pub replay_unread: bool,

    /// Limits of a member and of a connection
    #[command(flatten)]
    pub bounds: Bounds,
}

/// The text is none of the forms the setting has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected {0}")]
pub struct Unreadable(&'static str);

fn parse_sync(text: &str) -> Result<SyncMode, Unreadable> {
    if text == "always" {
        return Ok(SyncMode::Always);
    }
    match parse_duration(text) {
        Ok(interval) if !interval.is_zero() => Ok(SyncMode::Every(interval)),
        Ok(_) | Err(_) => Err(Unreadable("always, or an interval such as 50ms")),
    }
}

fn parse_jwks(text: &str) -> Result<KeySource, Unreadable> {
    let path = text
        .strip_prefix("file:")
        .map(|path| path.trim_start_matches("//"));
    match path {
        Some(path) if !path.is_empty() => Ok(KeySource::File(path.into())),
        None if text.starts_with("http://") || text.starts_with("https://") => {
            Ok(KeySource::Url(text.to_owned()))
        }
        Some(_) | None => Err(Unreadable("a URL of http or https, or file:PATH")),
    }
}

fn parse_heart_beat(text: &str) -> Result<HeartBeat, Unreadable> {
    HeartBeat::parse(text).ok_or(Unreadable(
        "two numbers of milliseconds, such as 1000,25000",
    ))
}

impl Config {
    /// Issuer and audience of valid tokens.
    #[must_use]
    pub fn token_scope(&self) -> TokenScope {
        TokenScope {
            issuer: self.token_issuer.clone(),
            audience: self.token_audience.clone(),
        }
    }
}

impl ChatLimits {
    /// [`Self::sends_per_second`], 0 being no limit.
    #[must_use]
    pub fn sends_limit(&self) -> Option<NonZeroU32> {
        NonZeroU32::new(self.sends_per_second)
    }

    /// Lowers the limit of connections to the number of files that the system allows, with a
    /// warning.
    pub fn fit(&mut self, files: OpenFiles) {
        self.connections_max = files.fit_connections(self.connections_max);
    }

    /// Notes every value that makes no sense.
    pub fn check(&self, mistakes: &mut Mistakes) {
        self.bounds.check(mistakes);
        let mut must = |good, setting, what, right| must(mistakes, good, setting, what, right);
        let times = [
            ("login_timeout", self.login_timeout),
            ("ping_interval", self.ping_interval),
            ("send_time_limit", self.send_time_limit),
            ("connection_age_max", self.connection_age_max),
        ];
        for (setting, time) in times {
            must(
                time >= Duration::from_secs(1),
                setting,
                format!("{time:?}"),
                "1s or more",
            );
        }
        let counts = [
            ("connections_max", self.connections_max),
            ("message_chars_max", self.message_chars_max),
        ];
        for (setting, count) in counts {
            must(count > 0, setting, count.to_string(), "1 or more");
        }
        let frame = self.frame_bytes_max;
        let fits = (1 << 10..=16 << 20).contains(&frame);
        must(
            fits,
            "frame_bytes_max",
            frame.to_string(),
            "from 1KiB to 16MiB",
        );
    }
}

impl Settings for CommandLine {
    fn check(&self, mistakes: &mut Mistakes) {
        if self.command.is_none() {
            self.config.check(mistakes);
        }
    }
}

impl Config {
    /// How clients are served.
    #[must_use]
    pub fn serving(&self) -> Serving {
        Serving {
            idle_time: self.http_idle_time,
            cors: Some(cors(&self.allowed_origins)),
            ..self.limits.login_timeout.into()
        }
    }
}

impl Settings for Config {
    fn check(&self, mistakes: &mut Mistakes) {
        self.limits.check(mistakes);
        self.stop.check(mistakes);
        self.scylla.check(mistakes);
        self.redis.check(&self.bus, mistakes);
        self.push.check(mistakes);
        let mut must = |good, setting, what, right| must(mistakes, good, setting, what, right);
        must(
            self.http_idle_time >= Duration::from_secs(1),
            "http_idle_time",
            format!("{:?}", self.http_idle_time),
            "1s or more",
        );
        let has_bytes = |text: &str| !text.is_empty();
        must(
            has_bytes(&self.token_issuer),
            "token_issuer",
            String::new(),
            "the market's name",
        );
        must(
            has_bytes(&self.token_audience),
            "token_audience",
            String::new(),
            "the site's name",
        );
        for origin in &self.allowed_origins {
            let right = "the like of https://dapanda.example: scheme and host, no path";
            must(is_origin(origin), "allowed_origins", origin.clone(), right);
        }
    }
}

/// Notes that a setting is not `right` if it is not good.
fn must(mistakes: &mut Mistakes, good: bool, setting: &str, what: String, right: &str) {
    if !good {
        let right = right.to_owned();
        mistakes.add(setting, Mistake { what, right });
    }
}

/// Scheme, host and perhaps a port, nothing behind (RFC 6454 §7).
fn is_origin(text: &str) -> bool {
    let host = text
        .strip_prefix("https://")
        .or_else(|| text.strip_prefix("http://"));
    host.is_some_and(|host| {
        !host.is_empty() && !host.contains(|c: char| c == '/' || c == '?' || c.is_whitespace())
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use shared::config::{NoSettings, parse};

    #[test]
    fn the_defaults_are_good() {
        let config: Config = parse(["chat-server"]).unwrap();
        assert_eq!(config.store, StoreUrl::File("./data/chat".into()));
        assert_eq!(config.limits.sync, SyncMode::Always);
        assert_eq!(
            config.limits.heart_beat,
            HeartBeat {
                can_send_ms: 1_000,
                wants_ms: 25_000
            }
        );
    }

    #[test]
    fn wrong_value_is_reported_with_its_flag_and_variable() {
        for (flag, value, part) in [
            ("--listen", "here", "--listen (CHAT_LISTEN)"),
            ("--store", "tape:", "--store (CHAT_STORE)"),
            ("--sync", "0s", "--sync (CHAT_SYNC)"),
        ] {
            let parsed = parse::<Config>(["chat-server", flag, value]);
            let Err(NoSettings::Wrong(mistakes)) = parsed else {
                panic!("accepted: {flag}")
            };
            let report = mistakes.to_string();
            assert!(report.contains(part), "{part} is missing in: {report}");
        }
    }

    #[test]
    fn the_password_of_the_bus_is_never_shown() {
        let right = ["chat-server", "--bus", "redis://chat:hunter2@localhost/1"];
        let config: Config = parse(right).unwrap();
        assert!(!format!("{config:?}").contains("hunter2"));
        let wrong = ["chat-server", "--bus", "redis://chat:hunter2@localhost/one"];
        let Err(NoSettings::Wrong(mistakes)) = parse::<Config>(wrong) else {
            panic!("accepted")
        };
        let report = mistakes.to_string();
        assert!(report.contains("--bus (CHAT_BUS)"), "{report}");
        assert!(!report.contains("hunter2"), "{report}");
    }

    #[test]
    fn values_that_make_no_sense_are_refused() {
        for args in [
            ["--login-timeout", "10ms"],
            ["--http-idle-time", "10ms"],
            ["--connections-max", "0"],
            ["--frame-bytes-max", "1"],
            ["--allowed-origins", "dapanda.example"],
            ["--allowed-origins", "https://dapanda.example/"],
            ["--heart-beat", "1"],
            ["--jwks", "keys.json"],
            ["--bus", "redis"],
            ["--bus", "redis-cluster://a/b"],
            ["--bus-prefix", "a{b}"],
            ["--bus-ca", "ca.pem"],
        ] {
            let args = ["chat-server", args[0], args[1]];
            assert!(
                matches!(parse::<Config>(args), Err(NoSettings::Wrong(_))),
                "{args:?}"
            );
        }
    }
}
