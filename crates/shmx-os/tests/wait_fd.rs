//! Descriptors to wait with, of every kind.

#![cfg(target_os = "linux")]

use std::os::fd::{AsRawFd, RawFd};
use std::sync::atomic::Ordering;
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use crate::common::Scratch;
use crate::word::{Memory, Word};
use shmx_os::{ReadOnlyRegion, Region, WaitFd, WaitFdKind, WaitWord};

const FOREVER: Duration = Duration::MAX;
const DEADLINE: Duration = Duration::from_secs(60);

/// The kinds that notice a wake-up, as far as this system has them.
fn kinds() -> Vec<WaitFdKind> {
    let mut kinds = vec![WaitFdKind::Thread];
    match WaitFd::with_kind(WaitFdKind::IoUring) {
        Ok(_) => kinds.push(WaitFdKind::IoUring),
        Err(error) => eprintln!("skipped: io_uring, because {error}"),
    }
    kinds
}

fn pair(scratch: &Scratch) -> (Arc<Region>, Arc<Word>) {
    let region = Arc::new(scratch.create(4096));
    let word = Word::of(&region, 1);
    (region, word)
}

/// Waits by poll until the descriptor is readable. No arming in these tests has a guard that would help a lost wake-up.
fn await_readable(wait: &WaitFd) {
    let mut entry = libc::pollfd { fd: wait.as_raw_fd(), events: libc::POLLIN, revents: 0 };
    let end = Instant::now() + DEADLINE;
    loop {
        let left = end.saturating_duration_since(Instant::now()).as_millis() as i32;
        assert!(left > 0, "the descriptor does not become readable");
        // SAFETY: one entry, valid for writes.
        if unsafe { libc::poll(&raw mut entry, 1, left) } == 1 {
            assert_eq!(entry.revents, libc::POLLIN);
            return;
        }
    }
}

/// An epoll set with one descriptor.
struct Epoll(RawFd);

impl Epoll {
    fn new(wait: &WaitFd, events: i32) -> Self {
        // SAFETY: a plain system call.
        let epoll = unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) };
        assert!(epoll >= 0);
        let mut event = libc::epoll_event { events: events as u32, u64: 0 };
        // SAFETY: the event is valid for reads.
        assert_eq!(unsafe { libc::epoll_ctl(epoll, libc::EPOLL_CTL_ADD, wait.as_raw_fd(), &raw mut event) }, 0);
        Self(epoll)
    }

    /// Whether there is an event within the time. Interruptions, which io_uring may cause, are counted.
    fn wait(&self, timeout: Duration, interruptions: &mut u32) -> bool {
        let end = Instant::now() + timeout;
        loop {
            let left = end.saturating_duration_since(Instant::now()).as_millis() as i32;
            let mut event = libc::epoll_event { events: 0, u64: 0 };
            // SAFETY: room for one event.
            match unsafe { libc::epoll_wait(self.0, &raw mut event, 1, left) } {
                -1 => {
                    assert_eq!(std::io::Error::last_os_error().kind(), std::io::ErrorKind::Interrupted);
                    *interruptions += 1;
                }
                found => return found == 1,
            }
        }
    }
}

impl Drop for Epoll {
    fn drop(&mut self) {
        // SAFETY: ours, and closed here only.
        unsafe { libc::close(self.0) };
    }
}

#[test]
fn the_best_kind_is_chosen() {
    let best = WaitFd::new().unwrap();
    assert_eq!(best.kind(), *kinds().last().unwrap());
    for kind in [WaitFdKind::Thread, WaitFdKind::Timer] {
        let wait = WaitFd::with_kind(kind).unwrap();
        assert_eq!(wait.kind(), kind);
        assert_eq!(format!("{wait:?}"), format!("WaitFd {{ kind: {kind:?}, .. }}"));
    }
}

#[test]
fn readable_when_the_word_is_changed_and_woken() {
    for kind in kinds() {
        let scratch = Scratch::new();
        let (_region, word) = pair(&scratch);
        let mut wait = WaitFd::with_kind(kind).unwrap();
        assert!(!wait.is_readable().unwrap());
        for value in 0..100 {
            wait.arm(Some(word.clone()), value, FOREVER).unwrap();
            assert!(!wait.is_readable().unwrap(), "{kind:?} {value}");
            word.ring(value + 1);
            await_readable(&wait);
            // And it stays so.
            assert!(wait.is_readable().unwrap());
        }
    }
}

#[test]
fn readable_at_once_when_the_word_differs_already() {
    for kind in kinds().into_iter().chain([WaitFdKind::Timer]) {
        let scratch = Scratch::new();
        let (_region, word) = pair(&scratch);
        let mut wait = WaitFd::with_kind(kind).unwrap();
        wait.arm(Some(word.clone()), 0, FOREVER).unwrap();
        assert!(!wait.is_readable().unwrap());
        // Without a wake-up: the arming looks.
        word.word().store(1, Ordering::Release);
        wait.arm(Some(word.clone()), 0, FOREVER).unwrap();
        assert!(wait.is_readable().unwrap(), "{kind:?}");
        wait.arm(Some(word), 1, FOREVER).unwrap();
        assert!(!wait.is_readable().unwrap(), "{kind:?}");
    }
}

