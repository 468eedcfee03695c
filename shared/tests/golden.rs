//! What crosses a process boundary, byte for byte: tokens, the JWKS, and the values of JSON bodies.
//!
//! A golden file changes only together with the other side that reads it. The files are indented for
//! the reader; the comparison is of the text without white space, so member order and the form of a
//! number (`2.0`) count.

#![expect(clippy::unwrap_used, reason = "a test ends where an unwrap fails")]

use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use shared::claims::{
    Jwks, KeySet, MemberGrant, MemberToken, Role, ServiceGrant, Signer, TokenScope, Verifier,
};
use shared::clock::{LocalDateTime, UnixMillis};
use shared::config::Secret;
use shared::event::{
    Aggregate, BookedTime, CashMoved, CompletedSale, Envelope, Event, EventId, EventKind,
    MemberPair, MemberUpdated, ProductSoldOut, ReportDecided, ReviewCreated, SessionRevoked,
    TradeCompleted, VERSION,
};
use shared::ids::{MemberId, MessageId, RoomId, Seq};
use shared::money::{Units, Won};
use shared::text::Language;

/// The example key of RFC 7515, appendix A.3: public since 2015, good for nothing but tests.
const RFC_7515_KEY: &str = "-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgjpsQnnGQmL+YBIff
H1136cspYG6+0iY7X1fCE9+E9LKhRANCAAR/zc4ncPbEXUGDy+5v20t7WAczNXvp
7xO6z248e9FURcfxRM0bvZt+hyzf7bnuufSzaV1uqQskrYpGIyiFiOWt
-----END PRIVATE KEY-----
";

/// `actual` is the content of the golden file, white space aside.
fn check(file: &str, actual: &str) {
    let expected = compact(&read(file));
    assert_eq!(actual, expected, "{file} and what is written today differ");
}

fn read(file: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/golden")
        .join(file);
    std::fs::read_to_string(path).unwrap()
}

/// No string in the golden files holds white space.
fn compact(text: &str) -> String {
    text.split_whitespace().collect()
}

/// Header and claims of a token, as text.
fn opened(token: &Secret<String>) -> String {
    let part = |text: &str| String::from_utf8(URL_SAFE_NO_PAD.decode(text).unwrap()).unwrap();
    let parts: Vec<_> = token.expose().split('.').collect();
    format!(
        "{{\"header\":{},\"claims\":{}}}",
        part(parts[0]),
        part(parts[1])
    )
}

fn now() -> UnixMillis {
    UnixMillis::try_from(1_754_537_696_789).unwrap()
}

fn scope() -> TokenScope {
    TokenScope {
        issuer: "https://dapanda.example".to_owned(),
        audience: "dapanda".to_owned(),
    }
}

fn signer() -> Signer {
    Signer::from_pem(&Secret::new(RFC_7515_KEY.to_owned()), scope()).unwrap()
}

fn member_token(token: MemberToken, role: Role) -> Secret<String> {
    let grant = MemberGrant {
        member: "42".parse().unwrap(),
        role,
        token,
        family: "Zm9yIGEgZ29sZGVuIGZpbA".parse().unwrap(),
        token_id: "Zm9yIGEgZ29sZGVuIGpzbw".parse().unwrap(),
    };
    signer().member_token(grant, now()).unwrap()
}

#[test]
fn member_tokens_are_as_agreed() {
    check(
        "access_token.json",
        &opened(&member_token(MemberToken::Access, Role::Member)),
    );
    check(
        "refresh_token.json",
        &opened(&member_token(MemberToken::Refresh, Role::NewMember)),
    );
}

#[test]
fn service_token_is_as_agreed() {
    let grant = ServiceGrant {
        service: "market-api".parse().unwrap(),
        token_id: "Zm9yIGEgZ29sZGVuIGpzbw".parse().unwrap(),
    };
    check(
        "service_token.json",
        &opened(&signer().service_token(grant, now()).unwrap()),
    );
}

#[test]
fn jwks_is_as_agreed_and_checks_the_tokens() {
    let written = Jwks {
        keys: vec![signer().public_key().clone()],
    };
    check("jwks.json", &serde_json::to_string(&written).unwrap());

    let read: Jwks = serde_json::from_str(&read("jwks.json")).unwrap();
    assert_eq!(read, written);
    let verifier = Verifier::new(KeySet::from_jwks(&read), scope());
    let token = member_token(MemberToken::Access, Role::Admin);
    let claims = verifier
        .member(token.expose(), MemberToken::Access, now())
        .unwrap();
    assert_eq!(claims.role, Role::Admin);
}

