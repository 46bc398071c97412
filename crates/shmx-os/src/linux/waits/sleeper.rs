//! A thread that sleeps on a word for a descriptor: an eventfd.
//!
//! The owner writes an order down under the lock, counts it in `orders` and wakes that word, on which the thread sleeps
//! as well. The thread takes the order up, says so in `taken`, and waits. It makes the eventfd readable only under
//! the lock and only if no other order has come, so that an old order never makes a new one readable.
//!
//! No wake-up is lost between the owner's order and the thread's sleep: the wait compares the word with the expected
//! value in the kernel.

use std::mem::ManuallyDrop;
use std::os::fd::{AsFd, BorrowedFd};
use std::ptr;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use rustix::event::EventfdFlags;
use rustix::io::Errno;
use rustix::thread::futex::{self, WaitFlags, WaitvFlags};
use rustix::time::ClockId;

use super::order::{ARM, DISARM, Order};
use super::{FOREVER, Fd, now, one_of, timespec};
use crate::error::OsError;
use crate::linux::fork::Birth;
use crate::wait_word::WaitWord;

/// Longest sleep on a word where the kernel cannot sleep on two at once (before Linux 5.16).
const SLICE: Duration = Duration::from_millis(20);
/// Longest where it may not sleep at all.
const POLL: Duration = Duration::from_millis(1);

pub(super) struct Sleeper {
    // In a forked child neither is dropped: the thread is not there, and may have held the lock.
    shared: ManuallyDrop<Arc<Shared>>,
    thread: ManuallyDrop<JoinHandle<()>>,
    birth: Birth,
    /// What it is armed for. The thread's hold on the word is always given up before this one.
    armed: Option<Order>,
}

struct Shared {
    /// Counts orders.
    orders: AtomicU32,
    /// The last order that the thread has taken up; it has let go of the word before.
    taken: AtomicU32,
    state: Mutex<State>,
    event: Fd,
}

#[derive(Default)]
struct State {
    job: Option<Job>,
    quit: bool,
    /// Whether the eventfd is readable.
    fired: bool,
    failed: Option<Errno>,
}

#[derive(Clone)]
struct Job {
    word: Option<Arc<dyn WaitWord>>,
    expected: u32,
    /// By the steady clock.
    deadline: Duration,
}

impl Sleeper {
    /// `both`: sleep on the word and on orders at once, where the kernel can.
    pub(super) fn start(birth: Birth, both: bool) -> Result<Self, OsError> {
        let event = rustix::event::eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)
            .map_err(|error| OsError::os("make an eventfd", error))?;
        let shared = Arc::new(Shared {
            orders: AtomicU32::new(0),
            taken: AtomicU32::new(0),
            state: Mutex::default(),
            event: Fd::new(event),
        });
        let of_thread = Arc::clone(&shared);
        let thread = without_signals(|| {
            std::thread::Builder::new().name("shmx-wait".to_owned()).spawn(move || of_thread.run(both))
        })
        .map_err(|error| OsError::os("start a thread", error))?;
        Ok(Self { shared: ManuallyDrop::new(shared), thread: ManuallyDrop::new(thread), birth, armed: None })
    }

    pub(super) fn arm(&mut self, order: Order) -> Result<(), OsError> {
        let deadline = if order.within < FOREVER { now() + order.within } else { Duration::MAX };
        if self.armed.as_ref().is_some_and(|armed| !armed.same_word(&order)) {
            // The thread lets go of the word before this object does.
            self.settle(ARM, false)?;
        }
        let mut state = self.shared.lock();
        self.shared.clear(&mut state).map_err(|error| OsError::os(ARM, error))?;
        let over = order.within.is_zero();
        // A job that is there has the same word, or `settle` had taken it away.
        if !over && state.job.as_ref().is_some_and(|job| job.expected == order.expected && job.deadline <= deadline) {
            return Ok(());
        }
        if over {
            state.job = None;
            self.shared.fire(&mut state);
        } else {
            state.job = Some(Job { word: order.word.clone(), expected: order.expected, deadline });
        }
        self.armed = Some(order);
        self.shared.order(state);
        Ok(())
    }

    pub(super) fn disarm(&mut self) -> Result<(), OsError> {
        self.settle(DISARM, false)
    }

    pub(super) fn as_fd(&self) -> BorrowedFd<'_> {
        self.shared.event.as_fd()
    }

    /// Takes the order back, and waits until the thread has let go of its word.
    fn settle(&mut self, step: &'static str, quit: bool) -> Result<(), OsError> {
        let mut state = self.shared.lock();
        state.job = None;
        state.quit |= quit;
        let cleared = self.shared.clear(&mut state);
        let order = self.shared.order(state);
        if self.armed.is_some() {
            loop {
                // Acquire: what the thread did with the word is over.
                let taken = self.shared.taken.load(Ordering::Acquire);
                // It ends early if `WaitWord::word` panics.
                if taken == order || self.thread.is_finished() {
                    break;
                }
                // Any outcome leads to another look.
                let _ = futex::wait(&self.shared.taken, futex::Flags::PRIVATE, taken, Some(&timespec(SLICE)));
            }
            self.armed = None;
        }
        cleared.map_err(|error| OsError::os(step, error))
    }
}

