//! Stand-ins of the payment gateway and of the payout provider.
//!
//! The market's real clients call them over HTTP, on a port of their own: before this program's own listener is open,
//! the market already reconciles what a kill has interrupted. Browsers find the page for payments below [`PATH`] of
//! the program. Books and keys are kept in the data folder, so that a restart continues: an idempotency key answers
//! as before it.

use std::fs;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;

use axum::Router;
use fakes::payout::FakePayout;
use fakes::toss::FakeToss;
use market_api::config::PaymentSettings;
use reqwest::Url;
use shared::clock::Clock;
use shared::config::Secret;
use shared::drain::Drain;
use shared::files;
use shared::web::listen;
use tracing::{info, warn};

use crate::market::Urls;
use crate::settings::Serve;

/// The stand-ins' folder within the data folder.
pub(crate) const FOLDER: &str = "payments-stand-in";

/// Path of the gateway's stand-in on the program's own listener.
const PATH: &str = "/fake/toss";

/// What the stand-ins are for the rest of the program.
#[derive(Debug)]
pub(crate) struct StandIns {
    /// The market's settings, which lead to the stand-ins.
    pub(crate) settings: PaymentSettings,
    /// The pages for browsers.
    pub(crate) pages: Router,
}

/// Starts the stand-ins; they end at the soft token.
pub(crate) fn start(
    settings: &Serve,
    urls: &Urls,
    clock: &Arc<dyn Clock>,
    drain: &Drain,
) -> io::Result<StandIns> {
    let folder = settings.data.join(FOLDER);
    files::make_folder(&folder)?;
    let keys = Keys::open(&folder)?;
    let pages = urls.for_browsers(PATH)?;
    let origins = [settings.origins(), urls.own_origins(&settings.hosts())].concat();
    let origins: Vec<_> = origins.iter().map(String::as_str).collect();
    let books = folder.join("toss.jsonl");
    let toss = FakeToss::open(&books, &keys.toss, Arc::clone(clock));
    let toss = toss.map_err(|error| unreadable(&books, &error))?;
    let toss = Arc::new(toss.at(pages.as_str()).allow_origins(&origins));
    let books = folder.join("payouts.jsonl");
    let payouts = FakePayout::open(&books, &keys.payouts, Arc::clone(clock));
    let payouts = Arc::new(payouts.map_err(|error| unreadable(&books, &error))?);

    let listener = listen(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))?;
    let base = format!("http://{}", listener.local_addr()?);
    let url = |path: &str| Url::parse(&format!("{base}{path}")).map_err(io::Error::other);
    let router = Router::new()
        .nest("/toss", Arc::clone(&toss).router())
        .nest("/payouts", payouts.router());
    let soft = drain.soft();
    drop(drain.spawn("payment-stand-ins", async move {
        let serving = axum::serve(listener, router).into_future();
        if let Some(Err(error)) = soft.run_until_cancelled(serving).await {
            warn!("the stand-ins of payments have ended: {error}");
        }
    }));
    send_webhooks(&toss, urls, &keys.webhooks, drain);
    info!("stand-ins of the payment gateway and of payouts: {base}");
    Ok(StandIns {
        settings: PaymentSettings {
            toss_url: url("/toss")?,
            toss_secret_key: Some(Secret::new(keys.toss)),
            toss_webhook_secret: Some(Secret::new(keys.webhooks)),
            pay_page_url: Some(urls.for_browsers(&format!("{PATH}/pay"))?),
            payout_url: Some(url("/payouts")?),
            payout_key: Some(Secret::new(keys.payouts)),
        },
        pages: Router::new().nest(PATH, toss.router()),
    })
}

/// Sends webhooks to the program itself, where that is an address of this computer alone.
fn send_webhooks(toss: &Arc<FakeToss>, urls: &Urls, secret: &str, drain: &Drain) {
    let hook = urls.for_itself(&format!("/hooks/toss/{secret}"));
    if !hook.is_ok_and(|url| toss.send_webhooks_to(url.as_str()).is_ok()) {
        warn!("the payment gateway's stand-in sends no webhooks: deposits are found by queries");
        return;
    }
    let (toss, soft) = (Arc::clone(toss), drain.soft());
    drop(drain.spawn("payment-webhooks", async move {
        soft.run_until_cancelled(toss.serve_webhooks()).await;
    }));
}

fn unreadable(path: &Path, error: &io::Error) -> io::Error {
    let path = path.display();
    io::Error::new(error.kind(), format!("{path} cannot be used: {error}"))
}

/// The keys between the market and the stand-ins.
struct Keys {
    toss: String,
    webhooks: String,
    payouts: String,
}

impl Keys {
    /// The keys of this folder, created at the first start.
    fn open(folder: &Path) -> io::Result<Self> {
        Ok(Self {
            toss: key(&folder.join("toss-key"), "test_sk_")?,
            webhooks: key(&folder.join("webhook-key"), "")?,
            payouts: key(&folder.join("payout-key"), "payout_")?,
        })
    }
}

fn key(path: &Path, prefix: &str) -> io::Result<String> {
    let fresh = format!("{prefix}{:032x}", rand::random::<u128>());
    files::place_once(path, fresh.as_bytes())?;
    fs::read_to_string(path)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use shared::clock::SystemClock;
    use shared::config::parse;

    use super::*;

    fn started(folder: &Path) -> StandIns {
        let folder = folder.to_str().unwrap();
        let settings: Serve = parse(["dapanda", "--data", folder]).unwrap();
        let urls = Urls::of(SocketAddr::from(([127, 0, 0, 1], 8_080))).unwrap();
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        start(&settings, &urls, &clock, &Drain::new()).unwrap()
    }

    #[tokio::test]
    async fn keys_outlive_a_restart_and_are_closed_to_others() {
        let data = tempfile::tempdir().unwrap();
        let exposed = |settings: &PaymentSettings| {
            let keys = [
                &settings.toss_secret_key,
                &settings.toss_webhook_secret,
                &settings.payout_key,
            ];
            keys.map(|key| key.as_ref().unwrap().expose().clone())
        };
        let first = exposed(&started(data.path()).settings);
        let again = exposed(&started(data.path()).settings);
        assert_eq!(first, again);
        assert!(first[0] != first[1] && first[1] != first[2]);
        let folder = data.path().join(FOLDER);
        for entry in fs::read_dir(&folder).unwrap() {
            let mode = entry.unwrap().metadata().unwrap().permissions().mode();
            assert_eq!(mode & 0o077, 0);
        }
    }

    #[tokio::test]
    async fn browsers_are_sent_to_the_program_itself() {
        let data = tempfile::tempdir().unwrap();
        let settings = started(data.path()).settings;
        let page = settings.pay_page_url.unwrap();
        assert_eq!(page.as_str(), "http://localhost:8080/fake/toss/pay");
        assert_eq!(settings.toss_url.host_str(), Some("127.0.0.1"));
    }
}
