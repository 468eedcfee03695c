//! The page: the files of `web/` and the chat server's client module, embedded unchanged in the
//! binary.
//!
//! Each file is a route, so only listed files can be reached. A test compares the list with the
//! folder.

use std::sync::Arc;

use axum::Router;
use axum::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG, HOST, REFERRER_POLICY,
    X_CONTENT_TYPE_OPTIONS,
};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use reqwest::Url;
use shared::web::guarded;
use shared::web::headers::is_known;

/// The page's routes take no body.
const BODY_BYTES_MAX: usize = 0;

/// The client module that other front ends use, too: the file itself, not a copy.
const CLIENT: File = File {
    path: "vendor/chat-client.js",
    content: include_bytes!("../../../chat-server/client/chat-client.js"),
};

macro_rules! files {
    ($($path:literal),* $(,)?) => {
        &[$(File { path: $path, content: include_bytes!(concat!("../web/", $path)) }),*]
    };
}

/// A file of the page.
#[derive(Clone, Copy, Debug)]
struct File {
    path: &'static str,
    content: &'static [u8],
}

const FILES: &[File] = files![
    "css/admin.css",
    "css/base.css",
    "css/cash.css",
    "css/conversation.css",
    "css/form.css",
    "css/login.css",
    "css/market.css",
    "css/mine.css",
    "css/notifications.css",
    "css/offer.css",
    "css/profile.css",
    "css/receipt.css",
    "css/rooms.css",
    "css/scrap.css",
    "css/shell.css",
    "css/social.css",
    "css/trade.css",
    "icon.svg",
    "index.html",
    "js/about.js",
    "js/account-view.js",
    "js/admin-view.js",
    "js/admin.js",
    "js/api.js",
    "js/app.js",
    "js/balance.js",
    "js/block-form.js",
    "js/blocks.js",
    "js/bookings-view.js",
    "js/bookings.js",
    "js/buy-form.js",
    "js/charge-view.js",
    "js/charges.js",
    "js/chat.js",
    "js/close-form.js",
    "js/composer.js",
    "js/connection.js",
    "js/conversation-view.js",
    "js/counted.js",
    "js/data-form.js",
    "js/decision-form.js",
    "js/dialog.js",
    "js/dom.js",
    "js/errors.js",
    "js/form.js",
    "js/format.js",
    "js/i18n.js",
    "js/login-view.js",
    "js/market-view.js",
    "js/market.js",
    "js/member-view.js",
    "js/message-rows.js",
    "js/mine-view.js",
    "js/mine.js",
    "js/money-parts.js",
    "js/money-view.js",
    "js/mute-view.js",
    "js/notification-settings.js",
    "js/notification-target.js",
    "js/notifications-view.js",
    "js/notifications.js",
    "js/offer-view.js",
    "js/outbox.js",
    "js/payment-return.js",
    "js/people.js",
    "js/pictures.js",
    "js/preferences.js",
    "js/presence.js",
    "js/profile-view.js",
    "js/purchase.js",
    "js/push.js",
    "js/reads.js",
    "js/receipt.js",
    "js/refund-view.js",
    "js/refunds.js",
    "js/report-form.js",
    "js/review-form.js",
    "js/reviews-view.js",
    "js/reviews.js",
    "js/rooms-view.js",
    "js/rooms.js",
    "js/route.js",
    "js/scrap-view.js",
    "js/scrap.js",
    "js/separation-view.js",
    "js/session.js",
    "js/shell.js",
    "js/spot-form.js",
    "js/stars.js",
    "js/texts-admin-en.js",
    "js/texts-admin-ko.js",
    "js/texts-cash-en.js",
    "js/texts-cash-ko.js",
    "js/texts-en.js",
    "js/texts-ko.js",
    "js/texts-notice-en.js",
    "js/texts-notice-ko.js",
    "js/texts-receipt-en.js",
    "js/texts-receipt-ko.js",
    "js/texts-social-en.js",
    "js/texts-social-ko.js",
    "js/texts-trade-en.js",
    "js/texts-trade-ko.js",
    "js/time.js",
    "js/timeline.js",
    "js/trades-view.js",
    "js/trades.js",
    "js/wallet.js",
    "receipt.html",
    "sw.js",
    "vendor/stompjs/LICENSE",
    "vendor/stompjs/augment-websocket.js",
    "vendor/stompjs/byte.js",
    "vendor/stompjs/client.js",
    "vendor/stompjs/compatibility/compat-client.js",
    "vendor/stompjs/compatibility/heartbeat-info.js",
    "vendor/stompjs/compatibility/stomp.js",
    "vendor/stompjs/frame-impl.js",
    "vendor/stompjs/i-frame.js",
    "vendor/stompjs/i-message.js",
    "vendor/stompjs/i-transaction.js",
    "vendor/stompjs/index.js",
    "vendor/stompjs/parser.js",
    "vendor/stompjs/stomp-config.js",
    "vendor/stompjs/stomp-handler.js",
    "vendor/stompjs/stomp-headers.js",
    "vendor/stompjs/stomp-subscription.js",
    "vendor/stompjs/ticker.js",
    "vendor/stompjs/types.js",
    "vendor/stompjs/versions.js",
];

