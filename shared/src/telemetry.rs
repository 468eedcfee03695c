//! Logging: destination, format, and what is logged of a panic.
//!
//! Everything is `tracing`; records of the `log` crate (some dependencies use it) are included.
//! Lines go to standard error, so that a command that prints a result keeps standard output for it.
//! They go through a bounded queue: logging never waits for the reader of the log and never fails.
//!
//! What this module does not do: metrics (each server has its own), traces ([`crate::trace`]), files and their
//! rotation (the supervisor of the process keeps its output).

mod queue;

use std::any::Any;
use std::backtrace::{Backtrace, BacktraceStatus};
use std::error::Error;
use std::fmt;
use std::io::{self, IsTerminal as _, stderr};
use std::panic::PanicHookInfo;
use std::str::FromStr;
use std::sync::OnceLock;
use std::time::Duration;

use queue::LineQueue;
use tracing::{Dispatch, Level};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::util::SubscriberInitExt as _;

/// How a log line looks.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum LogFormat {
    /// For eyes: one line of text, coloured on a terminal.
    #[default]
    Human,
    /// For machines: one JSON object a line, with `timestamp` (UTC), `level`, `target`, `message`
    /// and the fields of the event side by side, and the innermost span under `span`.
    Json,
}

/// Which events are logged: a level, or directives like `info,chat_server::hub=debug`.
///
/// The language is that of `tracing_subscriber::EnvFilter`. `RUST_LOG` is not read; the text comes
/// from the settings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogFilter(String);

/// The text is not a filter.
#[derive(Debug, thiserror::Error)]
#[error("not a log filter: expected a level ({LEVELS}) or directives like info,hyper=warn")]
pub struct InvalidLogFilter {
    source: Option<tracing_subscriber::filter::ParseError>,
}

const LEVELS: &str = "off, error, warn, info, debug, trace";

impl FromStr for LogFilter {
    type Err = InvalidLogFilter;

    fn from_str(text: &str) -> Result<Self, InvalidLogFilter> {
        let invalid = |source| InvalidLogFilter { source };
        EnvFilter::builder()
            .parse(text)
            .map_err(|source| invalid(Some(source)))?;
        // A bare word that is not a level would count as a target, so that the misspelt `infoo`
        // would silently log nothing.
        let is_bare = |part: &&str| !part.contains(['=', '[', ']', '{', '}', '"']);
        let is_level = |part: &str| LEVELS.split(", ").any(|l| l.eq_ignore_ascii_case(part));
        if text.split(',').filter(is_bare).all(is_level) {
            Ok(Self(text.to_owned()))
        } else {
            Err(invalid(None))
        }
    }
}

impl LogFilter {
    /// A filter that logs nothing.
    #[must_use]
    pub fn off() -> Self {
        Self("off".to_owned())
    }
}

