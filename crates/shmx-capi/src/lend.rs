//! A reader and the frame that it has lent, side by side in one handle.
//!
//! A lent frame borrows its reader, which in Rust the compiler watches over. Here the handle does: whatever uses the
//! reader goes through [`Lender`], which ends what is lent before. So at any time either the frame is used or the reader.
//! The same goes for a frame that is followed while it is written.

use crate::status::{Fault, shmx_status};
use crate::view::shmx_view;
use shmx::error::{DirectoryReadError, ReadError};
use shmx::{Client, Directory, Following, Frame, OwnedFrame, Step, Tap};
use std::convert::Infallible;
use std::fmt::Debug;
use std::ptr::NonNull;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// A client or a tap.
pub(crate) trait Reader: 'static {
    /// What borrows it while it follows a frame.
    type Following: Debug;

    fn directory(&self) -> Result<Arc<Directory>, DirectoryReadError>;
    fn directory_by(following: &Self::Following) -> Result<Arc<Directory>, DirectoryReadError>;
}

impl Reader for Client {
    type Following = Following<'static>;

    fn directory(&self) -> Result<Arc<Directory>, DirectoryReadError> {
        Self::directory(self)
    }

    fn directory_by(following: &Following<'static>) -> Result<Arc<Directory>, DirectoryReadError> {
        following.directory()
    }
}

impl Reader for Tap {
    type Following = Infallible;

    fn directory(&self) -> Result<Arc<Directory>, DirectoryReadError> {
        Self::directory(self)
    }

    fn directory_by(following: &Infallible) -> Result<Arc<Directory>, DirectoryReadError> {
        match *following {}
    }
}

#[derive(Debug)]
pub(crate) struct Lender<R: Reader> {
    /// From a box, and freed as one. A pointer, since a box in place would claim to be the only way to the reader.
    reader: NonNull<R>,
    /// Borrowed from `reader`. Ended before the reader is used, moved or freed.
    lent: Option<Frame<'static>>,
    /// The same of a frame that is being written. Not beside `lent`.
    following: Option<R::Following>,
    /// Counts what was lent, never 0.
    lend: u32,
}

impl<R: Reader> Lender<R> {
    pub(crate) fn new(reader: R) -> Self {
        Self { reader: NonNull::from(Box::leak(Box::new(reader))), lent: None, following: None, lend: 0 }
    }

    /// Ends what is lent. Most frames are copied, and have no lease to end: not worth a call.
    #[inline(always)]
    fn end(&mut self) {
        match self.lent.take() {
            Some(frame) if frame.is_leased() => drop(frame),
            // Nothing is left to do.
            copied => std::mem::forget(copied),
        }
        if self.following.is_some() {
            self.leave();
        }
    }

    /// Follows no more.
    #[cold]
    #[inline(never)]
    fn leave(&mut self) {
        self.following = None;
    }

    /// A number for what is lent next.
    #[inline]
    const fn count(&mut self) -> u32 {
        self.lend = match self.lend.wrapping_add(1) {
            0 => 1,
            next => next,
        };
        self.lend
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
        let lend = self.count();
        shmx_view::put_lent(view, self.lent.insert(frame), lend);
        Ok(shmx_status::Ok)
    }

    /// The reader, for something else to have; what it has lent ends.
    pub(crate) fn into_reader(self) -> R {
        let mut this = std::mem::ManuallyDrop::new(self);
        this.lent = None;
        this.following = None;
        // SAFETY: it comes from a box, nothing borrows it any more, and `drop` does not run for `this`.
        *unsafe { Box::from_raw(this.reader.as_ptr()) }
    }

    /// The number of what is lent; 0 if nothing is.
    pub(crate) const fn lending(&self) -> u32 {
        if self.lent.is_some() || self.following.is_some() { self.lend } else { 0 }
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
        Ok(match (&self.lent, &self.following) {
            (Some(frame), _) => frame.directory()?,
            (None, Some(following)) => R::directory_by(following)?,
            (None, None) => self.reader().directory()?,
        })
    }

    /// Ends what is lent, or does nothing where that is another lending.
    pub(crate) fn release(&mut self, lend: u32) {
        if lend == 0 || lend == self.lend {
            self.lent = None;
            self.following = None;
        }
    }
}

impl Lender<Client> {
    /// Takes a frame that is being written, and lends what there is of it: its number with it.
    pub(crate) fn follow(
        &mut self,
        follow: impl for<'r> FnOnce(&'r mut Client) -> Result<Option<Following<'r>>, ReadError>,
    ) -> Result<Option<(&Following<'static>, u32)>, Fault> {
        self.end();
        // SAFETY: as in `take`, for what borrows it while it follows.
        let reader: &'static mut Client = unsafe { self.reader.as_mut() };
        let Some(following) = follow(reader)? else { return Ok(None) };
        let lend = self.count();
        Ok(Some((self.following.insert(following), lend)))
    }

    /// What is followed, and its number.
    pub(crate) fn following(&mut self) -> Result<(&mut Following<'static>, u32), Fault> {
        Ok((self.following.as_mut().ok_or_else(none_followed)?, self.lend))
    }

    /// Waits until the frame that is followed is whole, and lends it: `NOTHING` if it is still being written.
    pub(crate) fn finish(
        &mut self,
        view: crate::args::Place<shmx_view>,
        timeout: Duration,
    ) -> Result<shmx_status, Fault> {
        let (following, _) = self.following()?;
        let start = Instant::now();
        loop {
            match following.wait(timeout.saturating_sub(start.elapsed()))? {
                Step::Whole => break,
                Step::Waiting if start.elapsed() >= timeout => return Ok(shmx_status::Nothing),
                _ => {}
            }
        }
        let frame = self.following.take().ok_or_else(none_followed)?.finish(Duration::ZERO)?;
        let lend = self.count();
        shmx_view::put_lent(view, self.lent.insert(frame), lend);
        Ok(shmx_status::Ok)
    }
}

#[cold]
fn none_lent() -> Fault {
    Fault::new(shmx_status::BadArgument, "no frame is lent; take one first, and use nothing else before this")
}

#[cold]
fn none_followed() -> Fault {
    Fault::new(shmx_status::BadArgument, "no frame is followed; begin with shmx_client_follow")
}

impl<R: Reader> Drop for Lender<R> {
    fn drop(&mut self) {
        self.lent = None;
        self.following = None;
        // SAFETY: it comes from a box, is freed here only, and nothing borrows it any more.
        drop(unsafe { Box::from_raw(self.reader.as_ptr()) });
    }
}
