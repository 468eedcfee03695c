//! The operations and destinations of the contract, in the order of its sections, and the check that
//! the walk has driven each of them.
//!
//! What the first front end calls is in [`FIRST`]; what this site has besides is in [`OURS`] and, where
//! no page of a member calls it, in [`NOT_DRIVEN`].

use std::collections::BTreeSet;

/// Method and path.
pub(crate) type Route = (&'static str, &'static str);

/// A section of the contract.
#[derive(Debug)]
pub(crate) struct Section {
    pub(crate) title: &'static str,
    pub(crate) routes: &'static [Route],
}

/// `domain.md` 2.4 and 3.
pub(crate) const FIRST: [Section; 8] = [
    Section {
        title: "Login",
        routes: &[
            ("GET", "/oauth2/authorization/{provider}"),
            ("GET", "/login/oauth2/code/{provider}"),
        ],
    },
    Section {
        title: "Members, plans, images",
        routes: &[
            ("GET", "/api/members/info"),
            ("POST", "/api/members/role"),
            ("GET", "/api/members/cash"),
            ("GET", "/api/members/buying-data"),
            ("GET", "/api/members/selling-data"),
            ("GET", "/api/members/selling-data/sold"),
            ("POST", "/api/members/profile-image"),
            ("GET", "/api/plans/my-data"),
            ("POST", "/api/images/presign"),
            ("POST", "/api/auth/logout"),
        ],
    },
    Section {
        title: "Products",
        routes: &[
            ("GET", "/api/products/mobile-data"),
            ("GET", "/api/products/wifi"),
            ("GET", "/api/products/mobile-data/{id}"),
            ("GET", "/api/products/wifi/{id}"),
            ("POST", "/api/products/mobile-data"),
            ("POST", "/api/products/wifi"),
            ("PUT", "/api/products/mobile-data"),
            ("PUT", "/api/products/wifi"),
            ("DELETE", "/api/products/{id}"),
            ("GET", "/api/products/market-price"),
            ("GET", "/api/selling-products"),
            ("GET", "/api/members/{id}/selling-products"),
        ],
    },
    Section {
        title: "Trades",
        routes: &[
            ("POST", "/api/trades/mobile-data/default"),
            ("GET", "/api/trades/mobile-data/scrap"),
            ("POST", "/api/trades/mobile-data/scrap"),
            ("POST", "/api/trades/wifi"),
            ("GET", "/api/trades/purchase-history"),
            ("GET", "/api/trades/cash-history"),
        ],
    },
    Section {
        title: "Payments",
        routes: &[
            ("POST", "/api/payments/save-amount"),
            ("POST", "/api/payments/verify-amount"),
            ("POST", "/api/payments/charge"),
            ("POST", "/api/payments/refund"),
        ],
    },
    Section {
        title: "Reviews and reports",
        routes: &[
            ("POST", "/api/trades/{tradeId}/reviews"),
            ("GET", "/api/reviews/{id}"),
            ("GET", "/api/reviews/received"),
            ("GET", "/api/members/{id}/reviews/received"),
            ("GET", "/api/reviews/wrote"),
            ("GET", "/api/reviews/written"),
            ("PATCH", "/api/reviews/{id}"),
            ("DELETE", "/api/reviews/{id}"),
            ("POST", "/api/report/{targetId}"),
        ],
    },
    Section {
        title: "Notifications",
        routes: &[
            ("POST", "/api/fcm/save"),
            ("GET", "/api/notifications"),
            ("DELETE", "/api/notifications/{id}"),
        ],
    },
    Section {
        title: "Chat rooms",
        routes: &[
            ("POST", "/api/products/{id}/chat-room"),
            ("GET", "/api/chat-room"),
            ("GET", "/api/chat-room/{id}/history"),
            ("POST", "/api/chat-messages/{id}/read-status"),
        ],
    },
];

