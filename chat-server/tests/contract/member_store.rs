//! The contract of `MemberStore`.

use std::sync::Arc;

use chat_server::store::Standing;
use tokio::task::JoinSet;

use super::make::{fresh_member, member, millis};
use super::store::Store;

pub(crate) async fn unknown_member_is_in_good_standing(store: Arc<dyn Store>) {
    assert_eq!(
        store.standing(fresh_member()).await.unwrap(),
        Standing::Good
    );
}

pub(crate) async fn standing_is_what_was_set_last(store: Arc<dyn Store>) {
    let who = fresh_member();
    for (standing, at) in [
        (Standing::Good, 1_000),
        (Standing::Blocked, 2_000),
        (Standing::Blocked, 3_000),
        (Standing::Good, 4_000),
        (Standing::Blocked, 4_001),
    ] {
        store.set_standing(who, standing, millis(at)).await.unwrap();
        assert_eq!(store.standing(who).await.unwrap(), standing);
    }
}

pub(crate) async fn later_decision_wins_in_any_order(store: Arc<dyn Store>) {
    let who = fresh_member();
    for (standing, at, expected) in [
        (Standing::Blocked, 5_000, Standing::Blocked),
        (Standing::Good, 4_999, Standing::Blocked),
        (Standing::Good, 5_001, Standing::Good),
        (Standing::Blocked, 0, Standing::Good),
    ] {
        store.set_standing(who, standing, millis(at)).await.unwrap();
        assert_eq!(store.standing(who).await.unwrap(), expected, "after {at}");
    }
    let first = fresh_member();
    store
        .set_standing(first, Standing::Blocked, millis(0))
        .await
        .unwrap();
    assert_eq!(store.standing(first).await.unwrap(), Standing::Blocked);
}

pub(crate) async fn decisions_at_once_leave_the_latest(store: Arc<dyn Store>) {
    let who = fresh_member();
    let mut tasks = JoinSet::new();
    for nth in 0..33_i64 {
        let store = Arc::clone(&store);
        // Each number once, in no order; the greatest is even.
        let at = nth * 7 % 33;
        let standing = if at % 2 == 0 {
            Standing::Blocked
        } else {
            Standing::Good
        };
        tasks.spawn(async move { store.set_standing(who, standing, millis(at)).await.unwrap() });
    }
    tasks.join_all().await;
    assert_eq!(store.standing(who).await.unwrap(), Standing::Blocked);
}

pub(crate) async fn standings_of_members_do_not_mix(store: Arc<dyn Store>) {
    let middle = u64::from(fresh_member().get()).clamp(300, (1 << 31) - 300);
    let blocked = member(middle);
    store
        .set_standing(blocked, Standing::Blocked, millis(1))
        .await
        .unwrap();
    for other in [middle - 256, middle - 1, middle + 1, middle + 256] {
        assert_eq!(store.standing(member(other)).await.unwrap(), Standing::Good);
    }
}
