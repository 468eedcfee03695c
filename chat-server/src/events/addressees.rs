//! Recipients of an event, and the data for each: the buyer and each seller get their own side.

use serde_json::{Map, Value, json};
use shared::clock::LocalDateTime;
use shared::event::{
    BookedTime, CashMoved, Envelope, Event, EventKind, ProductSoldOut, RefusedEvent,
    TradeCompleted, VERSION,
};
use shared::ids::MemberId;
use shared::money::{Units, Won};

use super::Booking;
use super::text::{Goods, Text};
use crate::inbox::{Alarm, AlarmState};

/// What one member gets of one event.
pub(super) struct Message {
    /// The member.
    pub(super) member: MemberId,
    /// For the timer of booked time.
    pub(super) alarm: Option<Booking>,
    /// For the list of notifications.
    pub(super) notice: Option<Addressed>,
}

/// A notification before it has a language.
pub(super) struct Addressed {
    pub(super) text: Text,
    pub(super) data: Map<String, Value>,
}

/// An event that changes a member's account in a way that this release cannot read: passing it over
/// would let a blocked member in.
pub(super) fn unreadable(envelope: &Envelope) -> Option<RefusedEvent> {
    let is_later = envelope.version != VERSION;
    (is_later && is_about_accounts(&envelope.event.kind())).then(|| RefusedEvent {
        event_id: envelope.id.clone(),
        reason: format!(
            "version {}, and this release reads {VERSION}",
            envelope.version
        ),
    })
}

fn is_about_accounts(kind: &EventKind) -> bool {
    match kind {
        EventKind::MemberUpdated
        | EventKind::MemberBlocked
        | EventKind::MemberUnblocked
        | EventKind::SessionRevoked
        | EventKind::MembersSeparated
        | EventKind::MembersReunited
        | EventKind::MemberClosed => true,
        EventKind::TradeCompleted
        | EventKind::ProductSoldOut
        | EventKind::WifiStarted
        | EventKind::WifiEnded
        | EventKind::CashCharged
        | EventKind::CashRefunded
        | EventKind::CashReturned
        | EventKind::ReviewCreated
        | EventKind::ReportDecided
        | EventKind::Other(_) => false,
    }
}

/// Its messages, at most one per member.
pub(super) fn of(envelope: &Envelope) -> Vec<Message> {
    match &envelope.event {
        Event::TradeCompleted(trade) => of_trade(trade),
        Event::ProductSoldOut(product) => vec![of_sold_out(product)],
        Event::WifiStarted(time) => of_booking(time, AlarmState::Start),
        Event::WifiEnded(time) => of_booking(time, AlarmState::End),
        Event::CashCharged(cash) => of_cash(envelope, cash, Text::Charged(cash.amount)),
        Event::CashRefunded(cash) => of_cash(envelope, cash, Text::Refunded(cash.amount)),
        Event::CashReturned(cash) => of_cash(envelope, cash, Text::Returned(cash.amount)),
        Event::MemberUpdated(_)
        | Event::MemberBlocked
        | Event::MemberUnblocked
        | Event::SessionRevoked(_)
        | Event::MembersSeparated(_)
        | Event::MembersReunited(_)
        | Event::MemberClosed => Vec::new(),
        Event::ReviewCreated(review) => to_all(envelope, Text::Reviewed, json!(review)),
        Event::ReportDecided(report) => to_all(envelope, Text::ReportDecided, json!(report)),
        Event::Untyped { kind, .. } if is_about_accounts(kind) => Vec::new(),
        Event::Untyped { data, .. } => to_all(envelope, Text::Other, Value::Object(data.clone())),
    }
}

/// The same to all members of the event.
fn to_all(envelope: &Envelope, text: Text, data: Value) -> Vec<Message> {
    let data = fields(data);
    let to = |member: &MemberId| message(*member, text.clone(), data.clone());
    envelope.members.iter().map(to).collect()
}

fn message(member: MemberId, text: Text, data: Map<String, Value>) -> Message {
    Message {
        member,
        alarm: None,
        notice: Some(Addressed { text, data }),
    }
}

