//! Settings: one `clap` struct per program, read from the command line and the environment.
//!
//! A settings struct is an ordinary `clap::Parser` with typed fields; rules between fields are in
//! [`Settings::check`], which runs once every single value is valid and reports every rule that is
//! broken. `clap` itself stops at its first error. That error is reported in the same form, because
//! the text of `clap` names no environment variable, says less about what would be right, and shows
//! the value of a secret.
//!
//! What this module does not do: read files, and hold any setting of either server.
//!
//! ```
//! use clap::Parser;
//! use shared::config::{Mistake, Mistakes, Settings, parse, parse_duration};
//!
//! #[derive(Parser)]
//! struct Chat {
//!     /// How long a connection may make no progress
//!     #[arg(long, env = "CHAT_SEND_TIME_LIMIT", default_value = "30s", value_parser = parse_duration)]
//!     send_time_limit: std::time::Duration,
//! }
//!
//! impl Settings for Chat {
//!     fn check(&self, mistakes: &mut Mistakes) {
//!         if self.send_time_limit.is_zero() {
//!             let what = "no time at all".to_owned();
//!             mistakes.add("send_time_limit", Mistake { what, right: "1s or more".to_owned() });
//!         }
//!     }
//! }
//!
//! assert!(parse::<Chat>(["chat", "--send-time-limit", "10s"]).is_ok());
//! assert!(parse::<Chat>(["chat", "--send-time-limit", "0s"]).is_err());
//! ```

mod mistakes;
mod secret;
mod values;

use std::ffi::OsString;
use std::io::Write as _;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Arg, Command};

pub use mistakes::{Mistake, Mistakes};
pub use secret::Secret;
pub use values::{InvalidByteSize, parse_bytes, parse_duration};

/// Exit code for wrong settings, unknown flags included: `EX_USAGE` of BSD's sysexits.h. It lets a
/// supervisor distinguish them from a crash, so that it need not restart the program.
pub const EX_USAGE: u8 = 64;

/// A program's settings: a `clap` struct and the rules between its fields.
///
/// A secret setting has the type [`Secret<String>`], or `hide_env_values = true` if it is something
/// else (a URL with a password in it): neither `--help` nor a mistake shows it.
pub trait Settings: clap::Parser {
    /// Records every rule between settings that the values break. Called with values that are each
    /// valid.
    fn check(&self, mistakes: &mut Mistakes);
}

/// Why there are no settings.
#[derive(Debug)]
pub enum NoSettings {
    /// `--help` or `--version` was requested: print this text and exit with 0.
    Asked(String),
    /// The settings are wrong. Print them and exit with [`EX_USAGE`].
    Wrong(Mistakes),
}

/// Reads settings from these arguments (the program's name first) and the environment.
///
/// # Errors
/// [`NoSettings`] when help was requested or a setting is wrong.
pub fn parse<S: Settings>(
    args: impl IntoIterator<Item = impl Into<OsString> + Clone>,
) -> Result<S, NoSettings> {
    let mut command = S::command().mut_args(hide_secret);
    let parsed = command
        .try_get_matches_from_mut(args)
        .and_then(|matches| S::from_arg_matches(&matches));
    let mut mistakes = Mistakes::of(&command);
    match parsed {
        Ok(settings) => {
            settings.check(&mut mistakes);
            if mistakes.is_empty() {
                return Ok(settings);
            }
        }
        Err(error) => {
            let kind = error.kind();
            if matches!(kind, ErrorKind::DisplayHelp | ErrorKind::DisplayVersion) {
                return Err(NoSettings::Asked(error.render().to_string()));
            }
            command.build();
            note(&error, &command, &mut mistakes);
        }
    }
    Err(NoSettings::Wrong(mistakes))
}

/// Reads settings from the command line and the environment of this process, or ends it: with the
/// mistakes on standard error and [`EX_USAGE`], or with the help on standard output and 0.
#[must_use]
pub fn parse_or_exit<S: Settings>() -> S {
    // If the report cannot be written, the exit code still shows the failure.
    let (written, code) = match parse(std::env::args_os()) {
        Ok(settings) => return settings,
        Err(NoSettings::Asked(text)) => (write!(std::io::stdout(), "{text}"), 0),
        Err(NoSettings::Wrong(mistakes)) => (write!(std::io::stderr(), "{mistakes}"), EX_USAGE),
    };
    drop(written);
    std::process::exit(code.into())
}

