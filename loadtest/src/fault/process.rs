//! Child process of a run: a server that can be killed and frozen. It is killed when dropped.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use rand::RngExt as _;
use shared::clock::{Clock as _, SystemClock};
use tokio::process::{Child, Command};
use tokio::time::{sleep, timeout};

use super::error::FaultError;

/// A server process.
#[derive(Debug)]
pub(crate) struct Process {
    name: String,
    child: Child,
    log: PathBuf,
}

/// Signals other than SIGKILL.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Signal {
    Stop,
    Continue,
    Terminate,
}

impl Process {
    /// Starts the process; its output is appended to a file.
    pub(crate) fn start(
        name: &str,
        mut command: Command,
        log: PathBuf,
    ) -> Result<Self, FaultError> {
        let file = std::fs::File::options()
            .create(true)
            .append(true)
            .open(&log);
        let file = file.map_err(|error| FaultError::File(log.clone(), error))?;
        let copy = file.try_clone();
        let copy = copy.map_err(|error| FaultError::File(log.clone(), error))?;
        command.stdin(Stdio::null()).stdout(file).stderr(copy);
        let child = command.kill_on_drop(true).spawn();
        let child = child.map_err(|error| FaultError::Program(name.to_owned(), error))?;
        Ok(Self {
            name: name.to_owned(),
            child,
            log,
        })
    }

    /// # Errors
    /// The process has ended.
    pub(crate) fn check_runs(&mut self) -> Result<(), FaultError> {
        let status = self.child.try_wait().map_err(|error| self.wrong(error))?;
        status.map_or(Ok(()), |status| Err(self.ended(&status)))
    }

    pub(crate) async fn signal(&self, signal: Signal) -> Result<(), FaultError> {
        let Some(pid) = self.child.id() else {
            return Ok(());
        };
        let name = match signal {
            Signal::Stop => "STOP",
            Signal::Continue => "CONT",
            Signal::Terminate => "TERM",
        };
        run(
            "kill",
            Command::new("kill").args(["-s", name, &pid.to_string()]),
        )
        .await
    }

    /// Sends SIGKILL and waits for the end.
    pub(crate) async fn kill(mut self) -> Result<(), FaultError> {
        self.child.kill().await.map_err(|error| self.wrong(error))
    }

    /// Sends SIGTERM and waits for the end.
    ///
    /// # Errors
    /// It does not end in time, or ends with an error code.
    pub(crate) async fn terminate(mut self, max: Duration) -> Result<(), FaultError> {
        self.signal(Signal::Terminate).await?;
        let ended = timeout(max, self.child.wait()).await;
        let ended = ended.map_err(|_elapsed| FaultError::InVain {
            what: format!("{} ends", self.name),
            waited: max,
        })?;
        let status = ended.map_err(|error| self.wrong(error))?;
        if status.success() {
            Ok(())
        } else {
            Err(self.ended(&status))
        }
    }

    /// `None` once it has ended.
    pub(crate) fn pid(&self) -> Option<u32> {
        self.child.id()
    }

    fn wrong(&self, error: std::io::Error) -> FaultError {
        FaultError::Program(self.name.clone(), error)
    }

    fn ended(&self, status: &ExitStatus) -> FaultError {
        FaultError::Ended {
            program: self.name.clone(),
            status: status.to_string(),
            log: self.log.clone(),
        }
    }
}

/// A wait for a server's `/readyz`.
#[derive(Clone, Debug)]
pub(crate) struct Readiness {
    /// For the error.
    pub(crate) what: String,
    pub(crate) admin: SocketAddr,
    pub(crate) max: Duration,
}

impl Readiness {
    /// # Errors
    /// The process ends, or it is not ready in time.
    pub(crate) async fn wait(
        &self,
        http: &reqwest::Client,
        mut process: Option<&mut Process>,
    ) -> Result<(), FaultError> {
        let began = SystemClock.now();
        let url = format!("http://{}/readyz", self.admin);
        loop {
            if let Some(process) = &mut process {
                process.check_runs()?;
            }
            let answer = http.get(&url).send().await;
            if answer.is_ok_and(|answer| answer.status().is_success()) {
                return Ok(());
            }
            if SystemClock.now().saturating_duration_since(began) > self.max {
                return Err(FaultError::InVain {
                    what: self.what.clone(),
                    waited: self.max,
                });
            }
            sleep(Duration::from_millis(50)).await;
        }
    }
}

