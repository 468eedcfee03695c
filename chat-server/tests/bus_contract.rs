//! The bus contract, for every bus.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::wildcard_enum_match_arm,
    reason = "a test fails by panicking, also in its helpers"
)]

mod contract {
    //! Every sentence of the prose on the trait is a test here.
    pub(crate) mod bus;
    pub(crate) mod make;
}

use std::sync::Arc;

use chat_server::bus::local::LocalBus;
use contract::bus::{Node, Subject};

mod local {
    use super::{Arc, LocalBus, Node, Subject};

    impl Subject for LocalBus {
        async fn attach(&self, capacity: usize) -> Node {
            let (node, events) = LocalBus::attach(self, capacity);
            Node {
                bus: Arc::new(node),
                events,
            }
        }
    }

    async fn open() -> LocalBus {
        LocalBus::new()
    }

    crate::bus_contract!(open);
}