fn of_trade(trade: &TradeCompleted) -> Vec<Message> {
    let mut bought = fields(json!({
        "role": "BUYER",
        "tradeId": trade.trade_id,
        "tradeType": trade.trade_type,
        "price": trade.price,
        "productIds": trade.sales.iter().map(|sale| sale.product_id).collect::<Vec<_>>(),
    }));
    if let Some(amount) = trade.data_amount {
        bought.insert("dataAmount".to_owned(), amount.to_gigabytes().into());
    }
    if let Some(minutes) = trade.time_amount {
        bought.insert("timeAmount".to_owned(), minutes.into());
    }
    let goods = goods_of(trade);
    let text = Text::Bought(goods, trade.price);
    let mut messages = vec![message(trade.buyer_id, text, bought)];
    let mut sellers: Vec<MemberId> = trade.sales.iter().map(|sale| sale.seller_id).collect();
    sellers.sort_unstable();
    sellers.dedup();
    messages.extend(sellers.into_iter().map(|seller| sold(trade, goods, seller)));
    messages
}

/// A seller's side: several of one seller's offers may be in one purchase.
fn sold(trade: &TradeCompleted, goods: Goods, seller: MemberId) -> Message {
    let own = || trade.sales.iter().filter(|sale| sale.seller_id == seller);
    let income = own().filter_map(|sale| sale.price.checked_sub(sale.fee));
    let income = Won::checked_sum(income).unwrap_or(Won::ZERO);
    let units = Units::checked_sum(own().filter_map(|sale| sale.data_amount));
    let goods = match (goods, units) {
        (Goods::Data(_), Some(units)) => Goods::Data(units),
        (goods, _) => goods,
    };
    let sales: Vec<Value> = own()
        .map(|sale| {
            json!({
                "tradeId": sale.trade_id,
                "productId": sale.product_id,
                "price": sale.price,
                "fee": sale.fee,
            })
        })
        .collect();
    let data = json!({
        "role": "SELLER",
        "tradeId": own().next().map(|sale| sale.trade_id),
        "tradeType": trade.trade_type,
        "buyerId": trade.buyer_id,
        "sales": sales,
    });
    message(seller, Text::Sold(goods, income), fields(data))
}

fn goods_of(trade: &TradeCompleted) -> Goods {
    match (trade.data_amount, trade.time_amount) {
        (Some(units), _) => Goods::Data(units),
        (None, Some(minutes)) if trade.trade_type.ends_with("HOTSPOT") => Goods::Hotspot(minutes),
        (None, Some(minutes)) => Goods::Wifi(minutes),
        (None, None) => Goods::Offer,
    }
}

fn of_sold_out(product: &ProductSoldOut) -> Message {
    let data = json!({ "productId": product.product_id });
    message(product.seller_id, Text::SoldOut, fields(data))
}

fn of_booking(time: &BookedTime, state: AlarmState) -> Vec<Message> {
    let data = |role, other: (&str, MemberId)| {
        let mut data = fields(json!({
            "role": role,
            "tradeId": time.trade_id,
            "productId": time.product_id,
            "startTime": time.start_time,
            "endTime": time.end_time,
        }));
        data.insert(other.0.to_owned(), other.1.get().into());
        data
    };
    let alarm = Alarm {
        trade_id: time.trade_id,
        event_state: state,
        member_id: time.buyer_id,
        start_time: time_of_day(time.start_time),
        end_time: time_of_day(time.end_time),
    };
    let (bought, sold) = match state {
        AlarmState::Start => {
            let hours = (time.start_time, time.end_time);
            (Text::TimeStarted(hours), Text::GuestStarted(hours))
        }
        AlarmState::End => (Text::TimeEnded, Text::GuestEnded),
    };
    let mut buyer = message(
        time.buyer_id,
        bought,
        data("BUYER", ("sellerId", time.seller_id)),
    );
    buyer.alarm = Some(Booking {
        alarm,
        ends_at: time.end_time.to_unix(),
    });
    vec![
        buyer,
        message(
            time.seller_id,
            sold,
            data("SELLER", ("buyerId", time.buyer_id)),
        ),
    ]
}

fn of_cash(envelope: &Envelope, cash: &CashMoved, text: Text) -> Vec<Message> {
    let data = json!({ "tradeId": cash.trade_id, "amount": cash.amount });
    to_all(envelope, text, data)
}

/// `HH:mm:ss`, as the first front end reads it.
fn time_of_day(at: LocalDateTime) -> String {
    let text = at.to_string();
    text.get(11..19).unwrap_or_default().to_owned()
}

/// The fields of a `json!({…})`.
fn fields(object: Value) -> Map<String, Value> {
    match object {
        Value::Object(fields) => fields,
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => {
            unreachable!("an object: {object}")
        }
    }
}
