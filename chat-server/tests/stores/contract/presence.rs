//! The contract of `Presence`.

use std::sync::Arc;
use std::time::Duration;

use chat_server::presence::{Presence, PresenceChange};
use futures_util::future::join_all;
use shared::ids::MemberId;
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::make::fresh_member;

/// Longer than any registry takes; what has not come then is missing.
const WAIT: Duration = Duration::from_secs(20);

/// The grace of the nodes under test: longer than two calls that follow each other.
pub(crate) const GRACE: Duration = Duration::from_secs(2);

/// A node of the registry under test.
pub(crate) struct Node {
    pub(crate) presence: Arc<dyn Presence>,
    pub(crate) changes: mpsc::Receiver<PresenceChange>,
}

/// A registry to attach nodes to.
pub(crate) trait Subject {
    fn attach(&self) -> impl Future<Output = Node> + Send;
}

/// Runs every test of this file against what `$open` opens.
#[macro_export]
macro_rules! presence_contract {
    ($open:path) => {
        $crate::presence_contract! { @ $open:
            members_are_online_until_the_last_node_disconnects,
            many_members_are_answered_in_order,
            one_of_many_claims_succeeds,
            a_claim_expires,
            a_member_on_two_nodes_is_one_change,
            a_return_within_the_grace_is_no_change,
            a_burst_of_logins_is_registered,
        }
    };
    (@ $open:path: $($name:ident),+ $(,)?) => {
        $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                $crate::contract::presence::$name(&$open().await).await;
            }
        )+
    };
}

impl Node {
    /// Until these members are shown as online, or not.
    pub(crate) async fn until(&self, members: &[MemberId], expected: &[bool]) {
        let shown = async {
            while self.presence.online(members).await.unwrap() != expected {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        let shown = timeout(WAIT, shown).await;
        shown.unwrap_or_else(|_| panic!("in vain: {members:?} {expected:?}"));
    }

    pub(crate) async fn next(&mut self) -> PresenceChange {
        let change = timeout(WAIT, self.changes.recv()).await;
        change.expect("a change within time").expect("the registry")
    }

    /// Another member comes and goes: what was due before has been decided when it has gone.
    async fn come_and_go(&mut self) -> MemberId {
        let member = fresh_member();
        self.presence.connected(member);
        assert_eq!(self.next().await, PresenceChange::Online(member));
        self.presence.disconnected(member);
        member
    }
}

async fn two(subject: &impl Subject) -> (Node, Node) {
    (subject.attach().await, subject.attach().await)
}

pub(crate) async fn members_are_online_until_the_last_node_disconnects(subject: &impl Subject) {
    let (a, b) = two(subject).await;
    let members = [fresh_member(), fresh_member()];
    a.presence.connected(members[0]);
    b.until(&members, &[true, false]).await;
    b.presence.connected(members[0]);
    b.presence.connected(members[1]);
    a.until(&members, &[true, true]).await;
    a.presence.disconnected(members[0]);
    b.presence.disconnected(members[1]);
    a.until(&members, &[true, false]).await;
    b.presence.disconnected(members[0]);
    a.until(&members, &[false, false]).await;
    // Registered again after all that.
    b.presence.connected(members[0]);
    a.until(&members, &[true, false]).await;
    let (a, b) = (a.presence, b.presence);
    a.close(WAIT).await;
    b.close(WAIT).await;
}

pub(crate) async fn many_members_are_answered_in_order(subject: &impl Subject) {
    let (a, b) = two(subject).await;
    let members: Vec<_> = (0..1_500).map(|_| fresh_member()).collect();
    let expected: Vec<_> = (0..members.len()).map(|at| at % 3 == 1).collect();
    for (member, online) in members.iter().zip(&expected) {
        if *online {
            a.presence.connected(*member);
        }
    }
    b.until(&members, &expected).await;
    assert!(b.presence.online(&[]).await.unwrap().is_empty());
}

pub(crate) async fn one_of_many_claims_succeeds(subject: &impl Subject) {
    let (a, b) = two(subject).await;
    for key in ["push:7:{room:1}", "sweep"] {
        let claims = (0..40).map(|number| {
            let node = if number % 2 == 0 { &a } else { &b };
            node.presence.claim(key, Duration::from_secs(60))
        });
        let claims = join_all(claims).await;
        let mine = claims.into_iter().filter(|claim| *claim.as_ref().unwrap());
        assert_eq!(mine.count(), 1, "{key}");
    }
}

pub(crate) async fn a_claim_expires(subject: &impl Subject) {
    let (a, b) = two(subject).await;
    let claim = async |node: &Node| {
        let claim = node.presence.claim("k", Duration::from_millis(20));
        claim.await.unwrap()
    };
    assert!(claim(&a).await);
    let again = async { while !claim(&b).await {} };
    timeout(WAIT, again).await.expect("it has expired");
}

pub(crate) async fn a_member_on_two_nodes_is_one_change(subject: &impl Subject) {
    let (mut a, mut b) = two(subject).await;
    let member = fresh_member();
    a.presence.connected(member);
    assert_eq!(a.next().await, PresenceChange::Online(member));
    b.presence.connected(member);
    a.presence.disconnected(member);
    let other = a.come_and_go().await;
    // Not the member that is still connected to the other node.
    assert_eq!(a.next().await, PresenceChange::Offline(other));
    b.presence.disconnected(member);
    assert_eq!(b.next().await, PresenceChange::Offline(member));

    // Both nodes check it at about the same time; one finds the change.
    for node in [&a, &b] {
        node.presence.connected(member);
    }
    a.until(&[member], &[true]).await;
    for node in [&a, &b] {
        node.presence.disconnected(member);
    }
    let mut changes = Vec::new();
    for node in [&mut a, &mut b] {
        let last = fresh_member();
        node.presence.connected(last);
        node.until(&[last], &[true]).await;
        node.presence.disconnected(last);
        loop {
            match node.next().await {
                PresenceChange::Offline(gone) if gone == last => break,
                PresenceChange::Online(come) if come == last => {}
                change => changes.push(change),
            }
        }
    }
    let online = PresenceChange::Online(member);
    let offline = PresenceChange::Offline(member);
    changes.sort_by_key(|change| *change == offline);
    assert_eq!(changes, [online, offline]);
}

pub(crate) async fn a_return_within_the_grace_is_no_change(subject: &impl Subject) {
    let (mut a, mut b) = two(subject).await;
    let member = fresh_member();
    a.presence.connected(member);
    assert_eq!(a.next().await, PresenceChange::Online(member));
    a.presence.disconnected(member);
    a.presence.connected(member);
    a.presence.disconnected(member);
    b.presence.connected(member);
    let other = a.come_and_go().await;
    assert_eq!(a.next().await, PresenceChange::Offline(other));
    let other = b.come_and_go().await;
    assert_eq!(b.next().await, PresenceChange::Offline(other));
    a.until(&[member], &[true]).await;
    b.presence.disconnected(member);
    assert_eq!(b.next().await, PresenceChange::Offline(member));
}

pub(crate) async fn a_burst_of_logins_is_registered(subject: &impl Subject) {
    let (mut a, b) = two(subject).await;
    let members: Vec<_> = (0..2_000).map(|_| fresh_member()).collect();
    members
        .iter()
        .for_each(|member| a.presence.connected(*member));
    b.until(&members, &vec![true; members.len()]).await;
    for _ in &members {
        assert!(matches!(a.next().await, PresenceChange::Online(_)));
    }
    members
        .iter()
        .for_each(|member| a.presence.disconnected(*member));
    b.until(&members, &vec![false; members.len()]).await;
}
