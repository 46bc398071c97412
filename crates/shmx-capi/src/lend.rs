//! A reader and the frame that it has lent, side by side in one handle.
//!
//! A lent frame borrows its reader, which in Rust the compiler watches over. Here the handle does: whatever uses the
//! reader goes through [`Lender`], which ends what is lent before. So at any time either the frame is used or the reader.

use crate::status::{Fault, shmx_status};
use crate::view::shmx_view;
use shmx::error::{DirectoryReadError, ReadError};
use shmx::{Client, Directory, Frame, OwnedFrame, Tap};
use std::ptr::NonNull;
use std::sync::Arc;

/// A client or a tap.
pub(crate) trait Reader: 'static {
    fn directory(&self) -> Result<Arc<Directory>, DirectoryReadError>;
}

impl Reader for Client {
    fn directory(&self) -> Result<Arc<Directory>, DirectoryReadError> {
        Self::directory(self)
    }
}

impl Reader for Tap {
    fn directory(&self) -> Result<Arc<Directory>, DirectoryReadError> {
        Self::directory(self)
    }
}

#[derive(Debug)]
pub(crate) struct Lender<R: Reader> {
    /// From a box, and freed as one. A pointer, since a box in place would claim to be the only way to the reader.
    reader: NonNull<R>,
    /// Borrowed from `reader`. Ended before the reader is used, moved or freed.
    lent: Option<Frame<'static>>,
    /// Counts what was lent, never 0.
    lend: u32,
}

impl<R: Reader> Lender<R> {
    pub(crate) fn new(reader: R) -> Self {
        Self { reader: NonNull::from(Box::leak(Box::new(reader))), lent: None, lend: 0 }
    }

    /// Ends what is lent. Most frames are copied, and have no lease to end: not worth a call.
    #[inline(always)]
    fn end(&mut self) {
        match self.lent.take() {
            Some(frame) if frame.is_leased() => drop(frame),
            // Nothing is left to do.
            copied => std::mem::forget(copied),
        }
    }

    /// The reader; what it has lent ends.
    #[inline]
    pub(crate) fn reader(&mut self) -> &mut R {
        self.end();
        // SAFETY: it comes from a box that is freed in `drop` only. Nothing else leads to it: the frame that borrowed
        // it is gone, and `&mut self` bounds what is returned.
        unsafe { self.reader.as_mut() }
    }

    /// Takes a frame and lends it: `NOTHING` if there is none.
    #[inline(always)]
    pub(crate) fn take(
        &mut self,
        view: crate::args::Place<shmx_view>,
        take: impl for<'r> FnOnce(&'r mut R) -> Result<Option<Frame<'r>>, ReadError>,
    ) -> Result<shmx_status, Fault> {
        self.end();
        // SAFETY: as in `reader`. The frame that `take` returns borrows the reader and nothing else, since it works for
        // any lifetime. It ends before the reader is used again: every use begins with `end`.
        let reader: &'static mut R = unsafe { self.reader.as_mut() };
        let Some(frame) = take(reader)? else { return Ok(shmx_status::Nothing) };
        self.lend = self.lend.wrapping_add(1).max(1);
        let frame = self.lent.insert(frame);
        shmx_view::put_lent(view, frame, self.lend);
        Ok(shmx_status::Ok)
    }

    /// The reader, for something else to have; what it has lent ends.
    pub(crate) fn into_reader(self) -> R {
        let mut this = std::mem::ManuallyDrop::new(self);
        this.lent = None;
        // SAFETY: it comes from a box, nothing borrows it any more, and `drop` does not run for `this`.
        *unsafe { Box::from_raw(this.reader.as_ptr()) }
    }

    /// The number of what is lent; 0 if nothing is.
    pub(crate) const fn lending(&self) -> u32 {
        if self.lent.is_some() { self.lend } else { 0 }
    }

    /// The frame that is lent.
    pub(crate) fn lent(&self) -> Result<&Frame<'_>, Fault> {
        self.lent.as_ref().ok_or_else(none_lent)
    }

    /// The frame that is lent, kept.
    pub(crate) fn keep(&mut self) -> Result<OwnedFrame, Fault> {
        Ok(self.lent.take().ok_or_else(none_lent)?.keep())
    }

    /// The directory as it is now, without ending what is lent.
    pub(crate) fn directory(&mut self) -> Result<Arc<Directory>, Fault> {
        Ok(match &self.lent {
            Some(frame) => frame.directory()?,
            None => self.reader().directory()?,
        })
    }

    /// Ends what is lent, or does nothing where that is another lending.
    pub(crate) fn release(&mut self, lend: u32) {
        if lend == 0 || lend == self.lend {
            self.lent = None;
        }
    }
}

#[cold]
fn none_lent() -> Fault {
    Fault::new(shmx_status::BadArgument, "no frame is lent; take one first, and use nothing else before this")
}

impl<R: Reader> Drop for Lender<R> {
    fn drop(&mut self) {
        self.lent = None;
        // SAFETY: it comes from a box, is freed here only, and nothing borrows it any more.
        drop(unsafe { Box::from_raw(self.reader.as_ptr()) });
    }
}