#[test]
fn readable_when_the_time_has_passed() {
    for kind in kinds().into_iter().chain([WaitFdKind::Timer]) {
        let scratch = Scratch::new();
        let (_region, word) = pair(&scratch);
        let mut wait = WaitFd::with_kind(kind).unwrap();
        for word in [Some(word.clone() as Arc<dyn WaitWord>), None] {
            wait.arm(word.clone(), 0, FOREVER).unwrap();
            assert!(!wait.is_readable().unwrap());
            let start = Instant::now();
            wait.arm(word.clone(), 0, Duration::from_millis(5)).unwrap();
            await_readable(&wait);
            assert!(start.elapsed() >= Duration::from_millis(5), "{kind:?}");
            wait.arm(word.clone(), 0, Duration::ZERO).unwrap();
            assert!(wait.is_readable().unwrap(), "{kind:?}: zero is at once");
            for long in [Duration::MAX, Duration::from_secs(u64::from(u32::MAX)), Duration::from_secs(1 << 62)] {
                wait.arm(word.clone(), 0, long).unwrap();
                assert!(!wait.is_readable().unwrap(), "{kind:?} {long:?}");
            }
            // A later end gives way.
            wait.arm(word.clone(), 0, Duration::from_millis(1)).unwrap();
            await_readable(&wait);
            wait.disarm().unwrap();
            assert!(!wait.is_readable().unwrap());
        }
    }
}

#[test]
fn disarming_makes_unreadable_and_lets_go_of_the_memory() {
    for kind in kinds().into_iter().chain([WaitFdKind::Timer]) {
        let scratch = Scratch::new();
        let (region, word) = pair(&scratch);
        let mut wait = WaitFd::with_kind(kind).unwrap();
        wait.disarm().unwrap();
        for round in 0..200 {
            wait.arm(Some(word.clone()), 0, [FOREVER, DEADLINE][round % 2]).unwrap();
            if round % 3 == 0 {
                region.wake_all(word.word(), 0);
            }
            wait.disarm().unwrap();
            assert_eq!(Arc::strong_count(&word), 1, "{kind:?}");
            assert!(!wait.is_readable().unwrap(), "{kind:?}");
        }
        // Unmapped while the descriptor lives on, with another region in its place perhaps.
        drop(word);
        drop(Arc::into_inner(region).expect("nobody else has it"));
        let (_region, word) = pair(&Scratch::new());
        assert!(!wait.is_readable().unwrap());
        wait.arm(Some(word.clone()), 0, Duration::ZERO).unwrap();
        wait.arm(Some(word.clone()), 1, FOREVER).unwrap();
        assert!(wait.is_readable().unwrap());
    }
}

#[test]
fn another_word_takes_the_place_of_the_first() {
    for kind in kinds() {
        let scratch = Scratch::new();
        let (region, first) = pair(&scratch);
        let second = Word::of(&region, 2);
        let mut wait = WaitFd::with_kind(kind).unwrap();
        for round in 0..200 {
            wait.arm(Some(first.clone()), round, FOREVER).unwrap();
            wait.arm(Some(second.clone()), round, FOREVER).unwrap();
            assert_eq!(Arc::strong_count(&first), 1);
            first.ring(round + 1);
            assert!(!wait.is_readable().unwrap(), "{kind:?}");
            second.ring(round + 1);
            await_readable(&wait);
        }
    }
}

/// Every change is waited for by a descriptor without a guard, and every answer by a plain wait with a deadline.
#[test]
fn no_wake_up_is_lost() {
    const ROUNDS: u32 = 30_000;
    for kind in kinds() {
        let scratch = Scratch::new();
        let (region, ask) = pair(&scratch);
        let answer = Word::of(&region, 2);
        let mut wait = WaitFd::with_kind(kind).unwrap();
        let epoll = Epoll::new(&wait, libc::EPOLLIN);
        let mut interruptions = 0;
        std::thread::scope(|scope| {
            let (region, ask, answer) = (&region, &ask, &answer);
            scope.spawn(move || {
                for round in 1..=ROUNDS {
                    ask.ring(round);
                    let end = Instant::now() + DEADLINE;
                    while answer.word().load(Ordering::Acquire) != round {
                        assert!(Instant::now() < end, "{kind:?}: no answer to {round}");
                        let _ = region.wait(answer.word(), round - 1, DEADLINE);
                    }
                }
            });
            for round in 1..=ROUNDS {
                while ask.word().load(Ordering::Acquire) != round {
                    wait.arm(Some(ask.clone()), round - 1, FOREVER).unwrap();
                    assert!(epoll.wait(DEADLINE, &mut interruptions), "{kind:?}: a wake-up was lost in {round}");
                }
                answer.ring(round);
            }
        });
        eprintln!("{kind:?}: epoll_wait interrupted {interruptions} times in {ROUNDS}");
    }
}

