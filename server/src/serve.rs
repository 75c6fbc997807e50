//! The server process: start, serve, and stop without losing an answer.

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use access::Access;
use anyhow::{Context, Result, anyhow};
use app::AppContext;
use axum::Router;
use axum::serve::ListenerExt;
use ledger::Ledger;
use leptos::config::LeptosOptions;
use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::books::{Books, Opening};
use crate::completeness;
use crate::config::{Config, local_url};
use crate::http::parties::gateway::Gateway;
use crate::http::plumbing::state::{Http, HttpState};
use crate::http::router;
use crate::terminal::say;

/// How long requests that are under way may take to end once the server stops.
const DRAIN_MAX: Duration = Duration::from_secs(10);
/// How long calls that were metered may take after that to be charged.
const SETTLE_MAX: Duration = Duration::from_secs(5);

/// Serves until a signal ends it.
///
/// # Errors
/// When it cannot start.
pub async fn run(config: &Config) -> Result<()> {
    let signals = Signals::listen()?;
    let server = Box::pin(Server::start(config)).await?;
    welcome(server.ledger(), &server.config).await?;
    let signal = signals.first().await;
    tracing::info!("stopping after {signal}");
    server.stop().await
}

/// A server that listens.
pub struct Server {
    /// With the address it really listens on.
    config: Config,
    books: Books,
    context: AppContext,
    shutdown: CancellationToken,
    serving: JoinHandle<std::io::Result<()>>,
    /// Metered calls, which may outlive the request that made them.
    calls: TaskTracker,
    /// The recurring work: the ledger's, looking for what never arrived, and following paused runs.
    jobs: JoinHandle<()>,
}

impl Server {
    /// Opens the ledger and listens.
    ///
    /// # Errors
    /// When the address is taken, or the ledger does not open.
    pub async fn start(config: &Config) -> Result<Self> {
        // First of all: that the address is taken should not come out after a long start.
        let listener = bind(config.addr).await?;
        let addr = listener.local_addr().context("the address to listen on")?;
        let config = Config {
            addr,
            ..config.clone()
        };
        let books = Box::pin(Books::open(&config, Opening::Prepare)).await?;
        let upstream = dify_client::connections()?;
        let dify = dify_client::Dify::new(upstream.clone());
        let context = AppContext {
            check_served: completeness::on_demand(books.ledger.clone(), dify.clone()),
            ledger: books.ledger.clone(),
            access: Access::new(
                books.ledger.clone(),
                books.secret.cookie_key(),
                config.public_url.clone(),
            ),
            recharge_url: config.recharge_url.clone(),
        };
        let shutdown = CancellationToken::new();
        let calls = TaskTracker::new();
        let http = Http::new(HttpState {
            context: context.clone(),
            leptos: site(&config),
            base_url: config.base_url(),
            shutdown: shutdown.clone(),
            upstream,
            dify: dify.clone(),
            upstream_silence_max: Duration::from_secs(config.upstream_silence_seconds.into()),
            calls: calls.clone(),
        });
        let gateway = Gateway::new(http.clone());
        let routes = router(http, gateway.clone());
        Ok(Self {
            serving: tokio::spawn(serve(listener, routes, shutdown.clone())),
            jobs: tokio::spawn({
                let ledger = books.ledger.clone();
                async move {
                    tokio::join!(
                        ledger.run_jobs(),
                        completeness::run(ledger.clone(), dify),
                        gateway.follow_paused_runs(),
                    );
                }
            }),
            config,
            books,
            context,
            shutdown,
            calls,
        })
    }

    /// Where it listens.
    #[must_use]
    pub const fn addr(&self) -> SocketAddr {
        self.config.addr
    }

    #[must_use]
    pub const fn ledger(&self) -> &Ledger {
        &self.books.ledger
    }

    /// What pages and server functions get.
    #[must_use]
    pub const fn context(&self) -> &AppContext {
        &self.context
    }

