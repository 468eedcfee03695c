//! How a process ends that was called wrongly. Without libtest's harness, because the process under
//! test is this binary itself, started again with a command line of its own.

#![expect(clippy::unwrap_used, reason = "a test ends where an unwrap fails")]

use std::process::{Command, Output};

use shared::config::{EX_USAGE, Mistakes, Settings, parse_or_exit};

#[derive(Debug, clap::Parser)]
#[command(name = "demo")]
struct Demo {
    /// Says that this is the process under test
    #[arg(long, required = true)]
    child: bool,
    /// Port to listen on
    #[arg(long, env = "DEMO_PORT", default_value = "8080")]
    port: u16,
}

impl Settings for Demo {
    fn check(&self, _: &mut Mistakes) {}
}

fn main() {
    if std::env::args().nth(1).as_deref() == Some("--child") {
        let demo: Demo = parse_or_exit();
        assert!(demo.child);
        std::process::exit(i32::from(demo.port == 9090));
    }
    check(&["--port", "9090"], "", 1, ("", ""));
    check(&[], "9090", 1, ("", ""));
    let usage = i32::from(EX_USAGE);
    check(
        &["--prot=1"],
        "",
        usage,
        ("", "--prot is unknown; right: perhaps --port"),
    );
    check(
        &["--port", "x"],
        "",
        usage,
        ("", "--port (DEMO_PORT): \"x\" is not accepted"),
    );
    check(
        &[],
        "70000",
        usage,
        ("", "--port (DEMO_PORT): \"70000\" is not accepted"),
    );
    check(&["--help"], "", 0, ("Port to listen on", ""));
}

/// Called so, with this DEMO_PORT, the process ends with this code and these texts.
fn check(args: &[&str], port: &str, code: i32, (out, err): (&str, &str)) {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.arg("--child").args(args).env_remove("DEMO_PORT");
    if !port.is_empty() {
        command.env("DEMO_PORT", port);
    }
    let Output {
        status,
        stdout,
        stderr,
    } = command.output().unwrap();
    let (stdout, stderr) = (
        String::from_utf8_lossy(&stdout),
        String::from_utf8_lossy(&stderr),
    );
    assert_eq!(
        status.code(),
        Some(code),
        "{args:?} {port}: {stdout}{stderr}"
    );
    assert!(
        stdout.contains(out) && stderr.contains(err),
        "{args:?} {port}: {stdout}{stderr}"
    );
    assert_eq!(
        (stdout.is_empty(), stderr.is_empty()),
        (out.is_empty(), err.is_empty())
    );
}
