//! Entries of an inbox as clients read them: in MESSAGE frames and in rows of `GET /api/notifications`.

use serde::Deserialize;
use serde_json::Value;
use stomp::Frame;

use super::judge::{Entry, Phase, Report, Side};

/// Subscriptions of a member, by their ids.
pub(crate) const NOTICES: &str = "notices";
pub(crate) const ALARMS: &str = "alarms";

/// A notification; a row has its id, too.
#[derive(Debug, Deserialize)]
pub(crate) struct Notice {
    #[serde(default)]
    pub(crate) id: u64,
    kind: String,
    data: Value,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Alarm {
    trade_id: u32,
    event_state: String,
}

impl Notice {
    pub(crate) fn report(&self) -> Report {
        let read = match self.kind.as_str() {
            "trade.completed" => self.trade(),
            "product.sold_out" => number(&self.data, "productId").map(Report::SoldOut),
            "wifi.started" => self.booking(Phase::Start),
            "wifi.ended" => self.booking(Phase::End),
            _ => None,
        };
        read.unwrap_or_else(|| Report::Other(format!("{} {}", self.kind, self.data)))
    }

    fn side(&self) -> Option<Side> {
        match self.data["role"].as_str() {
            Some("BUYER") => Some(Side::Buyer),
            Some("SELLER") => Some(Side::Seller),
            _ => None,
        }
    }

    fn trade(&self) -> Option<Report> {
        match self.side()? {
            Side::Buyer => number(&self.data, "tradeId").map(Report::Bought),
            Side::Seller => {
                let sales = self.data["sales"].as_array()?.iter();
                let mut sales: Vec<u32> = sales
                    .map(|sale| number(sale, "tradeId"))
                    .collect::<Option<_>>()?;
                sales.sort_unstable();
                Some(Report::Sold(sales))
            }
        }
    }

    fn booking(&self, phase: Phase) -> Option<Report> {
        let trade = number(&self.data, "tradeId")?;
        Some(Report::Booking(trade, self.side()?, phase))
    }
}

fn number(data: &Value, field: &str) -> Option<u32> {
    data[field].as_u64()?.try_into().ok()
}

/// The entry of a MESSAGE; `None` if it is none of an inbox.
pub(crate) fn read_message(frame: &Frame) -> Option<Entry> {
    let id = frame.header("message-id")?.parse().ok()?;
    let report = match frame.header("subscription")? {
        NOTICES => serde_json::from_slice::<Notice>(frame.body())
            .ok()?
            .report(),
        ALARMS => {
            let alarm: Alarm = serde_json::from_slice(frame.body()).ok()?;
            let phase = match alarm.event_state.as_str() {
                "START" => Phase::Start,
                "END" => Phase::End,
                _ => return None,
            };
            Report::Alarm(alarm.trade_id, phase)
        }
        _ => return None,
    };
    Some(Entry { id, report })
}