    /// Takes no more requests, lets those under way end, and closes the ledger.
    ///
    /// # Errors
    /// When serving had already ended badly.
    pub async fn stop(self) -> Result<()> {
        self.shutdown.cancel();
        let served = tokio::time::timeout(DRAIN_MAX, self.serving).await;
        self.calls.close();
        if tokio::time::timeout(SETTLE_MAX, self.calls.wait())
            .await
            .is_err()
        {
            let count = self.calls.len();
            tracing::error!(
                count,
                "{count} metered calls could not be charged before the end"
            );
        }
        self.jobs.abort();
        drop(self.context);
        self.books.close().await;
        match served {
            Ok(served) => Ok(served.context("the server ended badly")??),
            Err(_) => {
                let seconds = DRAIN_MAX.as_secs();
                tracing::warn!("some requests did not end within {seconds} seconds");
                Ok(())
            }
        }
    }
}

async fn serve(
    listener: TcpListener,
    routes: Router,
    shutdown: CancellationToken,
) -> std::io::Result<()> {
    // Answers are small and complete; waiting for more to send would only delay them.
    let listener = listener.tap_io(|stream| {
        drop(stream.set_nodelay(true));
    });
    let service = routes.into_make_service_with_connect_info::<SocketAddr>();
    axum::serve(listener, service)
        .with_graceful_shutdown(shutdown.cancelled_owned())
        .await
}

async fn bind(addr: SocketAddr) -> Result<TcpListener> {
    TcpListener::bind(addr).await.map_err(|error| match error.kind() {
        ErrorKind::AddrInUse => anyhow!(
            "{addr} is in use by another program. Stop it, or choose another address, as in TOLLGATE_ADDR={}:{}",
            addr.ip(),
            addr.port().checked_add(1).unwrap_or(3000)
        ),
        ErrorKind::PermissionDenied => anyhow!(
            "this user may not listen on {addr}. Choose a port from 1024 up, as in TOLLGATE_ADDR={}:3000",
            addr.ip()
        ),
        _ => anyhow!("cannot listen on {addr}: {error}"),
    })
}

fn site(config: &Config) -> LeptosOptions {
    let root = config.find_site_root();
    if !root.join("pkg").is_dir() {
        tracing::warn!(
            "there is no built site in {}, so pages come without styles and scripts; run make build, or set TOLLGATE_SITE_ROOT",
            root.display()
        );
    }
    LeptosOptions::builder()
        .output_name(Arc::<str>::from("tollgate"))
        .site_root(Arc::<str>::from(root.to_string_lossy()))
        .site_pkg_dir(Arc::<str>::from("pkg"))
        .site_addr(config.addr)
        .build()
}

/// Says where to go. The first line is the sign that the server is ready.
async fn welcome(ledger: &Ledger, config: &Config) -> Result<()> {
    say(&format!("Tollgate is ready on {}", local_url(config.addr)));
    if let Some(url) = &config.public_url {
        say(&format!("People reach it on {url}"));
    }
    let administrators = ledger
        .administrator_count()
        .await
        .context("the administrators could not be counted")?;
    if administrators == 0 {
        say("There is no administrator yet. Create one with: tollgate admin create");
    }
    Ok(())
}

/// The signals that end the server.
struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    fn listen() -> Result<Self> {
        let listen = |kind| signal(kind).context("signals cannot be received");
        Ok(Self {
            interrupt: listen(SignalKind::interrupt())?,
            terminate: listen(SignalKind::terminate())?,
        })
    }

    /// Waits for the first; a second one, while stopping, ends the process at once.
    async fn first(mut self) -> &'static str {
        let name = tokio::select! {
            _ = self.interrupt.recv() => "SIGINT",
            _ = self.terminate.recv() => "SIGTERM",
        };
        tokio::spawn(async move {
            tokio::select! {
                _ = self.interrupt.recv() => {}
                _ = self.terminate.recv() => {}
            }
            std::process::exit(130);
        });
        name
    }
}
