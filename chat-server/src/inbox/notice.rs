//! Bodies of an inbox's entries.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use shared::ids::{MemberId, TradeId};

/// A notification, as it is stored. On `/user/queue/notifications` its id and time are added.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Notice {
    /// The kind of event it comes from, such as `trade.completed`.
    pub kind: String,
    /// A headline, in the member's language.
    pub title: String,
    /// A sentence, in the member's language.
    pub body: String,
    /// What a program needs of the event, from the member's point of view.
    pub data: Map<String, Value>,
}

/// Start or end of booked time: the body on `/sub/alarm/{memberId}`, as the first front end reads it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Alarm {
    /// The buyer's trade.
    pub trade_id: TradeId,
    /// Which of the two.
    pub event_state: AlarmState,
    /// The buyer.
    pub member_id: MemberId,
    /// When the time begins, `HH:mm:ss` in Korea.
    pub start_time: String,
    /// When it ends, in the same form.
    pub end_time: String,
}

/// What an alarm announces.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum AlarmState {
    /// The time begins.
    Start,
    /// The time is over.
    End,
}
