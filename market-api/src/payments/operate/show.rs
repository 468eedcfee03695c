//! Everything that is stored about one order, charge, refund or payment in suspense.

use sqlx::AnyConnection;

use super::line::{As, Field, Section};
use super::recheck::resolve;
use super::{Item, OperateError, Target};
use crate::db::{Db, DbError};

/// Bound of the lines of each kind.
const SHOWN_MAX: i64 = 200;

const CHARGE: &[Field] = &[
    ("order", "order_id", As::Text),
    ("member", "member_id", As::Number),
    ("amount", "amount", As::Number),
    ("state", "state", As::Text),
    ("attention", "needs_attention", As::Flag),
    ("code", "last_code", As::Text),
    ("payment", "payment_key", As::Text),
    ("method", "method", As::Text),
    ("captured", "captured", As::Number),
    ("refunded", "refunded", As::Number),
    ("reserved", "reserved", As::Number),
    ("reversed", "reversed", As::Number),
    ("busy_leg", "busy_leg", As::Number),
    ("trade", "trade_id", As::Number),
    ("created", "created_at", As::Moment),
    ("confirmed", "confirmed_at", As::Moment),
    ("captured_at", "captured_at", As::Moment),
    ("due", "due_at", As::Moment),
    ("checks", "checks", As::Number),
    ("checked", "checked_at", As::Moment),
    ("next_check", "next_check_at", As::Moment),
];

const REFUND: &[Field] = &[
    ("member", "member_id", As::Number),
    ("request", "request_id", As::Text),
    ("amount", "amount", As::Number),
    ("charged", "charged", As::Number),
    ("earned", "earned", As::Number),
    ("returned_charged", "returned_charged", As::Number),
    ("returned_earned", "returned_earned", As::Number),
    ("state", "state", As::Text),
    ("attention", "needs_attention", As::Flag),
    ("trade", "trade_id", As::Number),
    ("created", "created_at", As::Moment),
    ("next_check", "next_check_at", As::Moment),
];

const SUSPENSE: &[Field] = &[
    ("order", "order_id", As::Text),
    ("payment", "payment_key", As::Text),
    ("charge", "charge_id", As::Number),
    ("captured", "captured", As::Number),
    ("canceled", "canceled", As::Number),
    ("attention", "needs_attention", As::Flag),
    ("code", "last_code", As::Text),
    ("created", "created_at", As::Moment),
    ("checks", "checks", As::Number),
    ("next_check", "next_check_at", As::Moment),
];

const LEG: &[Field] = &[
    ("refund", "refund_id", As::Number),
    ("n", "n", As::Number),
    ("kind", "kind", As::Text),
    ("bucket", "bucket", As::Text),
    ("charge", "charge_id", As::Number),
    ("amount", "amount", As::Number),
    ("state", "state", As::Text),
    ("code", "last_code", As::Text),
    ("sends", "sends", As::Number),
    ("sent", "sent_at", As::Moment),
    ("checks", "checks", As::Number),
    ("created", "created_at", As::Moment),
];

const CANCEL: &[Field] = &[
    ("transaction", "transaction_key", As::Text),
    ("charge", "charge_id", As::Number),
    ("suspense", "suspense_id", As::Number),
    ("leg", "leg_id", As::Number),
    ("amount", "amount", As::Number),
    ("canceled", "canceled_at", As::Moment),
    ("recorded", "created_at", As::Moment),
];

/// A line of a journal; the id is the journal's.
const POSTING: &[Field] = &[
    ("line", "line", As::Number),
    ("journal", "kind", As::Text),
    ("ref", "ref_id", As::Number),
    ("account", "account", As::Text),
    ("owner", "owner", As::Number),
    ("amount", "amount", As::Number),
    ("at", "created_at", As::Moment),
];

const TRADE: &[Field] = &[
    ("kind", "kind", As::Text),
    ("member", "member_id", As::Number),
    ("price", "price", As::Number),
    ("created", "created_at", As::Moment),
];

const DIFFERENCE: &[Field] = &[
    ("kind", "kind", As::Text),
    ("reference", "reference", As::Text),
    ("order", "order_id", As::Text),
    ("ours", "ours", As::Number),
    ("theirs", "theirs", As::Number),
    ("found", "found_at", As::Moment),
    ("resolved", "resolved_at", As::Moment),
];

/// A notification of the gateway. Its body is what somebody sent, not a fact.
const WEBHOOK: &[Field] = &[
    ("received", "received_at", As::Moment),
    ("kind", "kind", As::Text),
    ("order", "order_id", As::Text),
    ("payment", "payment_key", As::Text),
    ("body", "body", As::Text),
];

macro_rules! postings {
    ($which:literal) => {
        Section {
            kind: "posting",
            text: concat!(
                "select j.id, j.kind, j.ref_id, j.created_at, p.line, p.account, p.owner, p.amount \
                 from journal j join posting p on p.journal_id = j.id where ",
                $which,
                " order by j.id, p.line limit $2"
            ),
            fields: POSTING,
        }
    };
}

const fn section(kind: &'static str, text: &'static str, fields: &'static [Field]) -> Section {
    Section { kind, text, fields }
}

