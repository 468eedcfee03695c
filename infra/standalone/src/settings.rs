//! Command line: the commands and their settings. `--help` is their reference.
//!
//! Each command is a `clap` struct of its own rather than a subcommand of one, so that a mistake in
//! the arguments of `token` or `room` is reported in the form of all others.

use std::collections::HashSet;
use std::ffi::OsString;
use std::io::Write as _;
use std::net::SocketAddr;
use std::path::PathBuf;

use chat_server::config::ChatLimits;
use clap::{CommandFactory as _, Parser};
use market_api::config::{MarketLimits, check_origins, parse_base_url};
use reqwest::Url;
use shared::config::{EX_USAGE, Mistake, Mistakes, NoSettings, Settings, parse};
use shared::ids::MemberId;
use shared::telemetry::{LogFilter, LogFormat};
use shared::trace::export::TraceSettings;

/// The command.
#[derive(Debug)]
pub(crate) enum Command {
    /// Serve everything on one port.
    Serve(Box<Serve>),
    /// Print an access token.
    Token(Token),
    /// Create a room in a running server.
    Room(Room),
}

impl Command {
    /// Log format and filter. Commands that print a result log nothing; their errors are plain
    /// lines.
    pub(crate) fn logs(&self) -> (LogFormat, LogFilter) {
        match self {
            Self::Serve(serve) => (serve.log_format, serve.log.clone()),
            Self::Token(_) | Self::Room(_) => (LogFormat::Human, LogFilter::off()),
        }
    }
}

const COMMANDS: &str = "Commands (each has a --help of its own):
  dapanda          serves on one port
  dapanda token    prints an access token of a member
  dapanda room     makes a room in a running server and prints its id";

/// DaPanDa in one process: chat, demo members 1 to 8 and a page to try it, on one port
#[derive(Clone, Debug, Parser)]
#[command(name = "dapanda", version, after_help = COMMANDS)]
pub(crate) struct Serve {
    /// Address of the server. Everybody who reaches it may log in as any demo member, and as administrator:
    /// keep it on this computer
    #[arg(
        long,
        env = "DAPANDA_LISTEN",
        default_value = "127.0.0.1:8080",
        value_name = "ADDRESS:PORT"
    )]
    pub(crate) listen: SocketAddr,

    /// Host names that this program accepts besides the local ones (localhost). It protects against
    /// pages of other sites whose names resolve to this computer
    #[arg(
        long,
        env = "DAPANDA_HOSTS",
        value_delimiter = ',',
        value_name = "NAME,NAME…"
    )]
    pub(crate) hosts: Vec<String>,

    /// Data folder: messages, rooms, the market's database, the key that signs tokens
    #[arg(
        long,
        env = "DAPANDA_DATA",
        default_value = "./data",
        value_name = "DIR"
    )]
    pub(crate) data: PathBuf,

    /// URL of the front end, if it is not the page of this program: a login ends there. Its origin
    /// is allowed
    #[arg(long, env = "DAPANDA_FRONT_URL", value_name = "URL", value_parser = parse_base_url)]
    pub(crate) front_url: Option<Url>,

    /// Pages of these origins may use cookies here; this program's own always may. Comma-separated
    #[arg(
        long,
        env = "DAPANDA_ALLOWED_ORIGINS",
        default_value = "http://localhost:3000",
        value_delimiter = ',',
        value_name = "ORIGIN"
    )]
    pub(crate) allowed_origins: Vec<String>,

    /// Where browsers find this program for pictures, if not where they find it for the rest
    #[arg(long, env = "DAPANDA_IMAGES_PUBLIC_URL", value_name = "URL", value_parser = parse_base_url)]
    pub(crate) images_public_url: Option<Url>,

    /// Limits of the chat server
    #[command(flatten)]
    pub(crate) chat: ChatLimits,

    /// Limits of the market
    #[command(flatten)]
    pub(crate) market: MarketLimits,

    /// Where traces go
    #[command(flatten)]
    pub(crate) traces: TraceSettings,

    /// Format of the log
    #[arg(long, env = "DAPANDA_LOG_FORMAT", value_enum, default_value_t = LogFormat::Human)]
    pub(crate) log_format: LogFormat,

    /// Filter of the log: a level, or levels by module
    #[arg(
        long,
        env = "DAPANDA_LOG",
        default_value = "info,fjall=warn,lsm_tree=warn",
        value_name = "FILTER"
    )]
    pub(crate) log: LogFilter,
}