#[test]
fn edges_are_seen() {
    for kind in kinds().into_iter().chain([WaitFdKind::Timer]) {
        let scratch = Scratch::new();
        let (_region, word) = pair(&scratch);
        let mut wait = WaitFd::with_kind(kind).unwrap();
        let epoll = Epoll::new(&wait, libc::EPOLLIN | libc::EPOLLET);
        for round in 0..1000 {
            let by_time = kind == WaitFdKind::Timer || round % 10 == 0;
            let within = if by_time { Duration::from_micros(50) } else { FOREVER };
            wait.arm(Some(word.clone()), round, within).unwrap();
            if round % 2 == 0 {
                word.ring(round + 1);
                assert!(epoll.wait(DEADLINE, &mut 0), "{kind:?} {round}");
            } else {
                // Changed and not woken: the next arming says so.
                word.word().store(round + 1, Ordering::Release);
                wait.arm(Some(word.clone()), round, FOREVER).unwrap();
                assert!(epoll.wait(DEADLINE, &mut 0), "{kind:?} {round}");
            }
        }
    }
}

#[test]
fn armed_by_a_thread_that_sleeps_elsewhere() {
    for kind in kinds() {
        let scratch = Scratch::new();
        let (_region, word) = pair(&scratch);
        let mut wait = WaitFd::with_kind(kind).unwrap();
        std::thread::scope(|scope| {
            let (armed, is_armed) = mpsc::channel();
            let (_end, ended) = mpsc::channel::<()>();
            let (of_thread, on) = (&mut wait, word.clone());
            scope.spawn(move || {
                of_thread.arm(Some(on), 0, FOREVER).unwrap();
                armed.send(of_thread).unwrap();
                // Until the other end is dropped.
                let _ = ended.recv();
            });
            let wait = is_armed.recv().unwrap();
            word.ring(1);
            await_readable(wait);
            wait.arm(Some(word.clone()), 1, FOREVER).unwrap();
            word.ring(2);
            await_readable(wait);
            wait.disarm().unwrap();
            assert!(!wait.is_readable().unwrap());
            assert_eq!(Arc::strong_count(&word), 1);
        });
    }
}

#[test]
fn armed_by_a_thread_that_has_ended() {
    for kind in kinds() {
        let scratch = Scratch::new();
        let (_region, word) = pair(&scratch);
        for within in [FOREVER, DEADLINE, Duration::from_millis(20)] {
            let mut wait = WaitFd::with_kind(kind).unwrap();
            let value = word.word().load(Ordering::Relaxed);
            let on = word.clone();
            std::thread::scope(|scope| {
                scope.spawn(|| wait.arm(Some(on), value, within).unwrap());
            });
            if within > Duration::from_secs(1) {
                // Some kernels end a thread's waits by io_uring with the thread, and say so; others let them go on.
                assert!(kind == WaitFdKind::IoUring || !wait.is_readable().unwrap());
                word.ring(value + 1);
            }
            await_readable(&wait);
            let value = word.word().load(Ordering::Relaxed);
            wait.arm(Some(word.clone()), value, within).unwrap();
            word.ring(value + 1);
            await_readable(&wait);
            wait.disarm().unwrap();
            assert!(!wait.is_readable().unwrap());
            assert_eq!(Arc::strong_count(&word), 1);
        }
    }
}

#[test]
fn words_behind_read_only_mappings() {
    for kind in kinds() {
        let scratch = Scratch::new();
        let (_region, word) = pair(&scratch);
        let reader = Word::new(Memory::ReadOnly(Arc::new(ReadOnlyRegion::open(&scratch.0).unwrap())), 1);
        let mut wait = WaitFd::with_kind(kind).unwrap();
        for value in 0..100 {
            wait.arm(Some(reader.clone()), value, FOREVER).unwrap();
            word.ring(value + 1);
            await_readable(&wait);
        }
    }
}

#[test]
fn dropped_while_armed() {
    for kind in kinds().into_iter().chain([WaitFdKind::Timer]) {
        let scratch = Scratch::new();
        let (_region, word) = pair(&scratch);
        for value in 0..200 {
            let mut wait = WaitFd::with_kind(kind).unwrap();
            wait.arm(Some(word.clone()), value, DEADLINE).unwrap();
            if value % 2 == 0 {
                drop(wait);
                assert_eq!(Arc::strong_count(&word), 1);
                word.ring(value + 1);
            } else {
                // At the same moment as the wake-up.
                std::thread::scope(|scope| {
                    scope.spawn(|| word.ring(value + 1));
                    drop(wait);
                });
            }
        }
    }
}
