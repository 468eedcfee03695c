//! Serving: builds both servers, serves them on one port, and stops them in order.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use chat_server::app::{BuildError, Node};
use chat_server::auth::KeySource;
use chat_server::config::{
    BusUrl, Config, PushFlags, RedisFlags, ScyllaFlags, StopTimes, StoreUrl,
};
use chat_server::store::StoreError;
use market_api::app::BuildError as MarketBuildError;
use shared::clock::{Clock, SystemClock};
use shared::drain::{Drain, Failed};
use shared::files;
use shared::limits::{OpenFiles, TooFewFiles};
use shared::telemetry;
use shared::trace::export::{self, TraceSettings};
use shared::web::{self, ApiError, Hosts, Serving};
use tokio::net::{TcpListener, TcpSocket};
use tokio::time::timeout;
use tracing::{info, warn};

use crate::demo::{self, DemoError};
use crate::keys::{DevKey, KeyError, SITE};
use crate::login::{self, Login};
use crate::market::{self, Urls};
use crate::page;
use crate::payments;
use crate::push;
use crate::settings::Serve;

/// How long connections may take to close. A single node has no other to move clients to:
/// acknowledged messages are on the disk, and clients reconnect by themselves.
const GOODBYE_MAX: Duration = Duration::from_millis(500);

/// Connections that wait to be accepted: all clients may reconnect at once.
const BACKLOG: u32 = 4_096;

/// Prefixes of all entries that this program keeps in its data folder.
const OURS: [&str; 7] = [
    "chat",
    "dev-key.pem",
    "images",
    "jwks.json",
    "market.db",
    payments::FOLDER,
    push::VAPID_KEY,
];

