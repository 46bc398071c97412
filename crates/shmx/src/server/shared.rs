//! A server for several threads.

use super::state::Server;
use std::ops::Deref;
use std::sync::Arc;

/// A server that several threads publish through: a handle to be cloned.
///
/// Frames of several threads are filled side by side; threads take turns for the few stores that put them in order.
/// With one producing thread [`Server`] itself is a little faster. The server ends with its last handle.
///
/// ```
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use shmx::{Server, Stream};
///
/// const TICK: Stream<u64> = Stream::new(1, "tick");
///
/// let name = format!("doc-shared-{}", std::process::id());
/// let server = Server::builder(&name).stream(TICK, 1).create()?.into_shared();
/// let threads: Vec<_> = (0..2)
///     .map(|n| {
///         let server = server.clone();
///         std::thread::spawn(move || {
///             let mut frame = server.begin_frame().expect("a slot is free");
///             frame.append_value(TICK, n).expect("it fits");
///             frame.publish_frame(0.0).expect("the region is ours")
///         })
///     })
///     .collect();
/// for thread in threads {
///     thread.join().expect("no panic");
/// }
/// assert_eq!(server.frames_published(), 2);
/// # Ok(()) }
/// ```
#[derive(Clone, Debug)]
pub struct SharedServer(Arc<Server>);

impl Server {
    /// A handle for several threads.
    #[must_use]
    pub fn into_shared(self) -> SharedServer {
        SharedServer(Arc::new(self))
    }
}

impl Deref for SharedServer {
    type Target = Server;

    #[inline]
    fn deref(&self) -> &Server {
        &self.0
    }
}

impl From<Server> for SharedServer {
    fn from(server: Server) -> Self {
        server.into_shared()
    }
}
