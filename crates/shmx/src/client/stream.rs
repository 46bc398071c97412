//! Frames as an asynchronous stream, for any executor.
//!
//! # How it works
//!
//! Sleeping on the doorbell blocks a thread, and a task must not. So each stream has one thread of its own, the
//! *waiter*. It does nothing until a poll finds no frame. Such a poll prepares to sleep as [`Client::wait`] does
//! (doorbell made odd, one more look), and hands the value of the doorbell and the task's waker to the waiter, which
//! sleeps until the doorbell has another value and then wakes the task. The waiter never takes a frame: the next poll
//! does. From this follows:
//!
//! * **Back-pressure.** A frame is taken, and leased, only by a poll that returns it. While nobody polls nothing is
//!   held, and the producer has all its slots.
//! * **Cancellation.** A future that was waiting for the next frame can be dropped at any time; no frame is lost with
//!   it. At worst the task is woken once for nothing.
//! * **No wake-up is lost**: a frame published between the look and the sleep changes the doorbell, so the waiter does
//!   not fall asleep.
//! * **No busy loop.** Each wake needs a ring of the doorbell, a new frame, or the end of the server. An idle stream
//!   costs what a waiting [`Client`] costs: a look at the server's life every 20 ms. A producer that finds nobody
//!   waiting makes no system call. Only while a frame is counted that cannot be read yet does the waiter wake the task
//!   every 20 ms: the producer may step back from a slot that it had begun to claim, and rings for nothing then.
//! * **The end.** Dropping the stream ends the waiter and waits for that. It rings the doorbell for it, which other
//!   sleeping readers notice as one needless look.
//!
//! Without a doorbell (a server of the reference, or a platform without futex) the waiter polls, with pauses from 20 µs
//! to 1 ms.

use super::state::Client;
use super::wait::{self, LONGEST_PAUSE, Order, SHORTEST_PAUSE, SLICE};
use crate::attachment::Attachment;
use crate::error::{ReadError, debug_is_text};
use crate::frame::OwnedFrame;
use futures_core::Stream;
use futures_core::stream::FusedStream;
use parking_lot::{Condvar, Mutex};
use shmx_abi::extension::Features;
use shmx_os::futex;
use shmx_ring::sync::Ordering;
use shmx_ring::view::Slots;
use shmx_ring::{doorbell, reader};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::thread::JoinHandle;
use std::time::Duration;

/// The thread of a stream could not be started.
#[derive(thiserror::Error)]
#[error("cannot start the thread that waits for frames; end some threads or raise the limit")]
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
    waiter: Waiter,
    /// The last poll found nothing.
    waiting: bool,
    done: bool,
}