/// What the first front end does not have.
pub(crate) const OURS: Section = Section {
    title: "Beyond the first front end",
    routes: &[
        ("POST", "/api/members/language"),
        ("GET", "/api/members/export"),
        ("POST", "/api/members/{id}/block"),
        ("GET", "/api/members/blocked"),
        ("DELETE", "/api/members/me"),
        ("DELETE", "/api/members/{id}/block"),
        ("GET", "/api/products/hotspot"),
        ("GET", "/api/products/hotspot/{id}"),
        ("POST", "/api/products/hotspot"),
        ("PUT", "/api/products/hotspot"),
        ("POST", "/api/trades/hotspot"),
        ("GET", "/api/trades/{id}/receipt"),
        ("GET", "/api/payments/checkout"),
        ("GET", "/api/payments/charges"),
        ("GET", "/api/payments/refunds"),
        ("GET", "/api/chat-room/{id}/members"),
        ("POST", "/api/chat-room/{id}/mute"),
        ("DELETE", "/api/chat-room/{id}/mute"),
        ("DELETE", "/api/chat-messages/{id}"),
        ("GET", "/api/notifications/unread-count"),
        ("POST", "/api/notifications/read"),
        ("GET", "/api/notifications/preferences"),
        ("PUT", "/api/notifications/preferences"),
        ("DELETE", "/api/fcm"),
        ("GET", "/api/push/vapid-key"),
    ],
};

/// Operations that pages of members do not call, and why.
const NOT_DRIVEN: [(&str, &str, &str); 9] = [
    ("GET", "/.well-known/jwks.json", "servers read it"),
    (
        "POST",
        "/hooks/toss/{secret}",
        "the payment gateway calls it",
    ),
    ("POST", "/api/admin/members/{id}/block", "administrators"),
    ("POST", "/api/admin/members/{id}/unblock", "administrators"),
    ("GET", "/api/admin/reports", "administrators"),
    ("POST", "/api/admin/reports/{id}/decide", "administrators"),
    ("GET", "/api/admin/audit", "administrators"),
    (
        "POST",
        "/api/push/subscriptions",
        "needs a browser's push service",
    ),
    (
        "DELETE",
        "/api/push/subscriptions",
        "needs a browser's push service",
    ),
];

/// Frames and their destinations: `domain.md` 4.
pub(crate) const FRAMES: [&str; 11] = [
    "CONNECT",
    "CONNECTED",
    "SUBSCRIBE /sub/{roomId}",
    "SUBSCRIBE /sub/alarm/{memberId}",
    "RECEIPT",
    "SEND /pub/{roomId}",
    "MESSAGE /sub/{roomId}",
    "MESSAGE /sub/alarm/{memberId} START",
    "MESSAGE /sub/alarm/{memberId} END",
    "ERROR Authentication failed",
    "ERROR Not allowed.",
];

/// All operations of the sections.
pub(crate) fn all() -> impl Iterator<Item = &'static Route> {
    FIRST
        .iter()
        .chain([&OURS])
        .flat_map(|section| section.routes)
}

/// The route of a request; of several the one that fits best.
pub(crate) fn find(method: &str, path: &str) -> Option<&'static Route> {
    let fits = |template: &str| {
        let mut parts = path.split('/');
        let mut templates = template.split('/');
        let fit = templates.by_ref().all(|one| {
            parts
                .next()
                .is_some_and(|part| one == part || (one.starts_with('{') && !part.is_empty()))
        });
        fit && parts.next().is_none()
    };
    all()
        .filter(|(of_method, template)| *of_method == method && fits(template))
        .min_by_key(|(_, template)| template.matches('{').count())
}

/// What the walk has to have driven, and has not.
pub(crate) fn missing(driven: &BTreeSet<Route>, frames: &BTreeSet<String>) -> Vec<String> {
    let routes = all().filter(|route| !driven.contains(route));
    let routes = routes.map(|(method, path)| format!("{method} {path}"));
    let frames = FRAMES.iter().filter(|frame| !frames.contains(**frame));
    routes
        .chain(frames.map(|frame| (*frame).to_owned()))
        .collect()
}

/// Operations of an OpenAPI document that no table has.
pub(crate) fn unlisted(document: &serde_json::Value) -> Vec<String> {
    let paths = document["paths"].as_object().unwrap();
    let operations = paths.iter().flat_map(|(path, methods)| {
        let methods = methods.as_object().unwrap().keys();
        methods.map(move |method| (method.to_uppercase(), path.as_str()))
    });
    let is_listed = |method: &str, path: &str| {
        all().any(|route| route.0 == method && same(route.1, path))
            || NOT_DRIVEN
                .iter()
                .any(|one| one.0 == method && same(one.1, path))
    };
    let unlisted = operations.filter(|(method, path)| !is_listed(method, path));
    unlisted
        .map(|(method, path)| format!("{method} {path}"))
        .collect()
}

/// Names of parameters do not matter.
fn same(a: &str, b: &str) -> bool {
    let plain = |path: &str| -> Vec<String> {
        let parts = path.split('/');
        parts
            .map(|part| if part.starts_with('{') { "{}" } else { part }.to_owned())
            .collect()
    };
    plain(a) == plain(b)
}
