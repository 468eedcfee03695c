//! Firebase Cloud Messaging, HTTP v1, with its OAuth token endpoint, for apps that do not exist: it records
//! what it accepts.
//!
//! It is as strict as the real one where it matters: the grant's signature, audience and age, the access token
//! and its expiry, the form of a message.

use std::collections::{HashSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use aws_lc_rs::encoding::AsDer as _;
use aws_lc_rs::rsa::{KeyPair, KeySize};
use aws_lc_rs::signature::{KeyPair as _, RSA_PKCS1_2048_8192_SHA256};
use axum::extract::{Path, State};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::header::AUTHORIZATION;
use http::{HeaderMap, StatusCode};
use serde_json::{Value, json};
use shared::clock::{Clock, UnixMillis};

pub use crate::faults::Fault;
use crate::faults::{self, Script};
use crate::jwt;

/// The project of the account.
const PROJECT: &str = "dapanda-demo";

/// The account.
const EMAIL: &str = "push@dapanda-demo.example";

/// Its right.
const SCOPE: &str = "https://www.googleapis.com/auth/firebase.messaging";

/// A message has at most 4,096 bytes.
const MESSAGE_BYTES_MAX: usize = 4_096;

/// Recorded messages, the newest.
const RECORDED_MAX: usize = 1_024;

/// Lifetime of an access token.
const TOKEN_TIME: Duration = Duration::from_secs(3_600);

/// The service.
#[derive(Debug)]
pub struct FakeFcm {
    key: KeyPair,
    base: String,
    clock: Arc<dyn Clock>,
    state: Mutex<Inside>,
}

#[derive(Debug, Default)]
struct Inside {
    messages: VecDeque<Value>,
    requests: u64,
    dead: HashSet<String>,
    script: Script,
    access: VecDeque<(String, UnixMillis)>,
    access_count: u64,
}

/// The cryptographic library failed.
#[derive(Debug)]
pub struct NoKey;

impl FakeFcm {
    /// A service at this URL, with a new account key.
    ///
    /// # Errors
    /// [`NoKey`].
    pub fn new(base: &str, clock: Arc<dyn Clock>) -> Result<Self, NoKey> {
        Ok(Self {
            key: KeyPair::generate(KeySize::Rsa2048).map_err(|_unspecified| NoKey)?,
            base: base.trim_end_matches('/').to_owned(),
            clock,
            state: Mutex::default(),
        })
    }

    /// The service account's JSON file.
    ///
    /// # Errors
    /// [`NoKey`].
    pub fn account(&self) -> Result<String, NoKey> {
        let der = self.key.as_der().map_err(|_unspecified| NoKey)?;
        let key = STANDARD.encode(der.as_ref());
        let account = json!({
            "type": "service_account",
            "project_id": PROJECT,
            "private_key_id": "fake",
            "private_key": format!("-----BEGIN PRIVATE KEY-----\n{key}\n-----END PRIVATE KEY-----\n"),
            "client_email": EMAIL,
            "token_uri": self.token_url(),
        });
        Ok(account.to_string())
    }

    /// Its routes.
    pub fn router(self: Arc<Self>) -> Router {
        Router::new()
            .route("/token", post(token))
            .route("/v1/projects/{project}/messages:send", post(send))
            .route("/messages", get(list))
            .with_state(self)
    }

    /// Accepted messages, the oldest first; the newest 1,024.
    #[must_use]
    pub fn messages(&self) -> Vec<Value> {
        self.inside().messages.iter().cloned().collect()
    }

    /// Requests to send so far, whatever their answers.
    #[must_use]
    pub fn requests(&self) -> u64 {
        self.inside().requests
    }

    /// Access tokens granted so far.
    #[must_use]
    pub fn access_tokens(&self) -> u64 {
        self.inside().access_count
    }

    /// From now on this registration token is unregistered.
    pub fn kill(&self, token: &str) {
        self.inside().dead.insert(token.to_owned());
    }

    /// The next answers to messages for this registration token.
    pub fn fail(&self, token: &str, faults: &[Fault]) {
        self.inside().script.add(token, faults);
    }

    /// The answer to every message, or none.
    pub fn fail_all(&self, fault: Option<Fault>) {
        self.inside().script.set_all(fault);
    }

    /// All access tokens are invalid from now on.
    pub fn revoke_access(&self) {
        self.inside().access.clear();
    }

    fn inside(&self) -> MutexGuard<'_, Inside> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn token_url(&self) -> String {
        format!("{}/token", self.base)
    }

    /// Checks a grant.
    fn check_grant(&self, body: &str) -> Result<(), &'static str> {
        let mut url = reqwest::Url::parse("form:").map_err(|_invalid| "no form")?;
        url.set_query(Some(body));
        let value = |name: &str| {
            let mut pairs = url.query_pairs();
            pairs
                .find(|(key, _)| key == name)
                .map(|(_, value)| value.into_owned())
        };
        if value("grant_type").as_deref() != Some("urn:ietf:params:oauth:grant-type:jwt-bearer") {
            return Err("unsupported_grant_type");
        }
        let grant = value("assertion").ok_or("no assertion")?;
        let public = self.key.public_key();
        let claims = jwt::verify(
            &grant,
            "RS256",
            &RSA_PKCS1_2048_8192_SHA256,
            public.as_ref(),
        )?;
        let now = self.clock.unix_millis().seconds();
        let seconds = |name: &str| claims[name].as_i64().unwrap_or_default();
        let (issued, expires) = (seconds("iat"), seconds("exp"));
        let is_timely = issued <= now + 60 && now < expires && expires - issued <= 3_600;
        if claims["iss"] != EMAIL || claims["scope"] != SCOPE || claims["aud"] != self.token_url() {
            Err("another iss, scope or aud")
        } else if !is_timely {
            Err("another iat or exp")
        } else {
            Ok(())
        }
    }

    fn has_access(&self, headers: &HeaderMap) -> bool {
        let bearer = headers
            .get(AUTHORIZATION)
            .and_then(|value| value.to_str().ok());
        let now = self.clock.unix_millis();
        let inside = self.inside();
        bearer
            .and_then(|bearer| bearer.strip_prefix("Bearer "))
            .is_some_and(|token| {
                inside
                    .access
                    .iter()
                    .any(|(one, until)| one == token && now < *until)
            })
    }
}