impl fmt::Display for LogFilter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Why logging could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum InitError {
    /// This process has set up logging before.
    #[error("logging is already set up")]
    AlreadySetUp,
    /// No descriptor or no thread for the writer.
    #[error("the log has no writer")]
    Writer(#[from] io::Error),
}

/// The queue of the process, for its count of dropped lines.
static QUEUE: OnceLock<LineQueue> = OnceLock::new();

/// How long the end of a process waits until its last lines are written.
pub const FLUSH_MAX: Duration = Duration::from_secs(1);

/// Sends the logs of this process to standard error and puts panics into them. Call it once, first
/// thing in `main`, and keep the result until everything else is dropped.
///
/// # Errors
/// See [`InitError`]; after a second call the first stays in force.
pub fn init(format: LogFormat, filter: &LogFilter) -> Result<Logs, InitError> {
    if QUEUE.get().is_some() {
        return Err(InitError::AlreadySetUp);
    }
    let queue = LineQueue::to_stderr()?;
    dispatch(format, filter, queue.clone())
        .try_init()
        .map_err(|_other_subscriber| InitError::AlreadySetUp)?;
    log_panics();
    Ok(Logs(QUEUE.get_or_init(|| queue).clone()))
}

/// How many lines of the log were dropped so far, because their reader was too slow.
#[must_use]
pub fn lines_dropped() -> u64 {
    QUEUE.get().map_or(0, LineQueue::dropped)
}

/// The log of the process. Dropping it waits for the last lines, [`FLUSH_MAX`] at most.
#[derive(Debug)]
#[must_use = "the last lines are lost without it"]
pub struct Logs(LineQueue);

impl Logs {
    /// Logs why the process ends; where the filter suppresses errors, writes a plain line instead.
    pub fn fail(&self, program: &str, error: &(dyn Error + 'static)) {
        let text = with_causes(error);
        if tracing::enabled!(Level::ERROR) {
            tracing::error!("{text}");
        } else {
            self.0.push(format!("{program}: {text}\n").as_bytes());
        }
    }
}

impl Drop for Logs {
    fn drop(&mut self) {
        self.0.flush(FLUSH_MAX);
    }
}

/// The error and its chain of causes, in one line.
#[must_use]
pub fn with_causes(error: &(dyn Error + 'static)) -> String {
    let causes = std::iter::successors(error.source(), |cause| (*cause).source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}

/// The subscriber that [`init`] sets up, with another writer: for tests of logging, by
/// `tracing::dispatcher::with_default`.
#[must_use]
pub fn dispatch<W>(format: LogFormat, filter: &LogFilter, writer: W) -> Dispatch
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let filter = EnvFilter::builder()
        .parse(&filter.0)
        .expect("the filter was read once before");
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        // It would print them past the queue, and panic where standard error is closed.
        .log_internal_errors(false)
        .with_writer(writer);
    match format {
        LogFormat::Human => Dispatch::new(builder.with_ansi(stderr().is_terminal()).finish()),
        LogFormat::Json => Dispatch::new(
            builder
                .json()
                .flatten_event(true)
                .with_span_list(false)
                .with_ansi(false)
                .finish(),
        ),
    }
}

/// Name, version and commit of a program. Made by [`build_info!`](crate::build_info) in the
/// program's own crate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BuildInfo {
    /// The crate's name.
    pub name: &'static str,
    /// The crate's version.
    pub version: &'static str,
    /// The commit that it was built from, if the build set `BUILD_COMMIT`.
    pub commit: Option<&'static str>,
    /// Whether assertions are compiled in (a development build).
    pub debug: bool,
}

/// The [`BuildInfo`](crate::telemetry::BuildInfo) of the crate in which it is written. The build
/// may set the environment variable `BUILD_COMMIT`.
#[macro_export]
macro_rules! build_info {
    () => {
        $crate::telemetry::BuildInfo {
            name: env!("CARGO_PKG_NAME"),
            version: env!("CARGO_PKG_VERSION"),
            commit: option_env!("BUILD_COMMIT"),
            debug: cfg!(debug_assertions),
        }
    };
}

/// Logs which program starts: the first line of every log.
pub fn log_build_info(build: &BuildInfo) {
    let BuildInfo {
        name,
        version,
        commit,
        debug: is_debug,
    } = *build;
    let commit = commit.unwrap_or("unknown");
    tracing::info!(
        build.name = name,
        build.version = version,
        build.commit = commit,
        build.debug = is_debug,
        process.id = std::process::id(),
        "{name} {version} starts"
    );
}

/// Installs the panic hook: a panic becomes an error in the log with its source location, not a
/// text on standard error.
///
/// The hook before it is replaced, not called: the default one prints the whole text of the panic,
/// and a text may contain what a log must not (see [`safe_text`]).
fn log_panics() {
    std::panic::set_hook(Box::new(|info: &PanicHookInfo<'_>| {
        let thread = std::thread::current();
        // Taken only where RUST_BACKTRACE asks for it.
        let backtrace = Backtrace::capture();
        let backtrace = (backtrace.status() == BacktraceStatus::Captured).then_some(backtrace);
        tracing::error!(
            panic.location = info.location().map(tracing::field::display),
            panic.thread = thread.name().unwrap_or("unnamed"),
            panic.backtrace = backtrace.as_ref().map(tracing::field::display),
            "panic: {}",
            safe_text(info.payload())
        );
    }));
}

/// The message of a panic, without the values that it quotes.
///
/// A panic's text is often made of a fixed part and a value: `expect` and `unwrap` append the error
/// after a colon, slicing a string appends the string, comparing two values appends both. The value
/// may be a message body or a token, so the text is cut where a value begins: at the first `": "`,
/// `" of `"` or line break, and after 200 characters. The source location identifies the panic.
fn safe_text(payload: &(dyn Any + Send)) -> String {
    if let Some(fixed) = payload.downcast_ref::<&'static str>() {
        return (*fixed).to_owned();
    }
    let Some(text) = payload.downcast_ref::<String>() else {
        return "of another kind than text".to_owned();
    };
    // The one frequent panic whose values are two numbers.
    let bounds = text.starts_with("index out of bounds: the len is ");
    let ends: &[&str] = if bounds {
        &["\n"]
    } else {
        &[": ", " of `", "\n"]
    };
    let end = ends
        .iter()
        .filter_map(|end| text.find(end))
        .min()
        .unwrap_or(text.len());
    text[..end].chars().take(PANIC_CHARS_MAX).collect()
}

