//! HTTP client of the chat server's internal API, on its admin port. Authenticates with a service token.
//!
//! One client for everything that the market sends there: rooms (`chats`), domain events (`relay`), and queries
//! about reported messages (`reports`).
//!
//! What this module does not do: interpret responses, retry, or set deadlines. The callers do.

use std::fmt;
use std::sync::Arc;

use http::Method;
use reqwest::Url;
use serde::Serialize;
use shared::claims::{ServiceGrant, TokenId};
use shared::clock::Clock;
use shared::trace::{TRACEPARENT, TraceParent};

use crate::auth::KeyRing;
use crate::outgoing::{self, NoAnswer};

pub use crate::outgoing::Answer;

/// The service name in the token.
const SERVICE: &str = "market-api";

/// The HTTP client could not be built.
#[derive(Debug, thiserror::Error)]
#[error("no HTTP client could be made")]
pub struct NoClient(#[source] reqwest::Error);

/// Why a request has no response.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CallError {
    /// The chat server is unreachable, or its response broke off or is too long. A retry may succeed.
    #[error("{0}")]
    Away(String),
    /// The request could not be made: a defect, or a key that does not sign.
    #[error("{0}")]
    Unsent(String),
}

/// A request.
#[derive(Clone, Copy, Debug)]
pub struct Call<'a, B> {
    /// The method.
    pub method: &'a Method,
    /// The path below `/internal/`.
    pub path: &'a str,
    /// The body, sent as JSON, if there is one.
    pub body: Option<&'a B>,
    /// Bound of the response in bytes.
    pub answer_bytes_max: usize,
}

/// A chat server, or a load balancer in front of several.
pub struct ChatApi {
    http: reqwest::Client,
    base: Url,
    keys: Arc<KeyRing>,
    clock: Arc<dyn Clock>,
}

impl fmt::Debug for ChatApi {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ChatApi")
            .field("base", &self.base.as_str())
            .finish_non_exhaustive()
    }
}

impl ChatApi {
    /// A client of the chat server at this admin address. The newest of `keys` signs the tokens.
    ///
    /// # Errors
    /// See [`NoClient`].
    pub fn new(base: &Url, keys: Arc<KeyRing>, clock: Arc<dyn Clock>) -> Result<Self, NoClient> {
        // A server in our own network.
        let builder = outgoing::client([base].into_iter()).no_proxy();
        let mut internal = base.clone();
        let path = format!("{}/internal/", base.path().trim_end_matches('/'));
        internal.set_path(&path);
        Ok(Self {
            http: builder.build().map_err(NoClient)?,
            base: internal,
            keys,
            clock,
        })
    }

    /// Sends a request. Any response is a success here, whatever its status.
    ///
    /// # Errors
    /// See [`CallError`].
    pub async fn call<B: Serialize + Sync>(&self, call: Call<'_, B>) -> Result<Answer, CallError> {
        let answer = outgoing::send(self.request(&call)?, call.answer_bytes_max).await;
        answer.map_err(|NoAnswer(reason)| CallError::Away(reason))
    }

    fn request<B: Serialize>(
        &self,
        call: &Call<'_, B>,
    ) -> Result<reqwest::RequestBuilder, CallError> {
        let grant = ServiceGrant {
            service: SERVICE.parse().expect("the constant is a service's name"),
            token_id: TokenId::random(&mut rand::rng()),
        };
        let token = self.keys.sign_service(grant, self.clock.unix_millis());
        let token = token.map_err(|error| CallError::Unsent(error.to_string()))?;
        let url = self.base.join(call.path);
        let url = url.map_err(|error| CallError::Unsent(error.to_string()))?;
        let mut request = self.http.request(call.method.clone(), url);
        if let Some(trace) = TraceParent::current() {
            request = request.header(TRACEPARENT, trace.to_string());
        }
        request = request.bearer_auth(token.expose());
        Ok(match call.body {
            Some(body) => request.json(body),
            None => request,
        })
    }
}
