//! Messages from a reader to the server.

use crate::attachment::Attachment;
use crate::error::{ReadError, SendError};
use crate::lock::ProcessLock;
use bytemuck::NoUninit;
use shmx_abi::control::{PlaceError, RingGeometry};
use shmx_os::clock;
use shmx_ring::control;
use shmx_ring::sync::Ordering;
use std::sync::Arc;

/// Sends control messages for a client: from [`crate::Client::control`].
///
/// It can be cloned, be used while a frame is borrowed, and go to other threads; messages of several threads go one
/// after the other. It follows its client to another region. The reader slot lasts as long as the client, the frames
/// kept under leases, and its senders.
///
/// ```
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use shmx::{Client, Server, Stream, abi::TLV_CONTROL_USER};
///
/// const FASTER: u32 = TLV_CONTROL_USER + 1;
/// # let name = format!("doc-control-{}", std::process::id());
/// let server = Server::builder(&name).stream(Stream::<u64>::new(1, "tick"), 1).create()?;
/// let client = Client::open(&name)?;
/// client.control().send_value(FASTER, &2.5_f32)?;
///
/// let batch = server.poll_control(16);
/// assert_eq!((batch.messages[0].ty, batch.messages[0].value::<f32>()?), (FASTER, 2.5));
/// # Ok(()) }
/// ```
#[derive(Clone, Debug)]
pub struct ControlSender {
    link: Arc<Link>,
}

/// The region that a client is attached to now.
#[derive(Debug)]
pub(super) struct Link(ProcessLock<Arc<Attachment>>);

impl Link {
    pub(super) fn new(a: Arc<Attachment>) -> Arc<Self> {
        Arc::new(Self(ProcessLock::new(a)))
    }

    pub(super) fn change(&self, a: Arc<Attachment>) {
        // In a forked child that cannot have the lock the senders stay with the parent's client, and say so.
        if let Some(mut link) = self.0.write() {
            *link = a;
        }
    }
}

impl ControlSender {
    pub(super) const fn new(link: Arc<Link>) -> Self {
        Self { link }
    }

    /// Sends a message. Types from [`shmx_abi::TLV_CONTROL_USER`] on are the application's.
    ///
    /// # Errors
    ///
    /// [`SendError`]; nothing was sent then.
    pub fn send(&self, ty: u32, body: &[u8]) -> Result<(), SendError> {
        let a = self.link.0.read().ok_or(SendError::Forked)?.clone();
        send(&a, ty, body)
    }

    /// Sends a message whose body is a plain value.
    ///
    /// # Errors
    ///
    /// [`SendError`]; nothing was sent then.
    pub fn send_value<T: NoUninit>(&self, ty: u32, value: &T) -> Result<(), SendError> {
        self.send(ty, bytemuck::bytes_of(value))
    }
}

pub(super) fn send(a: &Attachment, ty: u32, body: &[u8]) -> Result<(), SendError> {
    match a.check_session() {
        Ok(()) => {}
        Err(ReadError::Forked) => return Err(SendError::Forked),
        Err(_) => return Err(SendError::SessionChanged),
    }
    if let Some(end) = a.server_end() {
        return Err(SendError::ServerGone { end });
    }
    if ty == shmx_abi::TLV_PAD {
        return Err(SendError::ReservedType);
    }
    let layout = &a.region.layout;
    let geometry = RingGeometry::new(layout.control_per_reader()).ok_or(SendError::NoControlRing)?;
    let no_slot = SendError::NoReaderSlot { reader_slots: layout.reader_slots() };
    let sent = a.in_turn(|index, slot| {
        let ring = a.region.control(index).ok_or(SendError::NoControlRing)?;
        slot.heartbeat.store(clock::ticks(), Ordering::Release);
        let sent = control::send(geometry, ring, ty, body).map_err(|e| match e {
            PlaceError::TooLong => {
                SendError::TooLong { len: body.len(), longest: geometry.longest_message().unwrap_or(0) }
            }
            PlaceError::Full => SendError::Full,
            _ => SendError::Corrupt,
        });
        if sent.is_ok() {
            a.ring_server();
        }
        sent
    });
    sent.ok_or(no_slot)?
}
