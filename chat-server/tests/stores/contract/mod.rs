//! Every sentence of the prose on the traits is a test here.

pub(crate) mod appends;
pub(crate) mod bus;
pub(crate) mod make;
pub(crate) mod member_store;
pub(crate) mod model;
pub(crate) mod presence;
pub(crate) mod reads;
pub(crate) mod record_store;
pub(crate) mod room_store;
pub(crate) mod rooms;
pub(crate) mod store;