/// Why serving did not start, or ended.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ServeError {
    /// Another program has the port.
    #[error(
        "{address} is taken by another program (perhaps by a dapanda that still runs): stop that \
         one, or choose another port with --listen {}:{}", .address.ip(), next_port(*.address)
    )]
    PortTaken {
        /// The address.
        address: SocketAddr,
    },
    /// The address cannot be used.
    #[error("cannot listen on {address}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// The cause.
        source: io::Error,
    },
    /// The limit of open files is too low.
    #[error(transparent)]
    Files(#[from] TooFewFiles),
    /// The development key cannot be read or created.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The chat server could not be built.
    #[error("the chat server cannot start on the folder {folder}")]
    Build {
        /// The data folder.
        folder: String,
        /// The cause.
        source: BuildError,
    },
    /// The market could not be built.
    #[error("the market cannot start")]
    Market(#[from] MarketBuildError),
    /// The market's demo data could not be created.
    #[error("demo members and offers cannot be made: {}", .0.code().english())]
    Members(ApiError),
    /// The chat's demo data could not be created.
    #[error(transparent)]
    Demo(#[from] DemoError),
    /// The export of traces could not be started.
    #[error(transparent)]
    Traces(#[from] export::StartError),
    /// The operating system refused a call.
    #[error("cannot go on")]
    System(#[from] io::Error),
    /// A vital task failed while serving.
    #[error(transparent)]
    Failed(#[from] Failed),
    /// The last writes could not be stored.
    #[error("the store could not be closed")]
    Close(#[source] StoreError),
}

/// Serves until SIGINT or SIGTERM.
///
/// # Errors
/// See [`ServeError`].
pub(crate) async fn run(settings: &Serve) -> Result<(), ServeError> {
    let build = shared::build_info!();
    telemetry::log_build_info(&build);
    let open_files = OpenFiles::raise()?;
    let traces = export::start(&settings.traces, &build)?;
    let drain = Drain::new();
    drain.stop_on_signals()?;
    // The port is bound first: if this program runs already, that is the clearest error. It is
    // opened once everything that answers on it is built.
    let port = Port::take(settings.listen)?;
    let address = port.socket.local_addr()?;
    let key = DevKey::open(&settings.data)?;
    files::close_to_others(&settings.data, &OURS)?;
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let push = push::start(&settings.data, &clock, &drain)?;
    let urls = Urls::of(address).ok_or_else(|| io::Error::other("the address has no URL"))?;
    let stand_ins = payments::start(settings, &urls, &clock, &drain)?;
    let mut config = chat_config(settings, &key, push)?;
    config.limits.fit(open_files);
    let node = Node::build(&config, clock.clone(), drain.clone()).await;
    let node = node.map_err(|source| ServeError::Build {
        folder: settings.data.display().to_string(),
        source,
    })?;
    demo::set_up(&node.services).await?;
    let market = market::config(settings, &urls, stand_ins.settings);
    let serving = Serving {
        hosts: Some(Hosts::of_this_computer(&settings.hosts(), address)),
        ..settings.market.serving(&market.allowed_origins)
    };
    let market = market::build(&market, &node, clock.clone(), &drain).await?;
    let administrator = market::set_up(&market).await;
    let administrator = administrator.map_err(ServeError::Members)?;
    let login = Login {
        market: Arc::clone(&market),
        administrator,
        message_chars_max: settings.chat.message_chars_max,
    };
    let page = page::router(settings.images_public_url.as_ref());
    let router = router(&node, login)
        .merge(page)
        .merge(stand_ins.pages)
        .merge(market::router(&market, &urls, clock));
    market.set_started();
    drop(market);
    node.set_started();
    let listener = port.open()?;
    announce(address);
    let served = serve(listener, router, &drain, serving).await;
    if timeout(GOODBYE_MAX, drain.wait(GOODBYE_MAX)).await.is_err() {
        info!("not waiting for: {:?}", drain.running());
    }
    node.close().map_err(ServeError::Close)?;
    traces.end().await;
    served?;
    drain.outcome()?;
    info!("stopped");
    Ok(())
}

/// A port that is bound and not listening yet: connections are refused.
struct Port {
    socket: TcpSocket,
    address: SocketAddr,
}

impl Port {
    fn take(address: SocketAddr) -> Result<Self, ServeError> {
        let bind = || {
            let socket = if address.is_ipv4() {
                TcpSocket::new_v4()?
            } else {
                TcpSocket::new_v6()?
            };
            socket.set_reuseaddr(true)?;
            web::bound_buffers(&socket)?;
            socket.bind(address)?;
            Ok(socket)
        };
        let socket = bind().map_err(|source| listen_error(address, source))?;
        Ok(Self { socket, address })
    }

    fn open(self) -> Result<TcpListener, ServeError> {
        let opened = self.socket.listen(BACKLOG);
        opened.map_err(|source| listen_error(self.address, source))
    }
}

fn listen_error(address: SocketAddr, source: io::Error) -> ServeError {
    if source.kind() == io::ErrorKind::AddrInUse {
        ServeError::PortTaken { address }
    } else {
        ServeError::Listen { address, source }
    }
}

/// The settings of the embedded chat server: its own flags, and fixed values for the rest.
fn chat_config(settings: &Serve, key: &DevKey, push: PushFlags) -> Result<Config, KeyError> {
    Ok(Config {
        listen: settings.listen,
        admin_listen: settings.listen,
        store: StoreUrl::File(settings.data.join("chat")),
        scylla: ScyllaFlags::default(),
        bus: BusUrl::Local,
        redis: RedisFlags::default(),
        jwks: KeySource::File(key.publish()?),
        token_issuer: SITE.to_owned(),
        token_audience: SITE.to_owned(),
        allowed_origins: settings.origins(),
        http_idle_time: settings.market.idle_time,
        push,
        limits: settings.chat.clone(),
        stop: StopTimes::at_once(GOODBYE_MAX),
        log_format: settings.log_format,
        log: settings.log.clone(),
        traces: TraceSettings::default(),
    })
}

fn router(node: &Node, login: Login) -> Router {
    node.public_router()
        .merge(node.admin_router())
        .merge(login::router(login))
}

/// Serves until the drain begins. It does not wait for requests that still run then.
async fn serve(
    listener: TcpListener,
    router: Router,
    drain: &Drain,
    how: Serving,
) -> io::Result<()> {
    let (soft, within) = (drain.soft(), drain.clone());
    let serving = drain.spawn("http", async move {
        web::serve(listener, router, &within, how).await
    });
    match soft.run_until_cancelled(serving).await {
        Some(Ok(served)) => served,
        Some(Err(lost)) => Err(io::Error::other(lost)),
        None => Ok(()),
    }
}

fn announce(address: SocketAddr) {
    let ip = address.ip();
    if ip.is_ipv4() && ip.is_loopback() {
        info!("open http://localhost:{}", address.port());
    } else {
        info!("open http://{address}");
    }
    if !ip.is_loopback() {
        warn!("whoever reaches {address} may log in as any demo member, and as administrator");
    }
}

fn next_port(address: SocketAddr) -> u16 {
    address.port().checked_add(1).unwrap_or(8080)
}