/// A fixed part is one sentence; a longer text contains a value.
const PANIC_CHARS_MAX: usize = 200;

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::panic::catch_unwind;
    use std::sync::{Arc, Mutex};

    use serde_json::Value;

    use super::*;

    #[derive(Debug, Clone, Default)]
    struct Captured(Arc<Mutex<Vec<u8>>>);

    impl Write for Captured {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// What cannot be parsed, with an error that quotes the text.
    #[derive(Debug)]
    struct Refused;

    impl FromStr for Refused {
        type Err = String;

        fn from_str(text: &str) -> Result<Self, String> {
            Err(text.to_owned())
        }
    }

    fn filter(text: &str) -> LogFilter {
        text.parse().unwrap()
    }

    /// What the events logged by `act` look like.
    fn log(format: LogFormat, directives: &str, act: impl FnOnce()) -> String {
        let captured = Captured::default();
        let writer = captured.clone();
        let dispatch = dispatch(format, &filter(directives), move || writer.clone());
        tracing::dispatcher::with_default(&dispatch, act);
        let bytes = captured.0.lock().unwrap().clone();
        String::from_utf8(bytes).unwrap()
    }

    /// The text of a panic is logged as `expected`.
    fn check(act: fn(), expected: &str) {
        let payload = catch_unwind(act).unwrap_err();
        assert_eq!(safe_text(payload.as_ref()), expected);
    }

    #[test]
    fn json_line_has_the_fields_side_by_side() {
        let line = log(LogFormat::Json, "info", || {
            let span = tracing::info_span!("connection", connection.id = 7);
            span.in_scope(|| tracing::info!(room.id = 42, text = "a\n\"b\"", "room 42 opened"));
        });
        assert_eq!(line.matches('\n').count(), 1, "{line}");
        let mut event: Value = serde_json::from_str(&line).unwrap();
        let timestamp = event.as_object_mut().unwrap().remove("timestamp").unwrap();
        let timestamp = timestamp.as_str().unwrap();
        assert!(
            timestamp.ends_with('Z') && timestamp.as_bytes()[10] == b'T',
            "{timestamp}"
        );
        let expected = serde_json::json!({
            "level": "INFO",
            "target": "shared::telemetry::tests",
            "message": "room 42 opened",
            "room.id": 42,
            "text": "a\n\"b\"",
            "span": {"name": "connection", "connection.id": 7},
        });
        assert_eq!(event, expected);
    }

    #[test]
    fn human_line_is_text() {
        let line = log(LogFormat::Human, "info", || {
            tracing::warn!(n = 7, "slow \u{1b}[31m")
        });
        assert!(
            line.contains("WARN") && line.contains("slow") && line.contains("n=7"),
            "{line}"
        );
        assert!(!line.contains("\u{1b}[31m"), "{line}");
    }

    #[test]
    fn filter_chooses_what_is_logged() {
        let act = || {
            tracing::debug!(target: "hub", "seen");
            tracing::info!(target: "hyper", "noise");
            tracing::info!(target: "rest", "plain");
        };
        let text = log(LogFormat::Human, "info,hub=debug,hyper=warn", act);
        assert!(text.contains("seen") && text.contains("plain") && !text.contains("noise"));
        assert_eq!(log(LogFormat::Json, "off", act), "");
    }

    #[test]
    fn wrong_filter_is_refused_when_it_is_read() {
        for text in [
            "loud",
            "infoo",
            "",
            "info,",
            "hyper,info",
            "info,hub=loud",
            "[",
            "a=b=c",
        ] {
            assert!(text.parse::<LogFilter>().is_err(), "{text}");
        }
        for text in [
            "off",
            "INFO",
            "info,hub=debug",
            "warn,[connection{connection.id=7}]=trace",
        ] {
            assert_eq!(filter(text).to_string(), text);
        }
    }

    #[test]
    fn first_line_names_the_build() {
        let line = log(LogFormat::Json, "info", || {
            log_build_info(&crate::build_info!())
        });
        let event: Value = serde_json::from_str(&line).unwrap();
        assert_eq!(event["build.name"], "shared");
        assert_eq!(event["build.version"], env!("CARGO_PKG_VERSION"));
        assert_eq!(
            event["message"],
            concat!("shared ", env!("CARGO_PKG_VERSION"), " starts")
        );
    }

    #[test]
    fn panic_text_is_kept_without_the_values_it_quotes() {
        check(|| panic!("plain: text"), "plain: text");
        check(
            || {
                let none: Option<u8> = "x".parse().ok();
                none.expect("shard index is taken modulo SHARDS");
            },
            "shard index is taken modulo SHARDS",
        );
        check(
            || {
                "hunter2".parse::<Refused>().expect("token is signed");
            },
            "token is signed",
        );
        check(
            || {
                "hunter2".parse::<Refused>().unwrap();
            },
            "called `Result::unwrap()` on an `Err` value",
        );
        check(
            || assert_eq!("hunter2", "x"),
            "assertion `left == right` failed",
        );
        check(
            || {
                let empty: Vec<u8> = Vec::new();
                assert_eq!(empty[7], 0);
            },
            "index out of bounds: the len is 0 but the index is 7",
        );
    }

    #[test]
    fn panic_of_a_sliced_string_does_not_show_the_string() {
        let payload = catch_unwind(|| "hunter가"["x".len()..7].len()).unwrap_err();
        let text = safe_text(payload.as_ref());
        assert!(!text.contains("hunter"), "{text}");
        let payload = catch_unwind(|| "hunter2"["x".len()..70].len()).unwrap_err();
        let text = safe_text(payload.as_ref());
        assert!(!text.contains("hunter"), "{text}");
    }

    #[test]
    fn panic_of_a_long_or_odd_payload_is_bounded() {
        let payload = catch_unwind(|| panic!("{}", "가".repeat(1000))).unwrap_err();
        assert_eq!(safe_text(payload.as_ref()).chars().count(), PANIC_CHARS_MAX);
        let payload = catch_unwind(|| std::panic::panic_any(7_u8)).unwrap_err();
        assert_eq!(safe_text(payload.as_ref()), "of another kind than text");
    }
}
