//! The list of what is open or needs attention.

use shared::ids::MemberId;

use super::line::{As, Section};
use crate::db::{Db, DbError};
use crate::payments::ChargeState;

/// Bound of the lines of each kind.
pub const LISTED_MAX: u32 = 1_000;

/// What to list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Filter {
    /// Charges in this state, settled or not, instead of what is open.
    pub state: Option<ChargeState>,
    /// Of this member only.
    pub member: Option<MemberId>,
    /// Bound of the lines of each kind, at most [`LISTED_MAX`].
    pub limit: u32,
}

/// The fields of a charge in a list.
macro_rules! charges {
    ($rest:literal) => {
        Section {
            kind: "charge",
            text: concat!(
                "select id, order_id, member_id, amount, state, coalesce(confirmed_at, created_at) as since, \
                 next_check_at, checks, last_code, needs_attention from charge c where \
                 ($1 = 0 or member_id = $1) and ",
                $rest
            ),
            fields: &[
                ("order", "order_id", As::Text),
                ("member", "member_id", As::Number),
                ("amount", "amount", As::Number),
                ("state", "state", As::Text),
                ("attention", "needs_attention", As::Flag),
                ("age", "since", As::Age),
                ("checks", "checks", As::Number),
                ("next_check", "next_check_at", As::Moment),
                ("code", "last_code", As::Text),
            ],
        }
    };
}

/// Open ones have a next query. A mismatch is settled once its payment was given back.
const OPEN_CHARGES: Section = charges!(
    "(next_check_at is not null and state in ('CONFIRMING', 'UNKNOWN', 'WAITING') \
     or needs_attention = 1 and state <> 'MISMATCH' or id in \
     (select charge_id from suspense_payment s where s.canceled < s.captured)) \
     order by needs_attention desc, id limit $2"
);

const CHARGES_IN_STATE: Section = charges!("state = $3 order by id desc limit $2");

const REFUNDS: Section = Section {
    kind: "refund",
    text: "select id, member_id, amount, returned_charged + returned_earned as returned, state, created_at, \
           next_check_at, needs_attention from refund where ($1 = 0 or member_id = $1) \
           and (state = 'OPEN' or needs_attention = 1) order by needs_attention desc, id limit $2",
    fields: &[
        ("member", "member_id", As::Number),
        ("amount", "amount", As::Number),
        ("returned", "returned", As::Number),
        ("state", "state", As::Text),
        ("attention", "needs_attention", As::Flag),
        ("age", "created_at", As::Age),
        ("next_check", "next_check_at", As::Moment),
    ],
};

const LEGS: Section = Section {
    kind: "leg",
    text: "select l.id, l.refund_id, l.n, l.kind, l.charge_id, l.amount, l.state, l.sends, l.sent_at, \
           l.checks, l.created_at, l.last_code from refund_leg l join refund r on r.id = l.refund_id \
           where ($1 = 0 or r.member_id = $1) and (r.state = 'OPEN' or r.needs_attention = 1) \
           and l.state in ('READY', 'UNKNOWN') order by l.refund_id, l.n limit $2",
    fields: &[
        ("refund", "refund_id", As::Number),
        ("n", "n", As::Number),
        ("kind", "kind", As::Text),
        ("charge", "charge_id", As::Number),
        ("amount", "amount", As::Number),
        ("state", "state", As::Text),
        ("age", "created_at", As::Age),
        ("sends", "sends", As::Number),
        ("sent", "sent_at", As::Moment),
        ("checks", "checks", As::Number),
        ("code", "last_code", As::Text),
    ],
};

/// What is given back, and what needs attention: other orders that are not acknowledged.
const SUSPENSE: Section = Section {
    kind: "suspense",
    text: "select s.id, s.order_id, s.charge_id, s.captured, s.canceled, s.created_at, s.checks, \
           s.next_check_at, s.last_code from suspense_payment s left join charge c on c.id = s.charge_id \
           where ($1 = 0 or c.member_id = $1) and s.canceled < s.captured and (s.charge_id is not null \
           or s.needs_attention = 1) order by s.id limit $2",
    fields: &[
        ("order", "order_id", As::Text),
        ("charge", "charge_id", As::Number),
        ("captured", "captured", As::Number),
        ("canceled", "canceled", As::Number),
        ("age", "created_at", As::Age),
        ("checks", "checks", As::Number),
        ("next_check", "next_check_at", As::Moment),
        ("code", "last_code", As::Text),
    ],
};

const DIFFERENCES: Section = Section {
    kind: "difference",
    text: "select d.id, d.kind, d.reference, d.order_id, d.ours, d.theirs, d.found_at \
           from gateway_difference d left join charge c on c.order_id = d.order_id \
           where ($1 = 0 or c.member_id = $1) and d.resolved_at is null order by d.id limit $2",
    fields: &[
        ("kind", "kind", As::Text),
        ("reference", "reference", As::Text),
        ("order", "order_id", As::Text),
        ("ours", "ours", As::Number),
        ("theirs", "theirs", As::Number),
        ("age", "found_at", As::Age),
    ],
};

/// Lists what is open or needs attention, or the charges in one state: a line for each item, then one with their
/// numbers.
///
/// # Errors
/// The database's.
pub async fn list(db: &Db, filter: Filter) -> Result<Vec<String>, DbError> {
    let sections: &[Section] = match filter.state {
        Some(_) => &[CHARGES_IN_STATE],
        None => &[OPEN_CHARGES, REFUNDS, LEGS, SUSPENSE, DIFFERENCES],
    };
    let limit = filter.limit.min(LISTED_MAX);
    let numbers = [filter.member.map_or(0, i64::from), i64::from(limit) + 1];
    let mut connection = db.read().await?;
    let (mut lines, mut counts) = (Vec::new(), Vec::new());
    for section in sections {
        let state = filter.state.map(ChargeState::name);
        let found = section.lines(&mut connection, &numbers, state, db.now());
        let mut found = found.await?;
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        let more = if found.len() > limit { " or more" } else { "" };
        found.truncate(limit);
        counts.push(format!("{}: {}{more}", section.kind, found.len()));
        lines.append(&mut found);
    }
    lines.push(counts.join(", "));
    Ok(lines)
}
