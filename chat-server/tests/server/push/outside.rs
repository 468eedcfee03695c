//! The push services' stand-ins on a free port, and the settings that lead there.

use std::sync::Arc;

use axum::Router;
use chat_server::app;
use chat_server::push::{PushNotice, PushText};
use fakes::fcm::FakeFcm;
use fakes::web_push::FakePushService;
use http::Method;
use reqwest::Url;
use serde_json::{Value, json};
use shared::claims::generate_key;
use shared::clock::Clock;
use shared::drain::Drain;
use shared::ids::MemberId;
use stomp::{Command, FrameWriter, Version};
use tempfile::TempDir;

use crate::support::client::Client;
use crate::support::{PATIENCE, Site, TestNode};

/// Both services.
pub(super) struct Outside {
    pub(super) fcm: Arc<FakeFcm>,
    pub(super) web: Arc<FakePushService>,
    pub(super) fcm_url: Url,
    pub(super) web_url: Url,
    pub(super) folder: TempDir,
    drain: StopAtEnd,
}

struct StopAtEnd(Drain);

impl Drop for StopAtEnd {
    fn drop(&mut self) {
        self.0.stop();
    }
}

impl Outside {
    /// The stand-ins of a site's services, by its clock.
    pub(super) fn of(site: &Site) -> Self {
        Self::start(&(Arc::clone(&site.clock) as Arc<dyn Clock>))
    }

    pub(super) fn start(clock: &Arc<dyn Clock>) -> Self {
        let listener = app::listen("127.0.0.1:0".parse().unwrap()).unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let url = |path: &str| Url::parse(&format!("{base}{path}")).unwrap();
        let (fcm_url, web_url) = (url("/fcm"), url("/push"));
        let fcm = Arc::new(FakeFcm::new(fcm_url.as_str(), Arc::clone(clock)).unwrap());
        let web = Arc::new(FakePushService::new(web_url.as_str(), Arc::clone(clock)));
        let router = Router::new()
            .nest("/fcm", Arc::clone(&fcm).router())
            .nest("/push", Arc::clone(&web).router());
        let drain = Drain::new();
        let own = drain.clone();
        // Not by our own listener: it refuses a body with a content coding.
        drop(drain.spawn("outside", async move {
            let serving = axum::serve(listener, router).into_future();
            drop(own.soft().run_until_cancelled(serving).await);
        }));
        let folder = tempfile::tempdir().unwrap();
        let write =
            |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
        write("account.json", &fcm.account().unwrap());
        write("vapid.pem", generate_key().unwrap().private_pem.expose());
        Self {
            fcm,
            web,
            fcm_url,
            web_url,
            folder,
            drain: StopAtEnd(drain),
        }
    }

    /// The services are gone.
    pub(super) async fn stop(&self) {
        self.drain.0.stop();
        self.drain.0.wait(PATIENCE).await.unwrap();
    }

    /// The settings of a node that pushes to these services.
    pub(super) fn settings(&self) -> Vec<String> {
        let path = |name: &str| self.path(name).display().to_string();
        [
            ("--fcm-account", path("account.json")),
            ("--fcm-url", self.fcm_url.to_string()),
            ("--vapid-key", path("vapid.pem")),
            ("--push-contact", "mailto:push@dapanda.example".to_owned()),
            ("--push-test-url", self.web_url.to_string()),
        ]
        .into_iter()
        .flat_map(|(flag, value)| [flag.to_owned(), value])
        .collect()
    }

    /// A node of this site that pushes to these services.
    pub(super) async fn node(&self, site: &Site) -> TestNode {
        let settings = self.settings();
        let settings: Vec<&str> = settings.iter().map(String::as_str).collect();
        site.node(&settings).await
    }

    /// The tokens that got a message, with the messages' bodies, in the order of arrival.
    pub(super) fn pushed(&self) -> Vec<(String, String)> {
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let messages = self.fcm.messages();
        let pushed = messages.iter();
        pushed
            .map(|message| {
                (
                    text(&message["token"]),
                    text(&message["notification"]["body"]),
                )
            })
            .collect()
    }

    pub(super) fn path(&self, name: &str) -> std::path::PathBuf {
        self.folder.path().join(name)
    }
}

/// A member's request to a node: status and code.
pub(super) async fn ask(
    node: &TestNode,
    member: i64,
    (method, path): (Method, &str),
    body: Value,
) -> (u16, Value) {
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let request = client.request(method, format!("http://{}{path}", node.address));
    let request = request.bearer_auth(node.token(member)).timeout(PATIENCE);
    let answer = request.json(&body).send().await.unwrap();
    let status = answer.status().as_u16();
    (status, answer.json().await.unwrap())
}

/// A member's request that works: its data.
pub(super) async fn done(
    node: &TestNode,
    member: i64,
    request: (Method, &str),
    body: Value,
) -> Value {
    let (status, mut answer) = ask(node, member, request.clone(), body).await;
    assert_eq!(
        (status, answer["code"].as_u64()),
        (200, Some(0)),
        "{request:?}"
    );
    answer["data"].take()
}

/// A member's app gets push notifications.
pub(super) async fn save(node: &TestNode, member: i64, token: &str) {
    let request = (Method::POST, "/api/fcm/save");
    done(node, member, request, json!({ "token": token })).await;
}

/// A notification as an event of the market makes one.
pub(super) fn notice(member: i64, event: &str) -> PushNotice {
    let member = MemberId::try_from(member).unwrap();
    let text = PushText::new("판매됨", event);
    PushNotice::of_event(
        member,
        (event, "trade.completed"),
        text,
        json!({"tradeId": 1}),
    )
}

/// A member's message with these headers, stored.
pub(super) async fn say(client: &mut Client, room: i64, text: &str, headers: &[(&str, &str)]) {
    let body = json!({ "message": text }).to_string();
    let mut frame = FrameWriter::new(Command::Send, Version::V1_2)
        .header("destination", &format!("/pub/{room}"))
        .header("receipt", "stored");
    for (name, value) in headers {
        frame = frame.header(name, value);
    }
    client.send(frame.body(body.as_bytes())).await;
    let receipt = client
        .until(|frame| frame.command() == Command::Receipt)
        .await;
    assert_eq!(receipt.header("receipt-id"), Some("stored"));
}