/// Records the error at which `clap` stopped. The command is a built one: only then an argument can
/// be displayed.
fn note(error: &clap::Error, command: &Command, mistakes: &mut Mistakes) {
    let kind = error.kind();
    if matches!(kind, ErrorKind::InvalidValue | ErrorKind::ValueValidation) {
        note_value(error, command, mistakes);
    } else if let Some(ContextValue::Strings(missing)) = error.get(ContextKind::InvalidArg)
        && matches!(kind, ErrorKind::MissingRequiredArgument)
    {
        for shown in missing {
            let arg = find(command, shown);
            let setting = arg.map_or(shown.as_str(), |arg| arg.get_id().as_str());
            let what = "is missing".to_owned();
            let right = right_of(error, arg);
            mistakes.add(setting, Mistake { what, right });
        }
    } else if matches!(kind, ErrorKind::UnknownArgument) {
        let unknown = text_of(error, ContextKind::InvalidArg);
        let right = text_of(error, ContextKind::SuggestedArg).map_or_else(
            || "one of those that --help shows".to_owned(),
            |similar| format!("perhaps {similar}"),
        );
        mistakes.add_text(format!("{} is unknown", unknown.unwrap_or_default()), right);
    } else {
        mistakes.add_text(first_paragraph(error), "what --help shows".to_owned());
    }
}

fn note_value(error: &clap::Error, command: &Command, mistakes: &mut Mistakes) {
    let shown = text_of(error, ContextKind::InvalidArg).unwrap_or_default();
    let value = text_of(error, ContextKind::InvalidValue).unwrap_or_default();
    let Some(arg) = find(command, &shown) else {
        // An argument of a subcommand. Whether its value is secret cannot be determined here, so it
        // is not shown.
        let what = format!("the value of {shown} is not accepted");
        mistakes.add_text(what, right_of(error, None));
        return;
    };
    let what = if arg.is_hide_env_values_set() {
        "the value is not accepted (and not shown)".to_owned()
    } else if value.is_empty() {
        "the value is empty".to_owned()
    } else if has_credentials(&value) {
        let reason = reason_of(error);
        format!("the URL is not accepted (and not shown: it may have a password){reason}")
    } else {
        format!("{value:?} is not accepted{}", reason_of(error))
    };
    let right = right_of(error, Some(arg));
    mistakes.add(arg.get_id().as_str(), Mistake { what, right });
}

/// True for `SCHEME://USER:PASSWORD@…`, also where no such URL is a right value.
fn has_credentials(value: &str) -> bool {
    value
        .split_once("://")
        .is_some_and(|(_, rest)| rest.contains('@'))
}

fn hide_secret(arg: Arg) -> Arg {
    let secret = arg.get_value_parser().type_id() == std::any::TypeId::of::<Secret<String>>();
    if secret {
        arg.hide_env_values(true)
    } else {
        arg
    }
}

/// The argument that `clap` displays in this form, like `--listen <LISTEN>`.
fn find<'a>(command: &'a Command, shown: &str) -> Option<&'a Arg> {
    command.get_arguments().find(|arg| arg.to_string() == shown)
}

fn text_of(error: &clap::Error, kind: ContextKind) -> Option<String> {
    let ContextValue::String(text) = error.get(kind)? else {
        return None;
    };
    Some(text.clone())
}

/// The message of the value's own parser.
fn reason_of(error: &clap::Error) -> String {
    std::error::Error::source(error)
        .map(|reason| format!(": {reason}"))
        .unwrap_or_default()
}

/// The expected value: the accepted values where they can be listed, else the argument's help.
fn right_of(error: &clap::Error, arg: Option<&Arg>) -> String {
    if let Some(ContextValue::Strings(values)) = error.get(ContextKind::ValidValue)
        && !values.is_empty()
    {
        return format!("one of {}", values.join(", "));
    }
    let Some(arg) = arg else {
        return "what --help shows".to_owned();
    };
    let mut right = arg
        .get_help()
        .map_or_else(|| arg.to_string(), ToString::to_string);
    if !arg.is_hide_env_values_set()
        && let [default, ..] = arg.get_default_values()
    {
        right.push_str(&format!(" (default {})", default.to_string_lossy()));
    }
    right
}

