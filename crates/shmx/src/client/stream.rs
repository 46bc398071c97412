//! Frames as an asynchronous stream, for any executor.
//!
//! # How it works
//!
//! Sleeping on the doorbell blocks a thread, and a task must not. So all streams of a process share one thread, the
//! *driver*, which waits for their clients with a [`WaitSet`](crate::WaitSet); it ends with the last of them. A poll that
//! finds no frame leaves the task's waker with the driver, prepares to sleep as a [`Client::wait`] does, polls once more,
//! and tells the driver to look again. The driver wakes the task and takes no frame: the next poll does. From this
//! follows:
//!
//! * **Back-pressure.** A frame is taken, and leased, only by a poll that returns it. While nobody polls nothing is
//!   held, and the producer has all its slots.
//! * **Cancellation.** A future that was waiting for the next frame can be dropped at any time; no frame is lost with
//!   it. At worst the task is woken once for nothing.
//! * **No wake-up is lost**: what is published after the last look changes the doorbell, and the driver compares it with
//!   the value from before that look.
//! * **No busy loop.** Each wake needs a ring of the doorbell, a new frame, or the end of the server. An idle stream
//!   costs a look at the server's life every 20 ms. A producer that finds nobody waiting makes no system call.
//!
//! `tokio_stream.rs` has the variant without a thread.

use super::notice;
use super::state::Client;
use super::wait::{self, Order};
use crate::error::{ReadError, debug_is_text};
use crate::frame::OwnedFrame;
use crate::wait::notice::Token;
use crate::wait::set::{Interrupter, Noticed, Roll, WaitSet};
use futures_core::Stream;
use futures_core::stream::FusedStream;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::task::{Context, Poll, Waker};
use std::thread::JoinHandle;
use std::time::Duration;

/// What a stream waits with could not be had.
#[derive(thiserror::Error)]
#[error("cannot wait for frames in the background; end some threads or raise the limit")]
pub struct IntoStreamError {
    /// The client, unchanged.
    pub client: Box<Client>,
    /// What the system said.
    pub source: std::io::Error,
}

debug_is_text!(IntoStreamError);

/// Frames of a [`Client`] as a stream of `Result<OwnedFrame, ReadError>`. Made by [`Client::into_stream`].
///
/// It works with any executor and needs none of its own. Polling takes the next frame and never blocks; each frame is
/// taken by the poll that returns it and not before. Several streams may run in one process, each with its own reader
/// slot. A stream is `Send` and [`Unpin`].
///
/// # Errors and the end
///
/// Final errors ([`ReadError::is_final`]) are yielded
/// once, after the last frame that could be had, and then the stream ends (`None`). Open a new client, or take this one
/// back with [`FrameStream::into_client`] and [`Client::reopen`] it, to follow a successor. A server of the reference
/// holds no lock, so its death is not known and the stream waits on. All other errors concern one frame, and the stream
/// goes on.
///
/// # Example
///
/// ```
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use futures::StreamExt;
/// use shmx::{Client, Order, Server, Stream};
///
/// const TICK: Stream<u64> = Stream::new(1, "tick");
///
/// let name = format!("doc-stream-{}", std::process::id());
/// let mut server = Server::builder(&name).stream(TICK, 1).create()?;
/// let mut frames = Client::open(&name)?.into_stream(Order::Every)?;
///
/// let producer = std::thread::spawn(move || -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
///     for tick in 0..3_u64 {
///         let mut frame = server.begin_frame()?;
///         frame.append_stream(TICK, &[tick])?;
///         frame.publish_frame(tick as f64)?;
///     }
///     Ok(()) // the server leaves
/// });
///
/// let ticks = futures::executor::block_on(async {
///     let mut ticks = Vec::new();
///     while let Some(Ok(frame)) = frames.next().await {
///         ticks.push(frame.value(TICK));
///     }
///     ticks
/// });
/// assert_eq!(ticks, [Ok(0), Ok(1), Ok(2)]);
/// let _ = producer.join();
/// # Ok(()) }
/// ```
#[derive(Debug)]
#[must_use = "a stream does nothing unless it is polled"]
pub struct FrameStream {
    client: Client,
    order: Order,
    seat: Seat,
    done: bool,
}

/// A stream's place with the driver, left on drop.
#[derive(Debug)]
struct Seat {
    driver: Arc<Driver>,
    token: Token,
}

impl Client {
    /// Turns the client into a stream of frames. The first one of a process starts the thread that all share.
    ///
    /// # Errors
    ///
    /// [`IntoStreamError`], with the client, where the thread cannot be started.
    pub fn into_stream(mut self, order: Order) -> Result<FrameStream, IntoStreamError> {
        match Driver::shared() {
            Ok(driver) => {
                let token = driver.desk.roll.add(self.notice(), false);
                Ok(FrameStream { client: self, order, seat: Seat { driver, token }, done: false })
            }
            Err(source) => Err(IntoStreamError { client: Box::new(self), source }),
        }
    }
}

impl FrameStream {
    /// The client, for its counts, its directory and the like.
    #[must_use]
    pub const fn client(&self) -> &Client {
        &self.client
    }

    /// The client, for sending. Frames taken through it are not yielded by the stream.
    #[must_use]
    pub const fn client_mut(&mut self) -> &mut Client {
        &mut self.client
    }

    /// Which frames are yielded.
    #[must_use]
    pub const fn order(&self) -> Order {
        self.order
    }