impl Client {
    /// Turns the client into a stream of frames. Starts one thread, which sleeps until the stream is polled in vain.
    ///
    /// # Errors
    ///
    /// [`IntoStreamError`], with the client, where the thread cannot be started.
    pub fn into_stream(self, order: Order) -> Result<FrameStream, IntoStreamError> {
        match Waiter::start(self.shared.clone()) {
            Ok(waiter) => Ok(FrameStream { client: self, order, waiter, waiting: false, done: false }),
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
    pub fn into_client(self) -> Client {
        if self.waiting {
            self.client.set_waiting(false);
        }
        self.client
    }

    fn take(&mut self) -> Option<Result<OwnedFrame, ReadError>> {
        let taken = wait::poll(&mut self.client, self.order).transpose()?;
        Some(match taken {
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
        if std::mem::take(&mut this.waiting) {
            this.client.set_waiting(false);
        }
        if let Some(taken) = this.take() {
            return Poll::Ready(Some(taken));
        }
        let watch = Watch::prepare(&this.client.shared, this.order, this.client.cursor.last_id);
        // Looked at before the last look for a frame, so that a frame published just before the end is taken, and after
        // the doorbell was prepared, so that an end in between wakes the task.
        let end = this.client.shared.server_end();
        if let Some(taken) = this.take() {
            return Poll::Ready(Some(taken));
        }
        // A client that reconnects looks for a successor at each poll; the waiter wakes the task for it every 20 ms.
        if let Some(end) = end
            && !this.client.options.reconnect
        {
            this.done = true;
            return Poll::Ready(Some(Err(ReadError::ServerGone { end })));
        }
        this.waiting = true;
        this.client.set_waiting(true);
        this.waiter.watch(watch, &this.client.shared, cx.waker());
        Poll::Pending
    }
}

impl FusedStream for FrameStream {
    fn is_terminated(&self) -> bool {
        self.done
    }
}

fn has_bell(a: &Attachment) -> bool {
    a.features.has(Features::DOORBELL) && futex::SUPPORTED
}

/// What was there at a look that found no frame. Anything newer is news.
#[derive(Clone, Copy, Debug)]
struct Watch {
    /// Value of the doorbell; none where it is not rung.
    bell: Option<u32>,
    /// Sequence number of the newest frame, and frames published; which of the two moves first depends on the server.
    newest: u32,
    published: u64,
    /// Whether there is a frame that was not taken.
    more: bool,
}

impl Watch {
    /// To be followed by one more look for a frame; `last_id` is that of the last one taken.
    fn prepare(a: &Attachment, order: Order, last_id: u64) -> Self {
        let bell = has_bell(a).then(|| doorbell::prepare_to_sleep(&a.region.header().ext_doorbell));
        let (newest, published) = (reader::newest(&a.region), reader::published(&a.region));
        Self { bell, newest, published, more: order == Order::Every && published > last_id }
    }

    /// Sleeps for a short while at most and says whether the task must look.
    fn sleep(&self, a: &Attachment, pause: &mut Duration) -> bool {
        let header = a.region.header();
        if let Some(expected) = self.bell {
            let _ = a.region.os.wait(&header.ext_doorbell, expected, SLICE);
        } else {
            std::thread::sleep(*pause);
            *pause = (*pause * 2).min(LONGEST_PAUSE);
        }
        a.beat();
        // Relaxed: only the value decides, and the task looks again with its own ordering.
        if self.bell.is_some_and(|expected| header.ext_doorbell.load(Ordering::Relaxed) != expected) {
            return true;
        }
        self.more
            || reader::newest(&a.region) != self.newest
            || reader::published(&a.region) != self.published
            || header.session_id.load(Ordering::Relaxed) != a.session_id
            || a.server_end().is_some()
    }
}

/// The thread of a stream; ends with this value.
#[derive(Debug)]
struct Waiter {
    /// That of the last order: the stream's client may be exchanged.
    attachment: Arc<Attachment>,
    post: Arc<Post>,
    thread: Option<JoinHandle<()>>,
}

/// Between a stream and its waiter.
#[derive(Debug, Default)]
struct Post {
    order: Mutex<Orders>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Orders {
    /// What to wait for and whom to wake then.
    watch: Option<(Watch, Arc<Attachment>, Waker)>,
    /// Counts them, so that the waiter notices a new one.
    number: u64,
    quit: bool,
}

impl Waiter {
    fn start(attachment: Arc<Attachment>) -> std::io::Result<Self> {
        let post = Arc::new(Post::default());
        let p = post.clone();
        let thread = std::thread::Builder::new().name("shmx-frames".to_owned()).spawn(move || p.serve())?;
        Ok(Self { attachment, post, thread: Some(thread) })
    }

    fn watch(&mut self, watch: Watch, attachment: &Arc<Attachment>, waker: &Waker) {
        let mut order = self.post.order.lock();
        let old = match &mut order.watch {
            // The same task as before, most of the time: its waker need not be cloned.
            Some((w, a, known)) => {
                *w = watch;
                known.clone_from(waker);
                (!Arc::ptr_eq(a, attachment)).then(|| std::mem::replace(a, attachment.clone()))
            }
            none => {
                *none = Some((watch, attachment.clone(), waker.clone()));
                None
            }
        };
        order.number += 1;
        drop(order);
        drop(old);
        if !Arc::ptr_eq(&self.attachment, attachment) {
            self.attachment = attachment.clone();
        }
        self.post.changed.notify_one();
    }
}

impl Post {
    fn serve(&self) {
        let mut order = self.order.lock();
        let (mut number, mut pause) = (0, SHORTEST_PAUSE);
        while !order.quit {
            let Some((watch, a, _)) = &order.watch else {
                self.changed.wait(&mut order);
                continue;
            };
            let (watch, a) = (*watch, a.clone());
            if order.number != number {
                (number, pause) = (order.number, SHORTEST_PAUSE);
            }
            drop(order);
            let news = watch.sleep(&a, &mut pause);
            drop(a);
            order = self.order.lock();
            // A newer order is for a look that came later; it is slept on next.
            if news
                && order.number == number
                && let Some((_, a, waker)) = order.watch.take()
            {
                // Without the lock: a waker may run the task, or drop it and the stream with it.
                drop(order);
                drop(a);
                waker.wake();
                order = self.order.lock();
            }
        }
    }
}

impl Drop for Waiter {
    fn drop(&mut self) {
        let Some(thread) = self.thread.take() else { return };
        if self.attachment.region.os.is_forked() {
            // The thread is the parent's, and so may be the lock.
            std::mem::forget(thread);
            return;
        }
        let forgotten = {
            let mut order = self.post.order.lock();
            order.quit = true;
            order.watch.take()
        };
        // A waker may drop a task, and that may drop what locks: not under our lock.
        drop(forgotten);
        self.post.changed.notify_one();
        let bell = &self.attachment.region.header().ext_doorbell;
        if has_bell(&self.attachment)
            && let Some(value) = doorbell::ring(bell)
        {
            self.attachment.region.os.wake_all(bell, value);
        }
        // Dropped by the waker that the waiter itself calls: it ends by itself right after.
        if thread.thread().id() != std::thread::current().id() {
            let _ = thread.join();
        }
    }
}
