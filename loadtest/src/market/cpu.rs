//! Processor time of the server under test, if it runs on this machine.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use super::error::MarketError;

/// Linux counts processor time for programs in hundredths of a second, whatever its own clock does.
const TICK: Duration = Duration::from_millis(10);

/// Number of fields between the program's name and the two that are read: `utime` is the 14th, `stime` the 15th.
const FIELDS_BEFORE: usize = 11;

/// User and system time of a process since its start.
pub(crate) fn of_process(pid: u32) -> Result<Duration, MarketError> {
    let path = PathBuf::from(format!("/proc/{pid}/stat"));
    let read = std::fs::read_to_string(&path);
    let ticks = read.and_then(|text| ticks(&text).ok_or(io::ErrorKind::InvalidData.into()));
    let ticks = ticks.map_err(|error| MarketError::File(path, error))?;
    Ok(TICK * ticks)
}

fn ticks(stat: &str) -> Option<u32> {
    // The name is in parentheses, and may contain any character.
    let (_, fields) = stat.rsplit_once(')')?;
    let mut fields = fields.split_ascii_whitespace().skip(FIELDS_BEFORE);
    let mut next = || fields.next()?.parse::<u32>().ok();
    next()?.checked_add(next()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn user_and_system_time_are_added_whatever_the_name() {
        let stat = "7 (a) b) S 1 7 7 0 -1 4194560 9 0 0 0 12 30 1 1 20 0 2 0 5";
        assert_eq!(ticks(stat), Some(42));
        assert_eq!(ticks("7 (a) S 1"), None);
        assert!(of_process(std::process::id()).is_ok());
    }
}