/// The routes of the page; `/` is `index.html`. Pictures may also come from `images`.
pub(crate) fn router(images: Option<&Url>) -> Router {
    let images: Arc<str> = images.map_or_else(String::new, source_of).into();
    let mut router = Router::new();
    for file in FILES.iter().chain([&CLIENT]) {
        let (tag, images) = (tag(file.content), Arc::clone(&images));
        let answer = async move |headers: HeaderMap| {
            let policy = content_security_policy(&headers, &images);
            answer(*file, &tag, policy, &headers)
        };
        let path = match file.path {
            "index.html" => "/".to_owned(),
            path => format!("/{path}"),
        };
        router = router.route(&path, get(answer));
    }
    guarded(router, BODY_BYTES_MAX)
}

fn answer(file: File, tag: &HeaderValue, policy: HeaderValue, request: &HeaderMap) -> Response {
    let headers = [
        (
            CONTENT_TYPE,
            HeaderValue::from_static(content_type(file.path)),
        ),
        (ETAG, tag.clone()),
        // Revalidated at each use: the next build has other files under these names.
        (CACHE_CONTROL, HeaderValue::from_static("no-cache")),
        (CONTENT_SECURITY_POLICY, policy),
        (X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
        (REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
    ];
    if is_known(request, tag) {
        (StatusCode::NOT_MODIFIED, headers).into_response()
    } else {
        (headers, file.content).into_response()
    }
}

/// Scripts and styles from this origin only, and text never becomes markup (Trusted Types).
/// Browsers before 2022 do not count a WebSocket of the same host as `'self'`, so it is named.
/// Pictures are shown from and uploaded to `images`, too: empty, or a source with a space before
/// it.
fn content_security_policy(request: &HeaderMap, images: &str) -> HeaderValue {
    let host = request.get(HOST).and_then(|host| host.to_str().ok());
    let socket = host.filter(|host| is_authority(host));
    let socket = socket.map_or_else(String::new, |host| format!(" ws://{host}"));
    let policy = format!(
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'{images}; \
         connect-src 'self'{socket}{images}; base-uri 'none'; form-action 'none'; \
         frame-ancestors 'none'; require-trusted-types-for 'script'"
    );
    HeaderValue::try_from(policy).unwrap_or(HeaderValue::from_static("default-src 'none'"))
}

/// A URL's origin as a source; empty if it could end the directive.
fn source_of(url: &Url) -> String {
    let origin = url.origin().ascii_serialization();
    match origin.split_once("://") {
        Some((_, host)) if is_authority(host) => format!(" {origin}"),
        _ => String::new(),
    }
}

/// A host and perhaps a port: nothing that could end the directive.
fn is_authority(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b".-:[]".contains(&byte);
    !text.is_empty() && text.bytes().all(plain)
}

fn content_type(path: &str) -> &'static str {
    match path.rsplit_once('.').map(|(_, end)| end) {
        Some("html") => "text/html; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("js") => "text/javascript; charset=utf-8",
        Some("svg") => "image/svg+xml",
        _ => "text/plain; charset=utf-8",
    }
}

/// FNV-1a, 64 bits: distinguishes versions of one file; not for security.
fn tag(content: &[u8]) -> HeaderValue {
    let hash = content
        .iter()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, &byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3)
        });
    let text = format!("\"{hash:016x}\"");
    HeaderValue::try_from(text).unwrap_or(HeaderValue::from_static("\"\""))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use axum::http::header::IF_NONE_MATCH;

    use super::*;

    fn collect(folder: &Path, prefix: &str, found: &mut Vec<String>) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let entry = entry.unwrap();
            let path = format!("{prefix}{}", entry.file_name().into_string().unwrap());
            if entry.file_type().unwrap().is_dir() {
                collect(&entry.path(), &format!("{path}/"), found);
            } else if !path.ends_with("README.md") {
                found.push(path);
            }
        }
    }

    #[test]
    fn the_list_is_the_folder() {
        let mut found = Vec::new();
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/web");
        collect(Path::new(folder), "", &mut found);
        found.sort();
        let listed: Vec<_> = FILES.iter().map(|file| file.path).collect();
        assert_eq!(listed, found);
    }

    fn headers(pairs: &[(axum::http::HeaderName, &str)]) -> HeaderMap {
        let pair = |(name, value): &(axum::http::HeaderName, &str)| {
            (name.clone(), HeaderValue::from_str(value).unwrap())
        };
        pairs.iter().map(pair).collect()
    }

    #[test]
    fn a_known_file_is_not_sent_again() {
        let file = FILES[0];
        let tag = tag(file.content);
        let answer =
            |request: &HeaderMap| answer(file, &tag, HeaderValue::from_static("none"), request);
        let first = answer(&HeaderMap::new());
        assert_eq!(first.status(), StatusCode::OK);
        assert_eq!(first.headers()[CONTENT_TYPE], "text/css; charset=utf-8");
        let known = headers(&[(IF_NONE_MATCH, tag.to_str().unwrap())]);
        assert_eq!(answer(&known).status(), StatusCode::NOT_MODIFIED);
        let weak = format!("\"0\", W/{}", tag.to_str().unwrap());
        for known in [weak.as_str(), "*"] {
            let answer = answer(&headers(&[(IF_NONE_MATCH, known)]));
            assert_eq!(answer.status(), StatusCode::NOT_MODIFIED, "{known}");
        }
        let older = headers(&[(IF_NONE_MATCH, "\"0\"")]);
        assert_eq!(answer(&older).status(), StatusCode::OK);
    }

    #[test]
    fn pictures_of_another_origin_are_allowed() {
        let policy = |url| {
            let source = source_of(&Url::parse(url).unwrap());
            let policy = content_security_policy(&HeaderMap::new(), &source);
            policy.to_str().unwrap().to_owned()
        };
        let other = policy("https://pictures.example:8443/below/");
        for directive in ["img-src", "connect-src"] {
            let part = format!("{directive} 'self' https://pictures.example:8443;");
            assert!(other.contains(&part), "{other}");
        }
        let odd = policy("https://a;script-src/");
        assert!(odd.contains("img-src 'self';"), "{odd}");
    }

    #[test]
    fn a_forged_host_adds_nothing_to_the_policy() {
        let policy = |host| content_security_policy(&headers(&[(HOST, host)]), "");
        let text = |value: HeaderValue| value.to_str().unwrap().to_owned();
        assert!(text(policy("localhost:8080")).contains("'self' ws://localhost:8080;"));
        let forged = text(policy("x; script-src *"));
        assert!(forged.contains("connect-src 'self';"), "{forged}");
        assert!(!forged.contains('*'), "{forged}");
    }
}
