//! The HTTP server: the page, its WebSocket, and Foxglove's.

use crate::app::{App, MOST_VIEWERS};
use crate::args::{Args, Listen};
use crate::feed::Feeds;
use crate::gate::{Gate, Refusal, Token, subprotocols};
use crate::pattern::Patterns;
use crate::protocol::SUBPROTOCOL;
use crate::regions::Regions;
use crate::{foxglove, page, session};
use anyhow::Context;
use axum::Router;
use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::extract::{State, WebSocketUpgrade};
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use axum::routing::{any, get};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use tokio::net::TcpListener;

/// Where it listens if nothing else is asked for; the next free port if that is taken.
const PORT: u16 = 7650;
/// What pages and clients send is short.
pub(crate) const MOST_REQUEST: usize = 256 * 1024;

/// Runs until a signal.
pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().context("cannot start")?;
    let result = runtime.block_on(serve(args));
    // A control message that waits for its server does not keep the program.
    runtime.shutdown_background();
    result
}

async fn serve(args: &Args) -> anyhow::Result<()> {
    let listener = bind(args.listen, PORT).await?;
    let address = listener.local_addr()?;
    let other = match args.foxglove {
        Some(Some(listen)) => Some(bind(listen, foxglove::PORT).await?),
        _ => None,
    };
    let token = args.token.clone().unwrap_or_else(Token::random);
    let foxglove = match (&args.foxglove, &other) {
        (None, _) => None,
        (Some(_), Some(l)) => Some(format!("ws://{}/", shown(l.local_addr()?))),
        (Some(_), None) => Some(format!("ws://{}/foxglove", shown(address))),
    };
    let regions = Regions::follow(Patterns::new(&args.names)).context("cannot follow the regions of this machine")?;
    let gate = Gate::new(token.clone(), &args.hosts, &args.origins);
    let app = Arc::new(App::new(regions, Feeds::new(args.rate), gate, args.control, foxglove.clone()));
    tokio::spawn(Arc::clone(&app).tell());
    let mut page = Router::new().route("/ws", any(page_socket));
    if foxglove.is_some() && other.is_none() {
        page = page.route("/foxglove", any(foxglove_socket));
    }
    let page = page.fallback(get(file)).with_state(Arc::clone(&app));
    announce(args, address, &token, foxglove.as_deref());
    if let Some(listener) = other {
        let only = Router::new().fallback(any(foxglove_socket)).with_state(app);
        tokio::spawn(async move { axum::serve(listener, only).await });
    }
    tokio::select! {
        ended = axum::serve(listener, page) => Ok(ended?),
        () = signal() => Ok(()),
    }
}

fn announce(args: &Args, address: SocketAddr, token: &Token, foxglove: Option<&str>) {
    println!("http://{}/#token={}", shown(address), token.text());
    if let Some(to) = foxglove {
        println!("{to}?token={}", token.text());
    }
    if args.quiet {
        return;
    }
    if !address.ip().is_loopback() {
        eprintln!(
            "shmx-live: other machines can connect to {address}; nothing is encrypted, and the token is all that keeps them out"
        );
    }
    if args.control {
        eprintln!("shmx-live: who has the link can send control messages (--control)");
    }
    eprintln!("shmx-live: open the link in a browser; Ctrl-C ends");
}

/// The address as a browser on this machine can use it.
fn shown(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, address.port())
}

/// The port asked for; or else the usual one, or if that is taken any.
async fn bind(listen: Listen, usual: u16) -> anyhow::Result<TcpListener> {
    let to = |port| SocketAddr::new(listen.ip, port);
    let failed =
        |port| format!("cannot listen on {}; is another program there? --listen ADDR:PORT takes another", to(port));
    match listen.port {
        Some(port) => TcpListener::bind(to(port)).await.with_context(|| failed(port)),
        None => match TcpListener::bind(to(usual)).await {
            Ok(l) => Ok(l),
            Err(_) => TcpListener::bind(to(0)).await.with_context(|| failed(0)),
        },
    }
}

/// Until a signal asks for the end; those that were ignored at the start stay ignored.
async fn signal() {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        let kinds = [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup()];
        let heard = kinds.into_iter().filter(|k| !shmx_os::signal::is_ignored(k.as_raw_value()));
        let mut waits: Vec<_> = heard.filter_map(|k| signal(k).ok()).collect();
        let any = std::future::poll_fn(|cx| {
            let came = waits.iter_mut().any(|s| s.poll_recv(cx).is_ready());
            if came { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
        });
        any.await;
    }
    #[cfg(not(unix))]
    if tokio::signal::ctrl_c().await.is_err() {
        std::future::pending::<()>().await;
    }
}

fn refuse(why: Refusal) -> Response {
    tracing::info!(why = why.text(), "a request was refused");
    (StatusCode::FORBIDDEN, format!("{}\n", why.text())).into_response()
}

async fn file(State(app): State<Arc<App>>, headers: HeaderMap, uri: Uri) -> Response {
    match app.gate.host(&headers) {
        Ok(_) => page::file(uri.path()),
        Err(why) => refuse(why),
    }
}

type Upgrade = Result<WebSocketUpgrade, WebSocketUpgradeRejection>;

async fn page_socket(State(app): State<Arc<App>>, headers: HeaderMap, upgrade: Upgrade) -> Response {
    if let Err(why) = app.gate.page(&headers) {
        return refuse(why);
    }
    if !subprotocols(&headers).any(|p| p == SUBPROTOCOL) {
        return (StatusCode::BAD_REQUEST, format!("this server speaks {SUBPROTOCOL}; reload the page\n"))
            .into_response();
    }
    upgraded(app, upgrade, &[SUBPROTOCOL], session::run)
}

async fn foxglove_socket(State(app): State<Arc<App>>, headers: HeaderMap, uri: Uri, upgrade: Upgrade) -> Response {
    if let Err(why) = app.gate.foxglove(&headers, uri.query()) {
        return refuse(why);
    }
    if !subprotocols(&headers).any(|p| foxglove::SUBPROTOCOLS.contains(&p)) {
        let known = foxglove::SUBPROTOCOLS.join(" and ");
        return (StatusCode::BAD_REQUEST, format!("this server speaks {known}\n")).into_response();
    }
    upgraded(app, upgrade, foxglove::SUBPROTOCOLS, foxglove::run)
}

fn upgraded<F>(
    app: Arc<App>,
    upgrade: Upgrade,
    protocols: &'static [&'static str],
    run: impl FnOnce(axum::extract::ws::WebSocket, Arc<App>) -> F + Send + 'static,
) -> Response
where
    F: Future<Output = ()> + Send + 'static,
{
    let upgrade = match upgrade {
        Ok(u) => u,
        Err(e) => return e.into_response(),
    };
    let Some(viewer) = app.enter() else {
        let words = format!("{MOST_VIEWERS} viewers are connected already; close one\n");
        return (StatusCode::SERVICE_UNAVAILABLE, words).into_response();
    };
    let upgrade = upgrade.protocols(protocols.iter().copied());
    upgrade.max_message_size(MOST_REQUEST).max_frame_size(MOST_REQUEST).on_upgrade(async move |socket| {
        run(socket, app).await;
        drop(viewer);
    })
}