/// Prints an access token that a server on the same folder accepts for an hour
#[derive(Clone, Debug, Parser)]
#[command(name = "dapanda token")]
pub(crate) struct Token {
    /// The member
    #[arg(long, value_name = "N")]
    pub(crate) member: MemberId,

    /// Data folder of the server; a key is created if there is none
    #[arg(
        long,
        env = "DAPANDA_DATA",
        default_value = "./data",
        value_name = "DIR"
    )]
    pub(crate) data: PathBuf,
}

/// Creates a room in a running server and prints its id
#[derive(Clone, Debug, Parser)]
#[command(name = "dapanda room")]
pub(crate) struct Room {
    /// Members of the room: 1,2,5
    #[arg(long, required = true, value_delimiter = ',', value_name = "N,N…")]
    pub(crate) members: Vec<MemberId>,

    /// Accepts bodies that are not chat messages, and delivers them byte for byte
    #[arg(long)]
    pub(crate) opaque: bool,

    /// Data folder of the running server, which has the key that it trusts
    #[arg(
        long,
        env = "DAPANDA_DATA",
        default_value = "./data",
        value_name = "DIR"
    )]
    pub(crate) data: PathBuf,

    /// URL of the server
    #[arg(
        long,
        env = "DAPANDA_SERVER",
        default_value = "http://localhost:8080",
        value_name = "URL"
    )]
    pub(crate) server: Url,
}

impl Settings for Serve {
    fn check(&self, mistakes: &mut Mistakes) {
        self.chat.check(mistakes);
        self.market.check(mistakes);
        check_origins(&self.allowed_origins, mistakes);
    }
}

impl Serve {
    /// The origins whose pages may use cookies, including the front end's.
    pub(crate) fn origins(&self) -> Vec<String> {
        let front = self.front_url.iter();
        let front = front.map(|url| url.origin().ascii_serialization());
        let mut origins: Vec<_> = front.chain(self.allowed_origins.iter().cloned()).collect();
        origins.dedup();
        origins
    }

    /// The host names of the settings, including that of the pictures.
    pub(crate) fn hosts(&self) -> Vec<String> {
        let images = self.images_public_url.iter();
        let images = images.filter_map(|url| url.host_str().map(str::to_owned));
        self.hosts.iter().cloned().chain(images).collect()
    }
}

impl Settings for Token {
    fn check(&self, _mistakes: &mut Mistakes) {}
}

impl Settings for Room {
    fn check(&self, mistakes: &mut Mistakes) {
        let mut seen = HashSet::new();
        if let Some(twice) = self.members.iter().find(|member| !seen.insert(**member)) {
            let what = format!("member {twice} stands there twice");
            let right = "each member once".to_owned();
            mistakes.add("members", Mistake { what, right });
        }
        if self.server.scheme() != "http" || !self.server.has_host() {
            let what = format!("{} is not accepted", self.server);
            let right = "http://HOST:PORT".to_owned();
            mistakes.add("server", Mistake { what, right });
        }
    }
}

/// Reads the command line (the program's name first) and the environment.
pub(crate) fn read(args: impl IntoIterator<Item = OsString>) -> Result<Command, NoSettings> {
    let mut args: Vec<OsString> = args.into_iter().collect();
    let command = args.get(1).and_then(|word| word.to_str());
    match command {
        Some("token") => {
            args.remove(1);
            parse(args).map(Command::Token)
        }
        Some("room") => {
            args.remove(1);
            parse(args).map(Command::Room)
        }
        Some("serve") => {
            args.remove(1);
            let mut mistakes = match parse::<Serve>(args) {
                Ok(_) => Mistakes::of(&Serve::command()),
                Err(NoSettings::Wrong(mistakes)) => mistakes,
                Err(asked @ NoSettings::Asked(_)) => return Err(asked),
            };
            let right = "no word, since dapanda alone serves".to_owned();
            let what = "is no command".to_owned();
            mistakes.add("serve", Mistake { what, right });
            Err(NoSettings::Wrong(mistakes))
        }
        Some(_) | None => parse(args).map(|serve| Command::Serve(Box::new(serve))),
    }
}

