//! What the three providers' answers look like (`domain.md` 9.1).

use std::time::Duration;

use axum::Json;
use axum::response::{IntoResponse as _, Response};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::StatusCode;
use serde_json::{Value, json};
use shared::clock::UnixMillis;

use super::books::Ticket;
use super::{CLIENT_ID, Kind, Person};

const HOUR: Duration = Duration::from_secs(3_600);

pub(super) fn token(kind: Kind, token: &str, id_token: Option<String>) -> Value {
    let mut answer = json!({"access_token": token, "token_type": "bearer", "expires_in": 3_600});
    match kind {
        Kind::Kakao => answer["scope"] = json!("profile_nickname account_email"),
        Kind::Google => answer["id_token"] = json!(id_token),
        // A text, of all things.
        Kind::Naver => answer["expires_in"] = json!("3600"),
    }
    answer
}

/// Naver refuses with status 200.
pub(super) fn refuse(kind: Kind, status: StatusCode, error: &str) -> Response {
    let status = match kind {
        Kind::Naver => StatusCode::OK,
        Kind::Kakao | Kind::Google => status,
    };
    let body = json!({"error": error, "error_description": "refused"});
    (status, Json(body)).into_response()
}

/// Unsigned: it comes from the provider itself.
pub(super) fn id_token(issuer: &str, ticket: &Ticket, now: UnixMillis) -> String {
    let claims = json!({
        "iss": issuer, "aud": CLIENT_ID, "sub": ticket.person.to_string(), "nonce": ticket.nonce,
        "iat": now.seconds(), "exp": now.saturating_add(HOUR).seconds(),
    });
    let encode = |value: Value| URL_SAFE_NO_PAD.encode(value.to_string());
    format!("{}.{}.", encode(json!({"alg": "none"})), encode(claims))
}

pub(super) fn profile(kind: Kind, person: &Person) -> Value {
    match kind {
        Kind::Kakao => kakao(person),
        Kind::Google => google(person),
        Kind::Naver => naver(person),
    }
}

fn kakao(person: &Person) -> Value {
    let mut account = json!({
        "email_needs_agreement": person.email.is_none(),
        "profile": {"nickname": person.name, "is_default_image": true},
    });
    if let Some(email) = &person.email {
        account["email"] = json!(email.address);
        account["is_email_valid"] = json!(true);
        account["is_email_verified"] = json!(email.verified);
    }
    json!({"id": person.id, "kakao_account": account})
}

fn google(person: &Person) -> Value {
    let mut answer = json!({"sub": person.id.to_string(), "name": person.name});
    if let Some(email) = &person.email {
        answer["email"] = json!(email.address);
        answer["email_verified"] = json!(email.verified);
    }
    answer
}

fn naver(person: &Person) -> Value {
    let mut response = json!({"id": format!("naver-{}", person.id), "nickname": person.name});
    if let Some(email) = &person.email {
        response["email"] = json!(email.address);
    }
    json!({"resultcode": "00", "message": "success", "response": response})
}

/// Names with their links.
pub(super) fn page(kind: Kind, links: &[(String, String)]) -> String {
    let items: String = links
        .iter()
        .map(|(to, name)| format!("<li><a href=\"{}\">{}</a></li>", escape(to), escape(name)))
        .collect();
    let title = match kind {
        Kind::Kakao => "카카오",
        Kind::Google => "Google",
        Kind::Naver => "네이버",
    };
    format!(
        "<!doctype html><html lang=\"ko\"><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width\"><title>{title} (연습용)</title>\
         <style>body{{font:16px/1.5 sans-serif;max-width:24rem;margin:3rem auto;padding:0 1rem}}\
         ul{{list-style:none;padding:0}}a{{display:block;padding:.75rem 1rem;margin:.25rem 0;\
         border:1px solid #ccc;border-radius:.5rem;color:inherit;text-decoration:none}}\
         a:hover,a:focus{{background:#f2f2f2}}</style>\
         <h1>{title} (연습용)</h1><p>누구로 로그인할까요?</p><ul>{items}</ul></html>"
    )
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
}
