//! Check of an answer against a shape: which fields there are, of which type, and no others.
//!
//! The shapes themselves are in `shapes.rs`.

use serde_json::Value;
use shared::clock::LocalDateTime;

use Is::{Count, Date, DateTime, Flag, Id, Integer, Number, OneOf, OrNull, Text, Texts, Time};

/// What a browser's numbers hold exactly, and so what ids stay below.
const EXACT_MAX: u64 = 1 << 53;

/// The type of a value.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Is {
    /// A positive integer that a browser keeps exact.
    Id,
    /// An integer from 0 on.
    Count,
    /// An integer, of either sign.
    Integer,
    Number,
    Text,
    /// One of these texts.
    OneOf(&'static [&'static str]),
    Flag,
    /// `2025-08-07`
    Date,
    /// `12:34:56`
    Time,
    /// `2025-08-07T12:34:56`, with or without parts of seconds, without an offset.
    DateTime,
    /// Texts.
    Texts,
    /// The type, or null.
    OrNull(&'static Is),
    One(&'static [Field]),
    Many(&'static [Field]),
    /// Not checked here: rows of a page, which have shapes of their own.
    Any,
}

/// A field: its name and its type. `name?` may be missing, and is not null then. `+name` is one that
/// the first contract does not have: it may be missing, too.
pub(crate) type Field = (&'static str, Is);

/// Nothing is missing, of another type, or there beside the fields.
pub(crate) fn check(what: &str, value: &Value, fields: &[Field]) {
    let mut wrong = Vec::new();
    find(&mut wrong, "", value, fields);
    assert!(wrong.is_empty(), "{what}: {wrong:?} in {value:#}");
}

/// The same of every one of a list, which must not be empty.
pub(crate) fn check_all(what: &str, rows: &Value, fields: &[Field]) {
    let rows = rows
        .as_array()
        .unwrap_or_else(|| panic!("{what}: no list: {rows}"));
    assert!(!rows.is_empty(), "{what}: empty");
    for row in rows {
        check(what, row, fields);
    }
}

fn find(wrong: &mut Vec<String>, path: &str, value: &Value, fields: &[Field]) {
    for (name, is) in fields {
        let (name, may_miss) = plain(name);
        let place = format!("{path}.{name}");
        match value.get(name) {
            None if may_miss => {}
            None => wrong.push(format!("{place} is missing")),
            Some(value) => find_type(wrong, &place, value, *is),
        }
    }
    for name in value.as_object().into_iter().flat_map(|all| all.keys()) {
        if !fields.iter().any(|(field, _)| plain(field).0 == name) {
            wrong.push(format!("{path}.{name} is no field"));
        }
    }
}

/// The name itself, and whether the field may be missing.
fn plain(name: &'static str) -> (&'static str, bool) {
    let own = name.strip_prefix('+').or_else(|| name.strip_suffix('?'));
    (own.unwrap_or(name), own.is_some())
}

fn find_type(wrong: &mut Vec<String>, place: &str, value: &Value, is: Is) {
    let text = || value.as_str();
    let is_local = |text: String| text.parse::<LocalDateTime>().is_ok();
    let right = match is {
        Id => value.as_u64().is_some_and(|id| id > 0 && id < EXACT_MAX),
        Count => value.as_u64().is_some(),
        Integer => value.as_i64().is_some(),
        Number => value.is_number(),
        Text => value.is_string(),
        OneOf(texts) => text().is_some_and(|text| texts.contains(&text)),
        Flag => value.is_boolean(),
        Date => text().is_some_and(|text| text.len() == 10 && is_local(format!("{text}T00:00:00"))),
        Time => {
            text().is_some_and(|text| text.len() == 8 && is_local(format!("2025-08-07T{text}")))
        }
        DateTime => text().is_some_and(|text| {
            text.contains('T') && text.len() >= 19 && is_local(text.to_owned())
        }),
        Texts => value
            .as_array()
            .is_some_and(|all| all.iter().all(Value::is_string)),
        OrNull(is) => {
            if !value.is_null() {
                find_type(wrong, place, value, *is);
            }
            true
        }
        Is::One(fields) => {
            find(wrong, place, value, fields);
            value.is_object()
        }
        Is::Many(fields) => {
            let rows = value.as_array().into_iter().flatten();
            for (nth, row) in rows.enumerate() {
                find(wrong, &format!("{place}[{nth}]"), row, fields);
            }
            value.is_array()
        }
        Is::Any => true,
    };
    if !right {
        wrong.push(format!("{place} is {value}, not {is:?}"));
    }
}

#[test]
fn shape_allows_neither_a_missing_nor_an_unlisted_field() {
    const SHAPE: &[Field] = &[
        ("id", Id),
        ("title?", Text),
        ("+kind", Text),
        ("at", OrNull(&Time)),
    ];
    let wrong = |value: Value| {
        let mut wrong = Vec::new();
        find(&mut wrong, "", &value, SHAPE);
        wrong
    };
    let right = serde_json::json!({"id": 1, "title": "a", "kind": "b", "at": "12:34:56"});
    assert!(wrong(right).is_empty());
    assert!(wrong(serde_json::json!({"id": 1, "at": null})).is_empty());
    for value in [
        serde_json::json!({"id": 1}),
        serde_json::json!({"id": 0, "at": null}),
        serde_json::json!({"id": "1", "at": null}),
        serde_json::json!({"id": 1_u64 << 53, "at": null}),
        serde_json::json!({"id": 1, "at": null, "title": null}),
        serde_json::json!({"id": 1, "at": "12:34"}),
        serde_json::json!({"id": 1, "at": null, "name": "c"}),
    ] {
        assert_eq!(wrong(value.clone()).len(), 1, "{value}");
    }
}