impl Drop for Sleeper {
    fn drop(&mut self) {
        if self.birth.is_forked() {
            return;
        }
        let _ = self.settle(DISARM, true);
        // SAFETY: taken here only, and `self` is not used afterwards.
        let thread = unsafe { ManuallyDrop::take(&mut self.thread) };
        let _ = thread.join();
        // SAFETY: dropped here only, and not used afterwards.
        unsafe { ManuallyDrop::drop(&mut self.shared) };
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes the eventfd unreadable. Reports what failed in the thread.
    fn clear(&self, state: &mut State) -> Result<(), Errno> {
        if let Some(error) = state.failed {
            return Err(error);
        }
        if std::mem::take(&mut state.fired) {
            match rustix::io::read(&self.event, &mut [0_u8; 8]) {
                Ok(_) | Err(Errno::AGAIN | Errno::INTR) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Makes the eventfd readable.
    fn fire(&self, state: &mut State) {
        match rustix::io::write(&self.event, &1_u64.to_ne_bytes()) {
            // It does not block: the counter is 0 or 1. No signal arrives in the thread.
            Ok(_) | Err(Errno::AGAIN | Errno::INTR) => state.fired = true,
            Err(error) => state.failed = Some(error),
        }
    }

    /// Tells the thread to look at the state. Returns the order's number.
    fn order(&self, state: MutexGuard<'_, State>) -> u32 {
        // Relaxed: the lock orders the state.
        let order = self.orders.fetch_add(1, Ordering::Relaxed).wrapping_add(1);
        drop(state);
        let _ = futex::wake(&self.orders, futex::Flags::PRIVATE, 1);
        order
    }

    fn run(&self, mut both: bool) {
        loop {
            let (job, order) = {
                let state = self.lock();
                // Relaxed: counted under the lock.
                let order = self.orders.load(Ordering::Relaxed);
                if state.quit {
                    self.take_up(order);
                    return;
                }
                (state.job.clone(), order)
            };
            self.take_up(order);
            let Some(job) = job else {
                // Any outcome leads to another look.
                let _ = futex::wait(&self.orders, futex::Flags::PRIVATE, order, None);
                continue;
            };
            let over = self.sleep(&job, order, &mut both);
            drop(job);
            if over {
                let mut state = self.lock();
                if self.orders.load(Ordering::Relaxed) == order {
                    state.job = None;
                    self.fire(&mut state);
                }
            }
        }
    }

    /// Whoever waits for `order` may go on. The word of the one before was dropped.
    fn take_up(&self, order: u32) {
        // Release: see `settle`.
        if self.taken.swap(order, Ordering::Release) != order {
            let _ = futex::wake(&self.taken, futex::Flags::PRIVATE, 1);
        }
    }

    /// Sleeps until the job is over (true), or there may be another order.
    fn sleep(&self, job: &Job, order: u32, both: &mut bool) -> bool {
        if *both {
            match self.sleep_on_both(job, order) {
                Ok(0) => return job.word.is_some(),
                Ok(_) | Err(Errno::INTR) => return false,
                // One of the two does not hold its value.
                Err(Errno::AGAIN) => return job.is_over(),
                Err(Errno::TIMEDOUT) => return true,
                // An old kernel or a sandbox.
                Err(_) => *both = false,
            }
        }
        while self.orders.load(Ordering::Relaxed) == order {
            if job.is_over() {
                return true;
            }
            let left = job.deadline.saturating_sub(now()).min(SLICE);
            if left.is_zero() {
                return true;
            }
            let word = job.word.as_ref();
            let slept = match word {
                Some(word) => futex::wait(word.word(), futex::Flags::empty(), job.expected, Some(&timespec(left))),
                None => futex::wait(&self.orders, futex::Flags::PRIVATE, order, Some(&timespec(left))),
            };
            match slept {
                Ok(()) => return word.is_some(),
                Err(Errno::AGAIN | Errno::TIMEDOUT | Errno::INTR) => {}
                Err(_) => std::thread::sleep(left.min(POLL)),
            }
        }
        false
    }

    fn sleep_on_both(&self, job: &Job, order: u32) -> Result<usize, Errno> {
        let deadline = (job.deadline != Duration::MAX).then(|| timespec(job.deadline));
        let orders = one_of(&self.orders, order, WaitFlags::PRIVATE);
        match &job.word {
            Some(word) => {
                // Shared: the word is looked up by its object, so that all processes' mappings of it meet.
                let both = [one_of(word.word(), job.expected, WaitFlags::empty()), orders];
                futex::waitv(&both, WaitvFlags::empty(), deadline.as_ref(), ClockId::Monotonic)
            }
            None => futex::waitv(&[orders], WaitvFlags::empty(), deadline.as_ref(), ClockId::Monotonic),
        }
    }
}

impl Job {
    fn is_over(&self) -> bool {
        // Relaxed: only the value decides.
        self.word.as_ref().is_some_and(|word| word.word().load(Ordering::Relaxed) != self.expected)
    }
}

/// What a thread's own fault raises. Held back, it would end the process past the handlers of the program: the word of an
/// object that somebody has cut is such a fault.
const FAULTS: [libc::c_int; 6] = [libc::SIGBUS, libc::SIGSEGV, libc::SIGILL, libc::SIGFPE, libc::SIGTRAP, libc::SIGSYS];

/// Runs `work` with all signals but faults held back in this thread, so that a thread that it starts never gets one: the
/// program's own threads are to be interrupted by them.
fn without_signals<T>(work: impl FnOnce() -> T) -> T {
    let mut all = std::mem::MaybeUninit::<libc::sigset_t>::uninit();
    // SAFETY: valid for writes; it fills the set.
    unsafe { libc::sigfillset(all.as_mut_ptr()) };
    for fault in FAULTS {
        // SAFETY: the set was filled above.
        unsafe { libc::sigdelset(all.as_mut_ptr(), fault) };
    }
    let mut before = std::mem::MaybeUninit::<libc::sigset_t>::uninit();
    // SAFETY: the first set was filled above, the second is valid for writes.
    let failed = unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, all.as_ptr(), before.as_mut_ptr()) } != 0;
    let result = work();
    if !failed {
        // SAFETY: `before` was filled by the call that succeeded; no answer is asked for.
        unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, before.as_ptr(), ptr::null_mut()) };
    }
    result
}