type Fake = State<Arc<FakeFcm>>;

async fn token(State(fake): Fake, body: String) -> Response {
    if let Err(why) = fake.check_grant(&body) {
        let body = json!({"error": "invalid_grant", "error_description": why});
        return (StatusCode::BAD_REQUEST, Json(body)).into_response();
    }
    let until = fake.clock.unix_millis().saturating_add(TOKEN_TIME);
    let mut inside = fake.inside();
    inside.access_count += 1;
    let token = format!(
        "ya29.{}-{:016x}",
        inside.access_count,
        rand::random::<u64>()
    );
    inside.access.push_back((token.clone(), until));
    let body =
        json!({"access_token": token, "expires_in": TOKEN_TIME.as_secs(), "token_type": "Bearer"});
    Json(body).into_response()
}

async fn send(
    State(fake): Fake,
    Path(project): Path<String>,
    headers: HeaderMap,
    body: String,
) -> Response {
    fake.inside().requests += 1;
    if !fake.has_access(&headers) {
        return refuse(StatusCode::UNAUTHORIZED, "UNAUTHENTICATED", "");
    }
    if project != PROJECT {
        return refuse(StatusCode::NOT_FOUND, "NOT_FOUND", "");
    }
    let body: Value = serde_json::from_str(&body).unwrap_or_default();
    let message = &body["message"];
    let Some(token) = message["token"].as_str() else {
        return refuse(
            StatusCode::BAD_REQUEST,
            "INVALID_ARGUMENT",
            "INVALID_ARGUMENT",
        );
    };
    if !is_well_formed(message) {
        return refuse(
            StatusCode::BAD_REQUEST,
            "INVALID_ARGUMENT",
            "INVALID_ARGUMENT",
        );
    }
    let fault = fake.inside().script.take(token);
    if let Some(fault) = fault
        && let Some(answer) = faults::play(fault, fault_body).await
    {
        return answer;
    }
    let mut inside = fake.inside();
    if inside.dead.contains(token) {
        return refuse(StatusCode::NOT_FOUND, "NOT_FOUND", "UNREGISTERED");
    }
    if inside.messages.len() >= RECORDED_MAX {
        inside.messages.pop_front();
    }
    inside.messages.push_back(message.clone());
    let name = format!("projects/{PROJECT}/messages/{}", inside.requests);
    Json(json!({ "name": name })).into_response()
}

async fn list(State(fake): Fake) -> Response {
    Json(fake.messages()).into_response()
}

/// Values of the data are strings, and all of it is short.
fn is_well_formed(message: &Value) -> bool {
    let data = message["data"].as_object();
    let has_texts = data.is_none_or(|data| data.values().all(Value::is_string));
    let payload = json!([message["notification"], message["data"]]).to_string();
    has_texts && payload.len() <= MESSAGE_BYTES_MAX
}

fn fault_body(status: StatusCode) -> Value {
    let (status, code) = match status {
        StatusCode::TOO_MANY_REQUESTS => ("RESOURCE_EXHAUSTED", "QUOTA_EXCEEDED"),
        StatusCode::SERVICE_UNAVAILABLE => ("UNAVAILABLE", "UNAVAILABLE"),
        StatusCode::UNAUTHORIZED => ("UNAUTHENTICATED", ""),
        _ => ("PERMISSION_DENIED", "SENDER_ID_MISMATCH"),
    };
    error(status, code)
}

fn refuse(status: StatusCode, name: &str, code: &str) -> Response {
    (status, Json(error(name, code))).into_response()
}

fn error(status: &str, code: &str) -> Value {
    let kind = "type.googleapis.com/google.firebase.fcm.v1.FcmError";
    let details = match code {
        "" => json!([]),
        code => json!([{"@type": kind, "errorCode": code}]),
    };
    json!({"error": {"message": "refused", "status": status, "details": details}})
}
