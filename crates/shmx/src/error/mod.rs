//! One error enum per operation. Every message says what is wrong and what to do about it.
//!
//! `Debug` prints the same text as `Display`, followed by the causes, so that a `main` that returns
//! `Result<(), Box<dyn Error>>` ends with words. `Display` leaves the causes to [`std::error::Error::source`].
//!
//! The project's `docs/troubleshooting.md` goes by symptom, and says what lies behind the errors.

mod client;
mod server;
mod wait;

/// What the operating system refused: causes within the errors here, some of which have the same names.
///
/// ```
/// use shmx::Client;
/// use shmx::error::{OpenError, os};
///
/// let error = Client::open("doc-nobody-serves-this").unwrap_err();
/// assert!(matches!(error, OpenError::Os(os::OpenError::NotFound { .. })));
/// ```
pub mod os {
    pub use shmx_os::{CreateError, NameError, OpenError, OsError};
}

pub use client::{
    DirectoryReadError, LookupError, OpenError, ReadError, ReaderOccupant, SendError, ServerEnd, ValueError, Void,
};
pub use server::{
    AppendError, BeginError, ControlValueError, CreateError, Laggard, LeaseHolder, PublishError, ReaderState,
    RemoveError, StaticError, StreamError,
};
pub use wait::{AlignError, WaitFdError};

/// `Debug` as text with its causes.
macro_rules! debug_is_text {
    ($($ty:ty),* $(,)?) => { $(
        impl std::fmt::Debug for $ty {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                $crate::error::text_with_causes(self, f)
            }
        }
    )* };
}
pub(crate) use debug_is_text;

pub(crate) fn text_with_causes(error: &dyn std::error::Error, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
    write!(f, "{error}")?;
    let mut cause = error.source();
    while let Some(e) = cause {
        write!(f, ": {e}")?;
        cause = e.source();
    }
    Ok(())
}
