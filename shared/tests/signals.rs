//! SIGTERM to a process whose drain listens. In a binary of its own, because a signal goes to the
//! whole process.

use std::process::Command;
use std::time::Duration;

use shared::drain::Drain;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

#[tokio::test]
async fn first_signal_is_soft_and_the_second_hard() {
    let drain = Drain::new();
    drain.stop_on_signals().expect("the handlers can be set");
    signal("TERM");
    assert!(comes(&drain.soft()).await);
    assert!(!drain.hard().is_cancelled());
    signal("INT");
    assert!(comes(&drain.hard()).await);
    assert_eq!(drain.wait(Duration::ZERO).await, Ok(()));
}

/// Sends this process a signal.
fn signal(name: &str) {
    let pid = std::process::id().to_string();
    let status = Command::new("kill").args(["-s", name, &pid]).status();
    assert!(status.expect("kill is there").success());
}

/// Whether the token is cancelled in a time no test machine needs.
async fn comes(token: &CancellationToken) -> bool {
    timeout(Duration::from_secs(20), token.cancelled())
        .await
        .is_ok()
}