/// The sentence of an error without its usage and hints.
fn first_paragraph(error: &clap::Error) -> String {
    let text = error.render().to_string();
    let first = text.split("\n\n").next().unwrap_or_default();
    first
        .trim_start_matches("error: ")
        .trim()
        .replace('\n', " ")
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use clap::{CommandFactory as _, Parser, ValueEnum};
    use proptest::prelude::*;

    use super::*;

    #[derive(Debug, Clone, Copy, PartialEq, ValueEnum)]
    enum Bus {
        Local,
        Redis,
    }

    #[derive(Debug, Parser)]
    #[command(name = "demo", version = "1.2.3")]
    struct Demo {
        /// Address to listen on, like 0.0.0.0:8080
        #[arg(long, env = "DEMO_LISTEN", default_value = "127.0.0.1:8080")]
        listen: std::net::SocketAddr,
        /// How nodes tell each other
        #[arg(long, env = "DEMO_BUS", value_enum, default_value = "local")]
        bus: Bus,
        /// Time between two beats, like 10s
        #[arg(long, env = "DEMO_BEAT", default_value = "10s", value_parser = parse_duration)]
        beat: Duration,
        /// Largest frame, like 64KiB
        #[arg(long, default_value = "64KiB", value_parser = parse_bytes)]
        frame_bytes_max: usize,
        /// Where messages are kept
        #[arg(long, env = "DEMO_STORE")]
        store: String,
        /// Key of the gateway
        #[arg(long, env = "DEMO_KEY")]
        key: Option<Secret<String>>,
        /// A secret port
        #[arg(long, hide_env_values = true, default_value = "4711")]
        port: u16,
        // Cargo sets this variable for every test: a value from the environment without setting one.
        /// Number from the environment
        #[arg(long, env = "CARGO_PKG_NAME")]
        number: Option<u16>,
    }

    impl Settings for Demo {
        fn check(&self, mistakes: &mut Mistakes) {
            if self.beat > Duration::from_secs(60) {
                let right = "60s or less".to_owned();
                mistakes.add(
                    "beat",
                    Mistake {
                        what: format!("{:?} is too long", self.beat),
                        right,
                    },
                );
            }
            if self.frame_bytes_max < 1024 {
                let what = format!("{} bytes are too few", self.frame_bytes_max);
                mistakes.add(
                    "frame_bytes_max",
                    Mistake {
                        what,
                        right: "1KiB or more".to_owned(),
                    },
                );
            }
        }
    }

    const GOOD: [&str; 5] = ["demo", "--store", "file:./data", "--number", "7"];

    fn parse_with(more: &[&str]) -> Result<Demo, NoSettings> {
        parse(GOOD.iter().chain(more))
    }

    fn mistakes(args: &[&str]) -> String {
        match parse::<Demo>(args) {
            Err(NoSettings::Wrong(mistakes)) => mistakes.to_string(),
            other => panic!("expected mistakes, got {other:?}"),
        }
    }

    /// With good settings and these arguments the report has exactly these lines.
    fn check(more: &[&str], expected: &[&str]) {
        let report = mistakes(&[&GOOD, more].concat());
        let lines: Vec<_> = report.lines().collect();
        assert_eq!(lines[1..lines.len() - 1], *expected, "{report}");
    }

    #[test]
    fn good_settings_are_read() {
        let demo = parse_with(&["--beat", "250ms", "--bus=redis", "--key", "k"]).unwrap();
        assert_eq!(demo.beat, Duration::from_millis(250));
        assert_eq!(demo.bus, Bus::Redis);
        assert_eq!(demo.frame_bytes_max, 65_536);
        assert_eq!(demo.listen.port(), 8080);
        assert_eq!(demo.key.unwrap().expose(), "k");
        assert_eq!(
            (demo.store.as_str(), demo.port, demo.number),
            ("file:./data", 4711, Some(7))
        );
    }

    #[test]
    fn wrong_value_is_reported_with_what_would_be_right() {
        for (args, expected) in [
            (
                ["--listen", "nowhere"],
                "  --listen (DEMO_LISTEN): \"nowhere\" is not accepted: invalid socket address \
                 syntax; right: Address to listen on, like 0.0.0.0:8080 (default 127.0.0.1:8080)",
            ),
            (
                ["--bus", "kafka"],
                "  --bus (DEMO_BUS): \"kafka\" is not accepted; right: one of local, redis",
            ),
            (
                ["--beat", "10"],
                "  --beat (DEMO_BEAT): \"10\" is not accepted: time unit needed, for example 10sec or \
                 10ms; right: Time between two beats, like 10s (default 10s)",
            ),
            (
                ["--frame-bytes-max", "64KB"],
                "  --frame-bytes-max: \"64KB\" is not accepted: not a size: expected bytes as a \
                 whole number, or with a unit, like 64KiB, 1MiB or 2GiB; right: Largest frame, like \
                 64KiB (default 64KiB)",
            ),
        ] {
            check(&args, &[expected]);
        }
    }

    #[test]
    fn missing_value_is_reported_with_what_would_be_right() {
        let report = mistakes(&["demo", "--number", "7"]);
        let expected = "demo: 1 mistake in the settings, nothing was started\n  \
                        --store (DEMO_STORE): is missing; right: Where messages are kept\n\
                        demo --help shows every setting\n";
        assert_eq!(report, expected);
    }

    #[test]
    fn wrong_value_of_the_environment_is_reported_with_its_variable() {
        let report = mistakes(&["demo", "--store", "s"]);
        assert!(report.contains("--number (CARGO_PKG_NAME): \"shared\" is not accepted"));
    }

    #[test]
    fn unknown_words_are_reported_with_what_is_similar() {
        let nothing = "is unknown; right: one of those that --help shows";
        check(
            &["--liste", "a"],
            &["  --liste is unknown; right: perhaps --listen"],
        );
        check(&["--zzz=7"], &[&format!("  --zzz {nothing}")]);
        check(&["stray"], &[&format!("  stray {nothing}")]);
        check(&["-q"], &[&format!("  -q {nothing}")]);
    }

    #[test]
    fn rules_between_values_are_reported_at_once() {
        check(
            &["--beat", "2m", "--frame-bytes-max", "10"],
            &[
                "  --beat (DEMO_BEAT): 120s is too long; right: 60s or less",
                "  --frame-bytes-max: 10 bytes are too few; right: 1KiB or more",
            ],
        );
    }

    #[test]
    fn other_errors_are_reported_in_clap_s_words() {
        let report = mistakes(&["demo", "--beat", "1s", "--beat", "2s"]);
        assert!(report.contains("cannot be used multiple times"), "{report}");
        let report = mistakes(&["demo", "--beat"]);
        assert!(
            report.contains("--beat (DEMO_BEAT): the value is empty"),
            "{report}"
        );
    }

    #[test]
    fn secret_values_are_in_no_report() {
        let report = mistakes(&["demo", "--port", "hunter2", "--number", "7", "--store", "s"]);
        assert!(
            report.contains("--port: the value is not accepted (and not shown)"),
            "{report}"
        );
        assert!(
            !report.contains("hunter2") && !report.contains("4711"),
            "{report}"
        );

        let command = Demo::command().mut_args(hide_secret);
        let key = command
            .get_arguments()
            .find(|arg| arg.get_id() == "key")
            .unwrap();
        assert!(key.is_hide_env_values_set());
        let demo = parse_with(&["--key", "hunter2"]).unwrap();
        assert!(!format!("{demo:?}").contains("hunter2"));
    }

    #[test]
    fn a_password_in_a_url_is_in_no_report() {
        let report = mistakes(&[
            "demo",
            "--listen",
            "http://user:hunter2@host",
            "--number",
            "7",
            "--store",
            "s",
        ]);
        assert!(
            report.contains("--listen (DEMO_LISTEN): the URL"),
            "{report}"
        );
        assert!(!report.contains("hunter2"), "{report}");
    }

    #[test]
    fn help_and_version_are_no_mistakes() {
        for flag in ["--help", "-h", "--version"] {
            let asked = parse_with(&[flag]);
            let Err(NoSettings::Asked(text)) = asked else {
                panic!("expected a text for {flag}, got {asked:?}");
            };
            assert!(text.contains("demo") || text.contains("Usage"), "{text}");
        }
    }

    proptest! {
        #[test]
        fn any_command_line_ends_in_settings_or_a_report(
            words in prop::collection::vec(
                "--(listen|bus|beat|store|number|wat)(=[a-z0-9]{0,3})?|[a-z0-9-]{0,4}|\\PC{0,6}", 0..8
            )
        ) {
            let result = parse::<Demo>(std::iter::once("demo").chain(words.iter().map(|w| &**w)));
            if let Err(NoSettings::Wrong(mistakes)) = result {
                prop_assert!(!mistakes.is_empty());
            }
        }
    }
}
