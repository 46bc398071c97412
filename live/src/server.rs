//! The HTTP server: the page, its WebSocket, and Foxglove's.

use crate::app::{App, MOST_VIEWERS};
use crate::args::Args;
use crate::feed::Feeds;
use crate::gate::{Gate, Refusal, Token, subprotocols};
use crate::listen::{self, Room, shown};
use crate::pattern::Patterns;
use crate::protocol::SUBPROTOCOL;
use crate::regions::Regions;
use crate::signals::Signals;
use crate::{foxglove, page, say, session};
use anyhow::Context;
use axum::Router;
use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::extract::{State, WebSocketUpgrade};
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use axum::routing::{any, get};
use std::net::TcpListener;
use std::sync::Arc;

/// What pages and clients send is short.
pub(crate) const MOST_REQUEST: usize = 256 * 1024;

/// Where it listens.
#[derive(Debug)]
pub(crate) struct Sockets {
    pub(crate) page: TcpListener,
    /// Where only Foxglove connects, if it has an address of its own.
    pub(crate) foxglove: Option<TcpListener>,
}

impl Sockets {
    pub(crate) fn bind(args: &Args) -> anyhow::Result<Self> {
        let page = listen::bind(args.listen, listen::PAGE, "--listen ")?;
        let foxglove = args.foxglove.flatten().map(|l| listen::bind(l, listen::FOXGLOVE, "--foxglove=")).transpose()?;
        Ok(Self { page, foxglove })
    }

    /// Where Foxglove connects, without the token.
    fn foxglove(&self, args: &Args) -> anyhow::Result<Option<String>> {
        Ok(match (&args.foxglove, &self.foxglove) {
            (None, _) => None,
            (Some(_), Some(l)) => Some(format!("ws://{}/", shown(l.local_addr()?))),
            (Some(_), None) => Some(format!("ws://{}/foxglove", shown(self.page.local_addr()?))),
        })
    }
}

/// Runs until a signal.
pub(crate) fn run(args: &Args, sockets: Sockets, token: Token) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().context("cannot start")?;
    let result = runtime.block_on(serve(args, sockets, token));
    // A control message that waits for its server does not keep the program.
    runtime.shutdown_background();
    result
}

async fn serve(args: &Args, sockets: Sockets, token: Token) -> anyhow::Result<()> {
    let mut signals = Signals::listen();
    let foxglove = sockets.foxglove(args)?;
    let regions = Regions::follow(Patterns::new(&args.names)).context("cannot follow the regions of this machine")?;
    let gate = Gate::new(token, &args.hosts, &args.origins);
    let app = Arc::new(App::new(regions, Feeds::new(args.rate), gate, args.control, foxglove));
    tokio::spawn(Arc::clone(&app).tell());
    let mut page = Router::new().route("/ws", any(page_socket));
    if app.foxglove.is_some() && sockets.foxglove.is_none() {
        page = page.route("/foxglove", any(foxglove_socket));
    }
    let page = page.fallback(get(file)).with_state(Arc::clone(&app));
    let room = Room::new();
    if let Some(listener) = sockets.foxglove {
        let only = Router::new().fallback(any(foxglove_socket)).with_state(app);
        tokio::spawn(listen::answer(listener, only, room.clone()));
    }
    tokio::select! {
        ended = listen::answer(sockets.page, page, room) => ended,
        () = signals.came() => Ok(()),
    }
}

/// Prints the link, and what follows from the options.
pub(crate) fn announce(args: &Args, sockets: &Sockets, token: &Token) -> anyhow::Result<()> {
    let address = sockets.page.local_addr()?;
    let mut links = format!("http://{}/#token={}\n", shown(address), token.text());
    if let Some(to) = sockets.foxglove(args)? {
        links += &format!("{to}?token={}\n", token.text());
    }
    say::print(&links).context("cannot print the link, without which nobody can connect")?;
    if args.quiet {
        return Ok(());
    }
    for listener in [Some(&sockets.page), sockets.foxglove.as_ref()].into_iter().flatten() {
        let address = listener.local_addr()?;
        if !address.ip().is_loopback() {
            say::note(format_args!(
                "other machines can connect to {address}; nothing is encrypted, and the token is all that keeps them out"
            ));
        }
    }
    if args.control {
        say::note(format_args!("who has the link can send control messages (--control)"));
    }
    say::note(format_args!("open the link in a browser; Ctrl-C ends"));
    Ok(())
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
