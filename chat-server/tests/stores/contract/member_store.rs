//! The contract of `MemberStore`.

use std::sync::Arc;

use chat_server::store::AccountStatus;
use tokio::task::JoinSet;

use super::make::{fresh_member, member, millis};
use super::store::Store;

pub(crate) async fn unknown_member_has_a_good_account_status(store: Arc<dyn Store>) {
    assert_eq!(
        store.status(fresh_member()).await.unwrap(),
        AccountStatus::Good
    );
}

pub(crate) async fn account_status_is_what_was_set_last(store: Arc<dyn Store>) {
    let who = fresh_member();
    for (status, at) in [
        (AccountStatus::Good, 1_000),
        (AccountStatus::Blocked, 2_000),
        (AccountStatus::Blocked, 3_000),
        (AccountStatus::Good, 4_000),
        (AccountStatus::Blocked, 4_001),
    ] {
        store
            .set_account_status(who, status, millis(at))
            .await
            .unwrap();
        assert_eq!(store.status(who).await.unwrap(), status);
    }
}

pub(crate) async fn later_decision_wins_in_any_order(store: Arc<dyn Store>) {
    let who = fresh_member();
    for (status, at, expected) in [
        (AccountStatus::Blocked, 5_000, AccountStatus::Blocked),
        (AccountStatus::Good, 4_999, AccountStatus::Blocked),
        (AccountStatus::Good, 5_001, AccountStatus::Good),
        (AccountStatus::Blocked, 0, AccountStatus::Good),
    ] {
        store
            .set_account_status(who, status, millis(at))
            .await
            .unwrap();
        assert_eq!(store.status(who).await.unwrap(), expected, "after {at}");
    }
    let first = fresh_member();
    store
        .set_account_status(first, AccountStatus::Blocked, millis(0))
        .await
        .unwrap();
    assert_eq!(store.status(first).await.unwrap(), AccountStatus::Blocked);
}

pub(crate) async fn decisions_at_once_leave_the_latest(store: Arc<dyn Store>) {
    let who = fresh_member();
    let mut tasks = JoinSet::new();
    for nth in 0..33_i64 {
        let store = Arc::clone(&store);
        // Each number once, in no order; the greatest is even.
        let at = nth * 7 % 33;
        let status = if at % 2 == 0 {
            AccountStatus::Blocked
        } else {
            AccountStatus::Good
        };
        tasks.spawn(async move {
            store
                .set_account_status(who, status, millis(at))
                .await
                .unwrap()
        });
    }
    tasks.join_all().await;
    assert_eq!(store.status(who).await.unwrap(), AccountStatus::Blocked);
}

pub(crate) async fn account_statuses_of_members_do_not_mix(store: Arc<dyn Store>) {
    let middle = u64::from(fresh_member().get()).clamp(300, (1 << 31) - 300);
    let blocked = member(middle);
    store
        .set_account_status(blocked, AccountStatus::Blocked, millis(1))
        .await
        .unwrap();
    for other in [middle - 256, middle - 1, middle + 1, middle + 256] {
        assert_eq!(
            store.status(member(other)).await.unwrap(),
            AccountStatus::Good
        );
    }
}
