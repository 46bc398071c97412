//! A server as either of its two kinds.

use shmx::error::BeginError;
use shmx::{FrameWriter, Server, SharedServer};

/// A server of one thread, or of several.
pub enum Producer {
    /// Publishes by `&mut`.
    Alone(Box<Server>),
    /// Can have several frames under construction.
    Shared(SharedServer),
}

impl Producer {
    /// Of the kind that is asked for.
    #[must_use]
    pub fn new(server: Server, alone: bool) -> Self {
        if alone { Self::Alone(Box::new(server)) } else { Self::Shared(server.into_shared()) }
    }

    /// Claims a slot.
    ///
    /// # Errors
    ///
    /// [`BeginError`], as the server has it.
    pub fn begin_frame(&mut self) -> Result<FrameWriter<'_>, BeginError> {
        match self {
            Self::Alone(server) => server.begin_frame(),
            Self::Shared(server) => server.begin_frame(),
        }
    }
}

impl std::ops::Deref for Producer {
    type Target = Server;

    fn deref(&self) -> &Server {
        match self {
            Self::Alone(server) => server,
            Self::Shared(server) => server,
        }
    }
}
