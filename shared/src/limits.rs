//! Open files of this process: raises the machine's limit and divides it between clients and the
//! store.
//!
//! A connection is an open file, and so is each table of the embedded store. Without a reserve the
//! store would fail when there are many clients, and a client over the limit would wait in the
//! kernel's backlog without an answer. So the soft limit is raised to the hard one, a reserve is
//! kept for everything other than clients, and the rest bounds the connections.
//!
//! What this module does not do: count what is open. The bounds of the listener and of the
//! connections do that.

use std::io;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Smallest reserve of files that clients cannot use: the runtime, the log, listeners, the pools of
/// a database and a bus, the store's journals, tables and their compaction.
const RESERVE_MIN: usize = 128;

/// Largest reserve: the store gains nothing from more.
const RESERVE_MAX: usize = 2_048;

/// HTTP connections of one listener at most, before an upgrade.
const HTTP_MAX: usize = 4_096;

/// Fewer make no sense: a browser opens six for one page.
const HTTP_MIN: usize = 8;

/// Listeners of one process: the public port and the admin port.
const LISTENERS: usize = 2;

/// The smallest limit that leaves room for clients.
const LIMIT_MIN: usize = RESERVE_MIN + (LISTENERS + 1) * HTTP_MIN;

/// How many files this process may have open at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OpenFiles {
    limit: usize,
}

/// The machine's limit of open files is too low.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "this process may open {limit} files only, and needs {LIMIT_MIN} at least: \
     raise the limit (ulimit -n; LimitNOFILE= of a systemd unit)"
)]
pub struct TooFewFiles {
    limit: usize,
}

impl OpenFiles {
    /// Raises the soft limit to the hard limit; for the start of a program.
    ///
    /// # Errors
    /// [`TooFewFiles`] if what the machine allows leaves no room for clients.
    pub fn raise() -> Result<Self, TooFewFiles> {
        let before = getrlimit(Resource::Nofile);
        if before.current != before.maximum
            && let Err(error) = raise_to(before.maximum)
        {
            tracing::warn!(
                "the limit of open files stays at {}: {error}",
                shown(before.current)
            );
        }
        let files = Self::now();
        if files.limit < LIMIT_MIN {
            return Err(TooFewFiles { limit: files.limit });
        }
        Ok(files)
    }

    /// The limit in force.
    #[must_use]
    pub fn now() -> Self {
        let limit = getrlimit(Resource::Nofile).current;
        // Without a limit, or with one beyond `usize`, open files are not the scarce resource.
        let limit = limit.map_or(usize::MAX, |limit| {
            usize::try_from(limit).unwrap_or(usize::MAX)
        });
        Self { limit }
    }

    /// Number of files reserved for everything other than clients.
    #[must_use]
    pub fn reserve(self) -> usize {
        (self.limit / 4).clamp(RESERVE_MIN, RESERVE_MAX)
    }

    /// Tables that a store may keep open: half of the reserve.
    #[must_use]
    pub fn store_tables(self) -> usize {
        self.reserve() / 2
    }

    /// HTTP connections of one listener, including those being upgraded.
    #[must_use]
    pub fn http_connections(self) -> usize {
        (self.for_clients() / 8).clamp(HTTP_MIN, HTTP_MAX)
    }

    /// Connections that were upgraded: what the listeners and the reserve leave.
    #[must_use]
    pub fn upgraded_connections(self) -> usize {
        let http = LISTENERS * self.http_connections();
        self.for_clients().saturating_sub(http)
    }

    /// `wanted` upgraded connections, or as many as fit, which the log says then.
    #[must_use]
    pub fn fit_connections(self, wanted: usize) -> usize {
        let fit = self.upgraded_connections();
        if wanted <= fit {
            return wanted;
        }
        tracing::warn!(
            "--connections-max is {wanted}, but this process may open {} files only: it takes {fit} \
             connections (raise the limit with ulimit -n or LimitNOFILE=)",
            self.limit
        );
        fit
    }

    fn for_clients(self) -> usize {
        self.limit.saturating_sub(self.reserve())
    }
}

fn raise_to(hard: Option<u64>) -> io::Result<()> {
    let raised = Rlimit {
        current: hard,
        maximum: hard,
    };
    Ok(setrlimit(Resource::Nofile, raised)?)
}

fn shown(limit: Option<u64>) -> String {
    limit.map_or_else(|| "unlimited".to_owned(), |limit| limit.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_shares_together_fit_into_the_limit() {
        for limit in [LIMIT_MIN, 256, 1_000, 1_024, 4_096, 65_536, 1_048_576] {
            let files = OpenFiles { limit };
            let clients = LISTENERS * files.http_connections() + files.upgraded_connections();
            assert!(files.upgraded_connections() >= HTTP_MIN, "{limit}");
            assert!(clients + files.reserve() <= limit, "{limit}");
            assert!(files.store_tables() >= 64, "{limit}");
        }
    }

    #[test]
    fn wanted_connections_are_cut_to_what_fits() {
        let files = OpenFiles { limit: 1_024 };
        assert_eq!(files.fit_connections(100), 100);
        assert_eq!(files.fit_connections(50_000), 576);
        let files = OpenFiles { limit: 1_048_576 };
        assert_eq!(files.fit_connections(50_000), 50_000);
    }

    #[test]
    fn soft_limit_becomes_the_hard_one() {
        let files = OpenFiles::raise().unwrap();
        let limits = getrlimit(Resource::Nofile);
        assert_eq!(limits.current, limits.maximum);
        assert_eq!(files, OpenFiles::now());
    }
}
