//! Stand-ins of Firebase Cloud Messaging and of a browser's push service, on a port of their own.
//!
//! The chat server's real adapters call them over HTTP. The program's own listener does not serve them: it refuses
//! encrypted bodies, and a page of a browser has no business there.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;

use axum::Router;
use chat_server::config::{AccountSource, PushFlags};
use fakes::fcm::FakeFcm;
use fakes::web_push::FakePushService;
use reqwest::Url;
use shared::claims::generate_key;
use shared::clock::Clock;
use shared::config::Secret;
use shared::drain::Drain;
use shared::files;
use shared::web::listen;
use tracing::{info, warn};

/// The key that browsers subscribe with, in the data folder.
pub(crate) const VAPID_KEY: &str = "vapid-key.pem";

/// Push services would reach the operator there.
const CONTACT: &str = "mailto:nobody@localhost";

/// Starts the stand-ins; returns the settings that lead there.
pub(crate) fn start(data: &Path, clock: &Arc<dyn Clock>, drain: &Drain) -> io::Result<PushFlags> {
    let listener = listen(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))?;
    let base = format!("http://{}", listener.local_addr()?);
    let url = |path: &str| Url::parse(&format!("{base}{path}")).map_err(io::Error::other);
    let (fcm_url, web_url) = (url("/fcm")?, url("/push")?);
    let failed = |_no_key| io::Error::other("no key could be generated");
    let fcm = FakeFcm::new(fcm_url.as_str(), Arc::clone(clock)).map_err(failed)?;
    let account = fcm.account().map_err(failed)?;
    let web = FakePushService::new(web_url.as_str(), Arc::clone(clock));
    let router = Router::new()
        .nest("/fcm", Arc::new(fcm).router())
        .nest("/push", Arc::new(web).router());
    let soft = drain.soft();
    drop(drain.spawn("push-stand-ins", async move {
        let serving = axum::serve(listener, router).into_future();
        if let Some(Err(error)) = soft.run_until_cancelled(serving).await {
            warn!("the stand-ins of push services have ended: {error}");
        }
    }));
    info!("stand-ins of push services: {base}");
    Ok(PushFlags {
        fcm_account: Some(AccountSource::Text(Secret::new(account))),
        fcm_url,
        vapid_key: vapid_key(data),
        push_contact: CONTACT.to_owned(),
        push_test_url: Some(web_url),
        ..PushFlags::default()
    })
}

/// The key of this data folder, created at the first start. Without one (a full disk) browsers get no push.
fn vapid_key(data: &Path) -> Option<std::path::PathBuf> {
    let path = data.join(VAPID_KEY);
    let create = || {
        let fresh = generate_key().map_err(io::Error::other)?.private_pem;
        files::place_once(&path, fresh.expose().as_bytes())
    };
    let there = if path.exists() { Ok(()) } else { create() };
    match there {
        Ok(()) => Some(path),
        Err(error) => {
            warn!(
                "browsers get no push: {} cannot be created: {error}",
                path.display()
            );
            None
        }
    }
}