/// Resident memory of a process in KiB; `None` if it has just ended.
pub(crate) fn read_resident_kib(pid: u32) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.split_whitespace().next()?.parse().ok()
}

/// How long a short command may take; a restart of a replica is one, too.
const COMMAND_MAX: Duration = Duration::from_secs(120);

/// Runs a short command, which must succeed.
pub(crate) async fn run(name: &str, command: &mut Command) -> Result<(), FaultError> {
    output(name, command).await.map(drop)
}

/// The same, with its output.
pub(crate) async fn output(name: &str, command: &mut Command) -> Result<String, FaultError> {
    let command = command.stdin(Stdio::null()).kill_on_drop(true);
    let done = timeout(COMMAND_MAX, command.output()).await;
    let done = done.map_err(|_elapsed| FaultError::InVain {
        what: format!("{name} ends"),
        waited: COMMAND_MAX,
    })?;
    let done = done.map_err(|error| FaultError::Program(name.to_owned(), error))?;
    if done.status.success() {
        return Ok(String::from_utf8_lossy(&done.stdout).into_owned());
    }
    let said = String::from_utf8_lossy(&done.stderr).trim().to_owned();
    Err(FaultError::Ended {
        program: name.to_owned(),
        status: format!("{} ({said})", done.status),
        log: PathBuf::from("-"),
    })
}

/// Below the ephemeral ports: an outgoing connection could take a server's port while it is
/// restarted.
const PORTS: std::ops::Range<u16> = 20_000..32_000;

/// Ports that are tried at most.
const PORTS_TRIED_MAX: usize = 100;

/// How often a server is started on other ports when it ends at once.
const STARTS_MAX: u32 = 3;

/// Starts a server on ports that were free when they were drawn, and on others if it ends: another
/// process may have taken one meanwhile.
pub(crate) async fn on_free_ports<T>(
    mut start: impl AsyncFnMut() -> Result<T, FaultError>,
) -> Result<T, FaultError> {
    let mut left = STARTS_MAX;
    loop {
        left -= 1;
        match start().await {
            Err(FaultError::Ended { .. }) if left > 0 => {}
            done => return done,
        }
    }
}

/// A loopback address with a free port.
pub(crate) fn free_address() -> Result<SocketAddr, FaultError> {
    Ok(SocketAddr::from(([127, 0, 0, 1], free_port()?)))
}

/// A free port.
pub(crate) fn free_port() -> Result<u16, FaultError> {
    let mut rng = rand::rng();
    let mut tries = (0..PORTS_TRIED_MAX).map(|_try| {
        let port = rng.random_range(PORTS);
        std::net::TcpListener::bind(("127.0.0.1", port)).map(|_closed_again| port)
    });
    let free = tries.find_map(Result::ok);
    free.ok_or(FaultError::NoPort)
}

pub(crate) fn write(path: &Path, text: &str) -> Result<(), FaultError> {
    std::fs::write(path, text).map_err(|error| FaultError::File(path.to_owned(), error))
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    /// As a server that cannot listen: it says so by its end.
    fn listen(port: u16) -> Result<TcpListener, FaultError> {
        TcpListener::bind(("127.0.0.1", port)).map_err(|error| FaultError::Ended {
            program: "a server".to_owned(),
            status: error.to_string(),
            log: PathBuf::new(),
        })
    }

    #[tokio::test]
    async fn a_server_whose_port_was_taken_meanwhile_starts_on_another() {
        let other = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut taken = Some(other.local_addr().unwrap().port());
        let start = async || listen(taken.take().unwrap_or(free_port()?));
        let server = on_free_ports(start).await.unwrap();
        assert_ne!(server.local_addr().unwrap(), other.local_addr().unwrap());
    }

    #[tokio::test]
    async fn a_server_that_always_ends_is_given_up() {
        let mut starts = 0;
        let start = async || {
            starts += 1;
            listen(0).and_then(|first| listen(first.local_addr().unwrap().port()))
        };
        let never = on_free_ports(start).await;
        assert!(matches!(never, Err(FaultError::Ended { .. })));
        assert_eq!(starts, STARTS_MAX);
    }
}
