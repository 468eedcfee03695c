//! The push services' stand-ins on a free port, and the settings that lead there.

use std::sync::Arc;

use axum::Router;
use chat_server::app;
use fakes::fcm::FakeFcm;
use fakes::web_push::FakePushService;
use reqwest::Url;
use shared::claims::generate_key;
use shared::clock::Clock;
use shared::drain::Drain;
use tempfile::TempDir;

use crate::support::PATIENCE;

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

    pub(super) fn path(&self, name: &str) -> std::path::PathBuf {
        self.folder.path().join(name)
    }
}
