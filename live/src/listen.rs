//! Where it listens, and the connections that come in: bounded in number and in time until they are viewers.

use crate::args::Listen;
use anyhow::Context;
use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use socket2::{SockRef, TcpKeepalive};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;

/// Where the page is if nothing else is asked for; the next free port if that is taken.
pub(crate) const PAGE: u16 = 7650;
/// The usual one of Foxglove's protocol.
pub(crate) const FOXGLOVE: u16 = 8765;

/// Connections that are not viewers yet, on all addresses. Others wait in the queue of the system.
const MOST_WAITING: usize = 128;
/// A request has to be complete within this time, and the connection done with all of them within that.
const REQUEST: Duration = Duration::from_secs(10);
const CONNECTION: Duration = Duration::from_secs(60);
/// A peer that has gone without a word, as a laptop does that is shut, is found out by the system: once nothing has been
/// heard for so long, it is asked so many times at such intervals.
const KEEPALIVE: TcpKeepalive =
    TcpKeepalive::new().with_time(Duration::from_secs(20)).with_interval(Duration::from_secs(5)).with_retries(4);
/// After accepting has failed, as it does without a free descriptor.
const REST: Duration = Duration::from_millis(500);

/// The port asked for by `option`; or else the usual one, or if that is taken any.
pub(crate) fn bind(listen: Listen, usual: u16, option: &str) -> anyhow::Result<TcpListener> {
    let to = |port| SocketAddr::new(listen.ip, port);
    let failed = |port| format!("cannot listen on {}; {option}ADDR:PORT takes another address", to(port));
    match listen.port {
        Some(port) => TcpListener::bind(to(port)).with_context(|| failed(port)),
        None => match TcpListener::bind(to(usual)) {
            Ok(l) => Ok(l),
            Err(_) => TcpListener::bind(to(0)).with_context(|| failed(0)),
        },
    }
}

/// The address as a browser on this machine can use it.
pub(crate) fn shown(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, address.port())
}

/// Room for connections that are not viewers yet.
#[derive(Clone, Debug)]
pub(crate) struct Room(Arc<Semaphore>);

impl Room {
    pub(crate) fn new() -> Self {
        Self(Arc::new(Semaphore::new(MOST_WAITING)))
    }
}

/// Answers whoever connects, for ever.
pub(crate) async fn answer(listener: TcpListener, app: Router, room: Room) -> anyhow::Result<()> {
    listener.set_nonblocking(true).context("cannot wait for connections")?;
    let listener = tokio::net::TcpListener::from_std(listener).context("cannot wait for connections")?;
    let mut told = false;
    loop {
        let place = Arc::clone(&room.0).acquire_owned().await?;
        let stream = match listener.accept().await {
            Ok((stream, _)) => {
                told = false;
                stream
            }
            Err(error) => {
                if !std::mem::replace(&mut told, true) {
                    tracing::warn!(%error, "connections cannot be accepted; it is tried again");
                }
                tokio::time::sleep(REST).await;
                continue;
            }
        };
        // Frames and states are whole messages: none waits for the next one.
        let _ = stream.set_nodelay(true);
        let _ = SockRef::from(&stream).set_tcp_keepalive(&KEEPALIVE);
        let service = TowerToHyperService::new(app.clone());
        tokio::spawn(async move {
            let connection = http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(REQUEST)
                .serve_connection(TokioIo::new(stream), service)
                .with_upgrades();
            // Done when all requests are answered, or when it has become a WebSocket, which goes on by itself.
            let _ = tokio::time::timeout(CONNECTION, connection).await;
            drop(place);
        });
    }
}