    /// Ends the stream and gives the client back.
    #[must_use]
    pub fn into_client(mut self) -> Client {
        drop(self.seat);
        if self.client.notice().awake() {
            self.client.set_waiting(false);
        }
        self.client
    }

    fn yielded(&mut self, taken: Result<wait::Found, ReadError>) -> Option<Result<OwnedFrame, ReadError>> {
        Some(match taken.transpose()? {
            Ok(found) => Ok(self.client.borrow(found).keep()),
            Err(e) => {
                self.done = e.is_final();
                Err(e)
            }
        })
    }
}

impl Stream for FrameStream {
    type Item = Result<OwnedFrame, ReadError>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.get_mut();
        if this.done {
            return Poll::Ready(None);
        }
        match wait::poll(&mut this.client, this.order) {
            Ok(None) => {}
            Ok(found) => {
                let taken = notice::told(&mut this.client, this.order, found);
                return Poll::Ready(this.yielded(taken));
            }
            Err(e) => return Poll::Ready(this.yielded(Err(e))),
        }
        this.seat.keep(&mut this.client);
        // Before the client is armed: the driver may find news the moment after.
        this.seat.driver.desk.register(this.seat.token, cx.waker());
        let taken = notice::told(&mut this.client, this.order, None);
        if let Some(item) = this.yielded(taken) {
            this.seat.driver.desk.forget(this.seat.token);
            return Poll::Ready(Some(item));
        }
        this.seat.driver.interrupter.interrupt();
        Poll::Pending
    }
}

impl FusedStream for FrameStream {
    fn is_terminated(&self) -> bool {
        self.done
    }
}

/// The thread that waits for the streams of a process.
#[derive(Debug)]
struct Driver {
    desk: Arc<Desk>,
    interrupter: Interrupter,
    thread: Option<JoinHandle<()>>,
    /// The process that it belongs to: a forked child has no such thread.
    process: u32,
}

/// What the driver and the streams share.
#[derive(Debug)]
struct Desk {
    roll: Arc<Roll>,
    wakers: Mutex<HashMap<Token, Waker>>,
    quit: AtomicBool,
}

/// That of this process, as long as there are streams.
static SHARED: Mutex<Weak<Driver>> = Mutex::new(Weak::new());
/// A lock that takes longer was held by another thread when this process was forked off.
const PATIENCE: Duration = Duration::from_millis(200);

impl Driver {
    fn shared() -> std::io::Result<Arc<Self>> {
        let Some(mut shared) = SHARED.try_lock_for(PATIENCE) else { return Ok(Arc::new(Self::start()?)) };
        if let Some(driver) = shared.upgrade().filter(|d| d.process == shmx_os::process_id()) {
            return Ok(driver);
        }
        let driver = Arc::new(Self::start()?);
        *shared = Arc::downgrade(&driver);
        Ok(driver)
    }

    fn start() -> std::io::Result<Self> {
        let set = WaitSet::new_quiet().map_err(std::io::Error::other)?;
        let desk = Arc::new(Desk { roll: set.roll(), wakers: Mutex::default(), quit: AtomicBool::new(false) });
        let interrupter = set.interrupter();
        let d = desk.clone();
        let thread = std::thread::Builder::new().name("shmx-frames".to_owned()).spawn(move || d.drive(set))?;
        Ok(Self { desk, interrupter, thread: Some(thread), process: shmx_os::process_id() })
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        let Some(thread) = self.thread.take() else { return };
        if self.process != shmx_os::process_id() {
            // The thread is the parent's, and so may be the locks.
            std::mem::forget(thread);
            return;
        }
        // Relaxed: the interrupt carries it.
        self.desk.quit.store(true, Ordering::Relaxed);
        self.interrupter.interrupt();
        // Dropped by the waker that the driver itself calls: it ends by itself right after.
        if thread.thread().id() != std::thread::current().id() {
            let _ = thread.join();
        }
    }
}

impl Desk {
    fn register(&self, token: Token, waker: &Waker) {
        let mut wakers = self.wakers.lock();
        // The same task as before, most of the time: its waker need not be cloned.
        if wakers.get(&token).is_some_and(|known| known.will_wake(waker)) {
            return;
        }
        let former = wakers.insert(token, waker.clone());
        drop(wakers);
        // Without the lock, as in `forget`.
        drop(former);
    }

    fn forget(&self, token: Token) {
        let waker = self.wakers.lock().remove(&token);
        // Without the lock: a waker may drop a task, and that may drop what locks.
        drop(waker);
    }

    fn drive(&self, mut set: WaitSet) {
        while !self.quit.load(Ordering::Relaxed) {
            for token in set.wait(Duration::MAX) {
                let waker = self.wakers.lock().remove(token);
                if let Some(waker) = waker {
                    waker.wake();
                }
            }
        }
    }
}

impl Seat {
    /// Takes a place for the client, if it is another one than before.
    fn keep(&mut self, client: &mut Client) {
        let notice = client.notice();
        if !notice.has(self.token) {
            let desk = &self.driver.desk;
            desk.forget(self.token);
            desk.roll.remove(self.token);
            self.token = desk.roll.add(notice, false);
        }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let Driver { desk, process, .. } = &*self.driver;
        if *process == shmx_os::process_id() {
            desk.roll.remove(self.token);
            desk.forget(self.token);
        }
    }
}
