//! Cases of a slow store: its replicas run for a fraction of the time, with the usual load or with
//! far more than that.

use std::time::Duration;

use rand::RngExt as _;
use shared::clock::{Clock as _, SystemClock};
use tokio::process::Command;
use tokio::time::sleep;

use super::error::FaultError;
use super::member::Order;
use super::process::{output, run};
use super::replicas::{Deed, Replicas};
use super::stage::Stage;

/// How long a replica runs and then stands still, by turns: at least and at most. A conditional
/// write takes several rounds between replicas and meets a standing one in most of them.
const RUNS_MS: std::ops::RangeInclusive<u64> = 20..=60;
const STANDS_MS: std::ops::RangeInclusive<u64> = 40..=120;

/// The usual load on a slow store.
pub(crate) async fn slow_replicas(stage: &mut Stage) -> Result<(), FaultError> {
    slow_down(stage.cluster.replicas()?, stage.pace.outage * 2).await
}

/// All members send as fast as receipts come. The store becomes fast again while most of these sends
/// wait, and must then deliver at once, however many requests it got meanwhile.
pub(crate) async fn overload_replicas(stage: &mut Stage) -> Result<(), FaultError> {
    let (each, crowd) = (stage.pace.burst / 4, &stage.crowd);
    crowd
        .board
        .with(|s| s.bursting += u64::from(each) * s.node_of.len() as u64);
    let everybody = crowd.board.with(|s| s.node_of.clone());
    crowd
        .order(Order::Burst(each), |member| everybody.contains_key(&member))
        .await;
    slow_down(stage.cluster.replicas()?, stage.pace.outage).await
}

/// Slows all replicas down, each by itself, and lets them run again.
async fn slow_down(replicas: &Replicas, time: Duration) -> Result<(), FaultError> {
    let mut pids = Vec::new();
    for number in 1..=replicas.addresses.len() {
        let mut script = Command::new(&replicas.script);
        script.args(["pid", &number.to_string()]);
        let pid = output("the script of replicas", &mut script).await?;
        pids.push(pid.trim().to_owned());
    }
    let each = pids.iter().map(|pid| run_and_stand(pid, time));
    let slowed = futures_util::future::try_join_all(each).await;
    replicas.hurt_all(Deed::Thaw).await?;
    slowed.map(drop)
}

async fn run_and_stand(pid: &str, time: Duration) -> Result<(), FaultError> {
    let began = SystemClock.now();
    let signal = async |name| run("kill", Command::new("kill").args(["-s", name, pid])).await;
    while SystemClock.now().saturating_duration_since(began) < time {
        signal("STOP").await?;
        sleep(Duration::from_millis(rand::rng().random_range(STANDS_MS))).await;
        signal("CONT").await?;
        sleep(Duration::from_millis(rand::rng().random_range(RUNS_MS))).await;
    }
    Ok(())
}