/// As [`read`], or ends the process with the mistakes or the requested help.
pub(crate) fn read_or_exit() -> Command {
    // If the report cannot be written, the exit code still shows the failure.
    let (written, code) = match read(std::env::args_os()) {
        Ok(command) => return command,
        Err(NoSettings::Asked(text)) => (write!(std::io::stdout(), "{text}"), 0),
        Err(NoSettings::Wrong(mistakes)) => (write!(std::io::stderr(), "{mistakes}"), EX_USAGE),
    };
    drop(written);
    std::process::exit(code.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The command line is wrong, and the report names all of these.
    fn check(args: &[&str], expected: &[&str]) {
        let words = std::iter::once(&"dapanda").chain(args).map(OsString::from);
        let Err(NoSettings::Wrong(mistakes)) = read(words) else {
            panic!("accepted: {args:?}")
        };
        let report = mistakes.to_string();
        for part in expected {
            assert!(report.contains(part), "{part} is missing in: {report}");
        }
    }

    #[test]
    fn every_command_reports_its_mistakes() {
        check(&["--listen", "here"], &["--listen (DAPANDA_LISTEN)"]);
        check(&["--sync", "0s"], &["--sync"]);
        check(&["--colour", "red"], &["--colour is unknown"]);
        check(&["--front-url", "http://h/?x"], &["--front-url"]);
        check(&["--images-public-url", "h"], &["--images-public-url"]);
        check(&["--address-rate=-1"], &["--address-rate"]);
        // Rules between values are reported together.
        check(
            &["--allowed-origins", "http://h/", "--head-time", "0s"],
            &["--allowed-origins", "--head-time"],
        );
        check(&["token", "--member", "0"], &["--member"]);
        check(
            &["token", "--member", "1", "--date", "x"],
            &["--date is unknown"],
        );
        check(&["room", "--members", "1,2,x"], &["--members"]);
        check(&["room", "--members", "1", "--server", "?"], &["--server"]);
    }

    #[test]
    fn the_chat_servers_flags_are_here_too() {
        let args = [
            "dapanda",
            "--sync=50ms",
            "--frame-bytes-max=1MiB",
            "--message-chars-max=500",
            "--send-time-limit=5s",
            "--sends-per-second=0",
            "--heart-beat=500,1000",
            "--connections-max=7",
        ];
        let Ok(Command::Serve(serve)) = read(args.map(OsString::from)) else {
            panic!("refused")
        };
        assert_eq!(serve.chat.message_chars_max, 500);
        assert_eq!(serve.chat.frame_bytes_max, 1 << 20);
        check(&["--connections-max", "0"], &["--connections-max"]);
    }

    /// The one listener has one idle time.
    #[test]
    fn only_the_idle_time_that_has_an_effect_is_a_setting() {
        let args = ["dapanda", "--idle-time=3s"].map(OsString::from);
        let Ok(Command::Serve(serve)) = read(args) else {
            panic!("refused")
        };
        let idle_time = serve.market.serving(&[]).idle_time;
        assert_eq!(idle_time, std::time::Duration::from_secs(3));
        let unknown = "--http-idle-time is unknown";
        check(&["--http-idle-time", "3s"], &[unknown]);
    }

    #[test]
    fn a_room_needs_members_once_each_and_a_server() {
        check(&["room"], &["--members"]);
        check(&["room", "--members", "1,2,1"], &["member 1"]);
        check(
            &["room", "--members", "1", "--server", "file:///x"],
            &["--server"],
        );
    }

    #[test]
    fn a_misspelt_command_is_a_mistake() {
        check(&["tokn", "--member", "1"], &["tokn"]);
        let hint = "serve: is no command; right: no word";
        check(&["serve"], &["1 mistake", hint]);
        check(
            &["serve", "--listen", "x"],
            &["2 mistakes", "--listen", hint],
        );
    }
}