#[test]
fn values_are_as_agreed() {
    #[derive(Serialize)]
    struct Values {
        member: MemberId,
        room: RoomId,
        message: MessageId,
        seq: Seq,
        won: Won,
        units: [Units; 3],
        unix_millis: UnixMillis,
        local_date_time: LocalDateTime,
    }

    let seq = Seq::ZERO.next().unwrap();
    let values = Values {
        member: "42".parse().unwrap(),
        room: RoomId::FIRST_ALLOCATED_BY_CHAT,
        message: MessageId::in_room(RoomId::FIRST_ALLOCATED_BY_CHAT, seq).unwrap(),
        seq,
        won: Won::new(1500),
        units: [1, 15, 20].map(Units::new),
        unix_millis: now(),
        local_date_time: LocalDateTime::from_unix(now()),
    };
    check("values.json", &serde_json::to_string(&values).unwrap());
}

/// A purchase, an offer that it sold out, and the start of bought time.
fn trade_events(member: MemberId) -> [Event; 3] {
    let (seller, product) = ("43".parse().unwrap(), "7".parse().unwrap());
    let completed = Event::TradeCompleted(TradeCompleted {
        trade_id: "9".parse().unwrap(),
        trade_type: "PURCHASE_MOBILE_SINGLE".to_owned(),
        buyer_id: member,
        price: Won::new(1_500),
        data_amount: Some(Units::new(10)),
        time_amount: None,
        sales: vec![CompletedSale {
            trade_id: "10".parse().unwrap(),
            seller_id: seller,
            product_id: product,
            price: Won::new(1_500),
            fee: Won::ZERO,
            data_amount: Some(Units::new(10)),
        }],
    });
    let sold_out = Event::ProductSoldOut(ProductSoldOut {
        product_id: product,
        seller_id: seller,
    });
    let started = Event::WifiStarted(BookedTime {
        trade_id: "11".parse().unwrap(),
        buyer_id: member,
        product_id: "8".parse().unwrap(),
        seller_id: seller,
        start_time: "2025-08-07T12:30:00".parse().unwrap(),
        end_time: "2025-08-07T13:00:00".parse().unwrap(),
    });
    [completed, sold_out, started]
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table of events")]
fn events_are_as_agreed_in_both_directions() {
    #[derive(Serialize, Deserialize)]
    struct Body {
        events: Vec<Envelope>,
    }

    let member: MemberId = "42".parse().unwrap();
    let envelope = |id: &str, aggregate_seq, event| Envelope {
        version: VERSION,
        id: EventId::try_from(id.to_owned()).unwrap(),
        aggregate: Aggregate::from(member),
        aggregate_seq,
        occurred_at: LocalDateTime::from_unix(now()),
        traceparent: None,
        members: vec![member],
        event,
    };
    let updated = Event::MemberUpdated(MemberUpdated {
        name: "김바다".to_owned(),
        image_url: Some("https://pictures.example/1.png".to_owned()),
        language: Some(Language::English),
    });
    let updated_before_languages = Event::MemberUpdated(MemberUpdated {
        name: "김바다".to_owned(),
        image_url: None,
        language: None,
    });
    let revoked = Event::SessionRevoked(SessionRevoked {
        sid: "Zm9yIGEgZ29sZGVuIGZpbA".parse().unwrap(),
    });
    let later = Event::Untyped {
        kind: EventKind::Other("later.kind".to_owned()),
        data: serde_json::from_str(r#"{"later":[1,{"a":null}]}"#).unwrap(),
    };
    let [completed, sold_out, started] = trade_events(member);
    let Event::WifiStarted(time) = started.clone() else {
        unreachable!("{started:?}")
    };
    let ended = Event::WifiEnded(time);
    let cash = |trade: &str, amount| CashMoved {
        trade_id: trade.parse().unwrap(),
        amount: Won::new(amount),
    };
    let charged = Event::CashCharged(cash("13", 10_000));
    let refunded = Event::CashRefunded(cash("14", 5_000));
    let returned = Event::CashReturned(cash("14", 2_000));
    let untyped = |kind, data| Event::Untyped {
        kind,
        data: serde_json::from_str(data).unwrap(),
    };
    let reviewed = Event::ReviewCreated(ReviewCreated {
        review_id: "1".parse().unwrap(),
        trade_id: "9".parse().unwrap(),
        rating: 4.5,
    });
    let decided = |upheld| {
        Event::ReportDecided(ReportDecided {
            report_id: "1".parse().unwrap(),
            upheld,
        })
    };
    let pair = MemberPair {
        blocker_id: member,
        blocked_id: "43".parse().unwrap(),
    };
    let second_version = untyped(EventKind::TradeCompleted, r#"{"parties":{"buyer":42}}"#);

    let events = vec![
        envelope("Zm9yIGEgZ29sZGVuIGZpbA", 1, updated),
        envelope("Zm9yIGEgZ29sZGVuIGpzbw", 2, Event::MemberBlocked),
        Envelope {
            traceparent: Some("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".to_owned()),
            ..envelope("Zm9yIGEgdGhpcmQgZXZlbg", 3, revoked)
        },
        Envelope {
            aggregate: Aggregate::try_from("trade:9".to_owned()).unwrap(),
            members: vec![member, "43".parse().unwrap()],
            ..envelope("Zm9yIGEgZm91cnRoIGV2ZQ", 1, later)
        },
        Envelope {
            aggregate: Aggregate::try_from("trade:9".to_owned()).unwrap(),
            members: vec![member, "43".parse().unwrap()],
            ..envelope("Zm9yIGEgZmlmdGggZXZlbg", 1, completed)
        },
        Envelope {
            aggregate: Aggregate::try_from("product:7".to_owned()).unwrap(),
            members: vec!["43".parse().unwrap()],
            ..envelope("Zm9yIGEgc2l4dGggZXZlbg", 1, sold_out)
        },
        Envelope {
            aggregate: Aggregate::try_from("trade:11".to_owned()).unwrap(),
            members: vec![member, "43".parse().unwrap()],
            ..envelope("Zm9yIGEgc2V2ZW50aCBldg", 1, started)
        },
        envelope("Zm9yIGFuIGVpZ2h0aCBldg", 4, updated_before_languages),
        Envelope {
            occurred_at: "2025-08-07T12:34:56.790".parse().unwrap(),
            ..envelope("ZXZlbnQgbnVtYmVyIG5pbg", 5, Event::MemberUnblocked)
        },
        Envelope {
            aggregate: Aggregate::try_from("trade:11".to_owned()).unwrap(),
            members: vec![member, "43".parse().unwrap()],
            ..envelope("ZXZlbnQgbnVtYmVyIHRlbi", 2, ended)
        },
        envelope("ZXZlbnQgbnVtYmVyIGVsZX", 6, charged),
        envelope("ZXZlbnQgbnVtYmVyIHR3ZW", 7, refunded),
        envelope("ZXZlbnQgbnVtYmVyIHRoaX", 8, reviewed),
        envelope("ZXZlbnQgbnVtYmVyIGZvdX", 9, decided(None)),
        envelope("ZXZlbnQgbnVtYmVyIGZpZn", 10, Event::MembersSeparated(pair)),
        Envelope {
            version: 2,
            aggregate: Aggregate::try_from("trade:12".to_owned()).unwrap(),
            ..envelope("ZXZlbnQgbnVtYmVyIHNpeH", 1, second_version)
        },
        Envelope {
            aggregate: Aggregate::try_from("trade:14".to_owned()).unwrap(),
            ..envelope("ZXZlbnQgbnVtYmVyIHNldm", 2, returned)
        },
        envelope("ZXZlbnQgbnVtYmVyIGVpZ2", 11, decided(Some(true))),
        envelope("ZXZlbnQgbnVtYmVyIG5pbm", 12, Event::MembersReunited(pair)),
        envelope("ZXZlbnQgbnVtYmVyIHR3MT", 13, Event::MemberClosed),
    ];
    for kind in EventKind::ALL {
        let has_kind = |one: &Envelope| one.event.kind() == *kind;
        assert!(events.iter().any(has_kind), "{}", kind.as_str());
    }
    let read: Body = serde_json::from_str(&read("events.json")).unwrap();
    assert_eq!(read.events, events);
    let written = serde_json::to_string(&Body { events }).unwrap();
    check("events.json", &written);
}
