//! Frames as an asynchronous stream in a tokio runtime: its event loop waits on the client's descriptor, so that no
//! other thread is needed where the kernel has io_uring.

use super::notice;
use super::state::Client;
use super::wait::Order;
use crate::error::{ReadError, debug_is_text};
use crate::frame::OwnedFrame;
use futures_core::Stream;
use futures_core::stream::FusedStream;
use std::os::fd::OwnedFd;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// The runtime cannot wait for a client.
#[derive(thiserror::Error)]
#[error("tokio cannot wait for frames; use `into_stream`, which needs no descriptor")]
pub struct IntoTokioStreamError {
    /// The client, unchanged.
    pub client: Box<Client>,
    /// What the system said.
    pub source: std::io::Error,
}

debug_is_text!(IntoTokioStreamError);

/// Frames of a [`Client`] as a stream in a tokio runtime. Made by [`Client::into_tokio_stream`].
///
/// It is [`FrameStream`](crate::FrameStream) without the thread: back-pressure, cancellation, errors and the end are the
/// same. It belongs to the runtime in which it was made.
///
/// ```
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use futures::StreamExt;
/// use shmx::{Client, Order, Server, Stream};
///
/// const TICK: Stream<u64> = Stream::new(1, "tick");
/// # let name = format!("doc-tokio-{}", std::process::id());
/// let mut server = Server::builder(&name).stream(TICK, 1).create()?;
/// # let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
/// # runtime.block_on(async {
/// let mut frames = Client::open(&name)?.into_tokio_stream(Order::Newest)?;
/// let mut frame = server.begin_frame()?;
/// frame.append_value(TICK, 7)?;
/// frame.publish_frame(0.0)?;
/// let frame = frames.next().await.expect("the server lives")?;
/// assert_eq!(frame.value(TICK)?, 7);
/// # Ok::<(), Box<dyn std::error::Error>>(()) })?;
/// # Ok(()) }
/// ```
#[derive(Debug)]
#[must_use = "a stream does nothing unless it is polled"]
pub struct TokioFrameStream {
    client: Client,
    order: Order,
    fd: AsyncFd<OwnedFd>,
    done: bool,
}

impl Client {
    /// Turns the client into a stream of frames for the tokio runtime that this is called in.
    ///
    /// # Errors
    ///
    /// [`IntoTokioStreamError`], with the client, where there is no descriptor.
    ///
    /// # Panics
    ///
    /// Outside a runtime with its event loop enabled (`enable_io`), as tokio's own types do.
    pub fn into_tokio_stream(mut self, order: Order) -> Result<TokioFrameStream, IntoTokioStreamError> {
        let fd = match self.wait_fd() {
            Ok(fd) => fd.try_clone_to_owned(),
            Err(e) => Err(std::io::Error::other(e)),
        };
        match fd.and_then(register) {
            Ok(fd) => Ok(TokioFrameStream { client: self, order, fd, done: false }),
            Err(source) => Err(IntoTokioStreamError { client: Box::new(self), source }),
        }
    }
}

#[allow(unsafe_code)]
fn register(fd: OwnedFd) -> std::io::Result<AsyncFd<OwnedFd>> {
    // SAFETY: an `OwnedFd` gives the same descriptor at every call and keeps it open until it is dropped, which the
    // `AsyncFd` does after it has deregistered it; nothing else of ours gets at it.
    Ok(unsafe { AsyncFd::register_with_interest(fd, Interest::READABLE) }?)
}

impl TokioFrameStream {
    /// The client, for its counts, its directory, sending and the like.
    #[must_use]
    pub const fn client(&self) -> &Client {
        &self.client
    }

    /// Which frames are yielded.
    #[must_use]
    pub const fn order(&self) -> Order {
        self.order
    }

    /// Ends the stream and gives the client back.
    #[must_use]
    pub fn into_client(self) -> Client {
        self.client
    }
}

impl Stream for TokioFrameStream {
    type Item = Result<OwnedFrame, ReadError>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.get_mut();
        while !this.done {
            match notice::poll(&mut this.client, this.order) {
                Ok(Some(found)) => return Poll::Ready(Some(Ok(this.client.borrow(found).keep()))),
                // The poll in vain has made the descriptor unreadable; what tokio knows may be older.
                Ok(None) => match ready!(this.fd.poll_read_ready(cx)) {
                    Ok(mut guard) => guard.clear_ready(),
                    Err(e) => {
                        this.done = true;
                        return Poll::Ready(Some(Err(ReadError::Descriptor { cause: e.to_string() })));
                    }
                },
                Err(e) => {
                    this.done = e.is_final();
                    return Poll::Ready(Some(Err(e)));
                }
            }
        }
        Poll::Ready(None)
    }
}

impl FusedStream for TokioFrameStream {
    fn is_terminated(&self) -> bool {
        self.done
    }
}
