//! A stand-in of the chat server: takes posts of events over HTTP and answers as it is set to.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, State};
use axum::response::{IntoResponse as _, Response};
use axum::routing::post;
use axum::{Json, Router};
use http::header::AUTHORIZATION;
use http::{HeaderMap, StatusCode};
use market_api::app;
use serde_json::{Value, json};
use shared::clock::LocalDateTime;
use shared::drain::Drain;
use shared::event::{EVENTS_MAX, Envelope, EventPost};
use tokio::net::TcpListener;
use tokio::sync::Notify;

/// What it does with a post.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    /// Stores the events.
    Store,
    /// Answers with this status and nothing that a chat server answers.
    Status(u16),
    /// Refuses by their ids the events of this aggregate, else stores.
    Refuse(&'static str),
    /// Refuses an event that was not sent.
    RefuseOther,
    /// Answers 413 to more events than this, else stores.
    AtMost(usize),
    /// Stores the events and does not answer until it is released.
    Hold,
    /// Takes the post and never answers.
    Hang,
}

/// The chat server's stand-in.
#[derive(Debug)]
pub(crate) struct Chat {
    pub(crate) base: String,
    mode: Mutex<Mode>,
    posts: Mutex<Vec<EventPost>>,
    stored: Mutex<Vec<Envelope>>,
    released: Notify,
    drain: Drain,
}

impl Drop for Chat {
    fn drop(&mut self) {
        self.drain.hard().cancel();
    }
}

impl Chat {
    pub(crate) async fn start() -> Arc<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let drain = Drain::new();
        let chat = Arc::new(Self {
            base: format!("http://{}", listener.local_addr().unwrap()),
            mode: Mutex::new(Mode::Store),
            posts: Mutex::default(),
            stored: Mutex::default(),
            released: Notify::new(),
            drain: drain.clone(),
        });
        let routes = Router::new()
            .route("/internal/events", post(take))
            .layer(DefaultBodyLimit::disable())
            // A handler that holds its post does not keep the stand-in itself.
            .with_state(Arc::downgrade(&chat));
        let within = drain.clone();
        drop(drain.spawn("chat", async move {
            app::serve(listener, routes, &within, Duration::from_secs(5)).await
        }));
        chat
    }

    pub(crate) fn set(&self, mode: Mode) {
        *self.mode.lock().unwrap() = mode;
    }

    /// Answers a post that is held.
    pub(crate) fn release(&self) {
        self.released.notify_one();
    }

    /// The number of events of each post so far.
    pub(crate) fn posts(&self) -> Vec<usize> {
        let posts = self.posts.lock().unwrap();
        posts.iter().map(|post| post.events.len()).collect()
    }

    /// The times that the posts so far carried.
    pub(crate) fn posted_at(&self) -> Vec<LocalDateTime> {
        let posts = self.posts.lock().unwrap();
        posts.iter().map(|post| post.posted_at).collect()
    }

    /// The number of each stored event among those of its aggregate, in the order of storing.
    pub(crate) fn stored(&self) -> BTreeMap<String, Vec<u64>> {
        let mut stored: BTreeMap<String, Vec<u64>> = BTreeMap::new();
        for event in &*self.stored.lock().unwrap() {
            let numbers = stored.entry(event.aggregate.as_str().to_owned());
            numbers.or_default().push(event.aggregate_seq);
        }
        stored
    }

    fn store(&self, events: Vec<Envelope>) -> Response {
        let count = events.len();
        self.stored.lock().unwrap().extend(events);
        answer(StatusCode::OK, 0, &json!({ "stored": count }))
    }
}

fn answer(status: StatusCode, code: u64, data: &Value) -> Response {
    let body = json!({ "code": code, "message": "m", "data": data });
    (status, Json(body)).into_response()
}

fn refuse<'a>(ids: impl Iterator<Item = &'a str>) -> Response {
    let refused: Vec<_> = ids
        .map(|id| json!({ "eventId": id, "reason": "bad\u{7} taste" }))
        .collect();
    let data = json!({ "refused": refused });
    answer(StatusCode::UNPROCESSABLE_ENTITY, 1006, &data)
}

async fn take(
    State(chat): State<std::sync::Weak<Chat>>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let chat = chat.upgrade().unwrap();
    let token = headers[AUTHORIZATION].to_str().unwrap();
    assert!(token.starts_with("Bearer ey"), "{token}");
    let post: EventPost = serde_json::from_slice(&body).unwrap();
    let (events, _) = post.parse().unwrap();
    assert!(!events.is_empty() && events.len() <= EVENTS_MAX);
    chat.posts.lock().unwrap().push(post);
    let mode = chat.mode.lock().unwrap().clone();
    match mode {
        Mode::Store => chat.store(events),
        Mode::Status(status) => StatusCode::from_u16(status).unwrap().into_response(),
        Mode::Refuse(aggregate) => {
            let is_bad = |event: &&Envelope| event.aggregate.as_str() == aggregate;
            let bad: Vec<_> = events.iter().filter(is_bad).collect();
            if bad.is_empty() {
                return chat.store(events);
            }
            refuse(bad.into_iter().map(|event| event.id.as_str()))
        }
        Mode::RefuseOther => refuse(std::iter::once("other")),
        Mode::AtMost(most) if events.len() > most => StatusCode::PAYLOAD_TOO_LARGE.into_response(),
        Mode::AtMost(_) => chat.store(events),
        Mode::Hold => {
            let stored = chat.store(events);
            chat.released.notified().await;
            stored
        }
        Mode::Hang => {
            drop(chat);
            std::future::pending().await
        }
    }
}