/// `$1` is the charge, `$2` the bound.
const OF_CHARGE: &[Section] = &[
    section(
        "charge",
        "select * from charge where id = $1 limit $2",
        CHARGE,
    ),
    section(
        "key",
        "select charge_id as id, key from payment_key where charge_id = $1 order by key limit $2",
        &[("payment", "key", As::Text)],
    ),
    section(
        "trade",
        "select t.id, t.kind, t.member_id, t.price, t.created_at from charge c join trade t on t.id = c.trade_id \
         where c.id = $1 limit $2",
        TRADE,
    ),
    section(
        "suspense",
        "select * from suspense_payment where charge_id = $1 order by id limit $2",
        SUSPENSE,
    ),
    section(
        "leg",
        "select * from refund_leg where charge_id = $1 order by id limit $2",
        LEG,
    ),
    section(
        "cancel",
        "select * from gateway_cancel where charge_id = $1 or suspense_id in \
         (select id from suspense_payment where charge_id = $1) order by id limit $2",
        CANCEL,
    ),
    postings!(
        "j.kind = 'charge' and j.ref_id = $1 \
         or j.kind = 'reversal' and j.ref_id in (select id from gateway_cancel where charge_id = $1) \
         or j.kind in ('refund_leg', 'refund_return') and j.ref_id in \
         (select id from refund_leg where charge_id = $1) \
         or j.kind = 'suspense' and j.ref_id in (select id from suspense_payment where charge_id = $1) \
         or j.kind = 'suspense_cancel' and j.ref_id in (select g.id from gateway_cancel g \
         join suspense_payment s on s.id = g.suspense_id where s.charge_id = $1)"
    ),
    section(
        "difference",
        "select d.* from gateway_difference d join charge c on c.order_id = d.order_id where c.id = $1 \
         order by d.id limit $2",
        DIFFERENCE,
    ),
    section(
        "webhook",
        "select * from webhook where order_id = (select order_id from charge where id = $1) \
         or payment_key in (select key from payment_key where charge_id = $1) order by id limit $2",
        WEBHOOK,
    ),
];

/// `$1` is the refund, `$2` the bound.
const OF_REFUND: &[Section] = &[
    section(
        "refund",
        "select * from refund where id = $1 limit $2",
        REFUND,
    ),
    section(
        "trade",
        "select t.id, t.kind, t.member_id, t.price, t.created_at from refund r join trade t on t.id = r.trade_id \
         where r.id = $1 limit $2",
        TRADE,
    ),
    section(
        "leg",
        "select * from refund_leg where refund_id = $1 order by n limit $2",
        LEG,
    ),
    section(
        "cancel",
        "select * from gateway_cancel where leg_id in (select id from refund_leg where refund_id = $1) \
         order by id limit $2",
        CANCEL,
    ),
    postings!(
        "j.kind = 'refund' and j.ref_id = $1 or j.kind in ('refund_leg', 'refund_return') \
         and j.ref_id in (select id from refund_leg where refund_id = $1)"
    ),
];

/// `$1` is the payment in suspense, `$2` the bound.
const OF_SUSPENSE: &[Section] = &[
    section(
        "suspense",
        "select * from suspense_payment where id = $1 limit $2",
        SUSPENSE,
    ),
    section(
        "cancel",
        "select * from gateway_cancel where suspense_id = $1 order by id limit $2",
        CANCEL,
    ),
    postings!(
        "j.kind = 'suspense' and j.ref_id = $1 or j.kind = 'suspense_cancel' \
         and j.ref_id in (select id from gateway_cancel where suspense_id = $1)"
    ),
    section(
        "difference",
        "select d.* from gateway_difference d join suspense_payment s on s.order_id = d.order_id \
         where s.id = $1 order by d.id limit $2",
        DIFFERENCE,
    ),
    section(
        "webhook",
        "select w.* from webhook w join suspense_payment s on w.order_id = s.order_id \
         or w.payment_key = s.payment_key where s.id = $1 order by w.id limit $2",
        WEBHOOK,
    ),
];

/// Lines about an item: its row first, then what belongs to it.
///
/// # Errors
/// See [`OperateError`].
pub async fn show(db: &Db, target: &Target) -> Result<Vec<String>, OperateError> {
    let mut connection = db.read().await?;
    let items = resolve(&mut connection, target)
        .await
        .map_err(DbError::from)?;
    if items.is_empty() {
        return Err(OperateError::Unknown(target.clone()));
    }
    let of_charge = items.iter().any(|item| matches!(item, Item::Charge(_)));
    let mut lines = Vec::new();
    for item in &items {
        // A charge's payments in suspense are among its own lines.
        if of_charge
            && matches!(item, Item::Suspense(_))
            && is_of_charge(&mut connection, *item).await?
        {
            continue;
        }
        let sections = match item {
            Item::Charge(_) => OF_CHARGE,
            Item::Refund(_) => OF_REFUND,
            Item::Suspense(_) => OF_SUSPENSE,
        };
        for section in sections {
            let numbers = [item.bound(), SHOWN_MAX];
            let found = section.lines(&mut connection, &numbers, None, db.now());
            lines.append(&mut found.await.map_err(DbError::from)?);
        }
    }
    Ok(lines)
}

async fn is_of_charge(connection: &mut AnyConnection, item: Item) -> Result<bool, DbError> {
    let row = sqlx::query("select 1 from suspense_payment where id = $1 and charge_id is not null")
        .bind(item.bound())
        .fetch_optional(connection)
        .await?;
    Ok(row.is_some())
}
