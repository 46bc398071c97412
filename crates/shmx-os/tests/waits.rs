//! Waits that every platform has.

#![cfg(any(target_os = "linux", target_os = "macos", windows))]

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use crate::common::Scratch;
use crate::word::{Memory, Word};
use shmx_os::{ManyWake, ReadOnlyRegion, WaitMany, WaitWord, futex};

const DEADLINE: Duration = Duration::from_secs(60);

/// Every sleep is far longer than the test may take, so none but a wake-up ends it.
#[test]
fn a_read_only_mapping_can_be_slept_on() {
    const ROUNDS: u32 = 2000;
    let scratch = Scratch::new();
    let region = Arc::new(scratch.create(4096));
    let (ask, answer) = (Word::of(&region, 1), Word::of(&region, 2));
    let reader = Arc::new(ReadOnlyRegion::open(&scratch.0).unwrap());
    let asked = Word::new(Memory::ReadOnly(reader.clone()), 1);
    let start = Instant::now();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for round in 1..=ROUNDS {
                ask.ring(round);
                while answer.word().load(Ordering::Acquire) != round {
                    assert!(start.elapsed() < DEADLINE, "no answer to {round}");
                    let _ = region.wait(answer.word(), round - 1, DEADLINE);
                }
            }
        });
        for round in 1..=ROUNDS {
            while asked.word().load(Ordering::Relaxed) != round {
                assert!(start.elapsed() < DEADLINE, "a wake-up was lost in {round}");
                let woken = reader.wait(asked.word(), round - 1, DEADLINE * 2);
                assert!(!futex::is_supported() || woken != futex::Wake::TimedOut);
            }
            answer.ring(round);
        }
    });
}

#[test]
fn waits_on_a_read_only_mapping_end_by_value_and_by_time() {
    let scratch = Scratch::new();
    let _region = scratch.create(4096);
    let reader = Arc::new(ReadOnlyRegion::open(&scratch.0).unwrap());
    let word = Word::new(Memory::ReadOnly(reader.clone()), 3);
    assert_eq!(reader.wait(word.word(), 1, DEADLINE), futex::Wake::ValueChanged);
    for timeout in [Duration::ZERO, Duration::from_millis(5)] {
        let start = Instant::now();
        assert_eq!(reader.wait(word.word(), 0, timeout), futex::Wake::TimedOut);
        // Timers may be a tick early.
        assert!(!futex::is_supported() || start.elapsed() >= timeout / 2);
    }
}

// ---------------------------------------------------------------------------------------------------- many words

/// So many words of a region, each with the value that a wait expects of it.
struct Words {
    words: Vec<Arc<Word>>,
    entries: Vec<(Arc<dyn WaitWord>, u32)>,
    _scratch: Scratch,
}

impl Words {
    fn new(count: usize) -> Self {
        let scratch = Scratch::new();
        let region = Arc::new(scratch.create(count.max(1) as u64 * 4));
        let words: Vec<_> = (0..count).map(|index| Word::of(&region, index)).collect();
        let entries = words.iter().map(|word| (word.clone() as Arc<dyn WaitWord>, 0)).collect();
        Self { words, entries, _scratch: scratch }
    }
}

/// All sleeps are without end: a lost wake-up shows as a word that the other side never sees answered.
#[test]
fn no_wake_up_of_many_words_is_lost() {
    for (count, rounds) in [(1, 20_000), (8, 10_000), (64, 3000), (127, 2000), (128, 2000), (200, 2000), (1000, 500)] {
        let Words { words, mut entries, _scratch } = Words::new(count);
        let answer = AtomicU32::new(0);
        let mut many = WaitMany::new().unwrap();
        let sleeps = many.sleeps(count);
        eprintln!("{count} words: {}", if sleeps { "sleeps" } else { "polls" });
        std::thread::scope(|scope| {
            let (words, answer) = (&words, &answer);
            scope.spawn(move || {
                let mut random = 1_u32;
                for round in 1..=rounds {
                    random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                    let word = &words[(random >> 16) as usize % count];
                    word.ring(word.word().load(Ordering::Relaxed) + 1);
                    let end = Instant::now() + DEADLINE;
                    while answer.load(Ordering::Acquire) != round {
                        assert!(Instant::now() < end, "{count} words: no answer to {round}");
                        std::thread::yield_now();
                    }
                }
            });
            for round in 1..=rounds {
                loop {
                    let woken = many.wait(&entries, Duration::MAX);
                    let ManyWake::Ready(index) = woken else { panic!("{count} words: {woken:?}") };
                    // Relaxed: the words hold nothing but numbers.
                    let value = words[index].word().load(Ordering::Relaxed);
                    if std::mem::replace(&mut entries[index].1, value) != value {
                        break;
                    }
                }
                answer.store(round, Ordering::Release);
            }
        });
    }
}

#[test]
fn waits_on_many_words_end_by_value_time_and_interruption() {
    for count in [0, 1, 8, 64, 127, 128, 200, 1000] {
        let Words { words, entries, _scratch } = Words::new(count);
        let mut many = WaitMany::new().unwrap();
        assert_eq!(many.wait(&entries, Duration::ZERO), ManyWake::TimedOut);
        let start = Instant::now();
        assert_eq!(many.wait(&entries, Duration::from_millis(5)), ManyWake::TimedOut, "{count} words");
        // Timers may be a tick early.
        assert!(start.elapsed() >= Duration::from_millis(3));
        for index in [0, count / 2, count.saturating_sub(1)] {
            let Some(word) = words.get(index) else { continue };
            // Not woken: the look finds it, with any timeout.
            word.word().store(1, Ordering::Release);
            assert_eq!(many.wait(&entries, Duration::ZERO), ManyWake::Ready(index));
            assert_eq!(many.wait(&entries, Duration::MAX), ManyWake::Ready(index));
            word.word().store(0, Ordering::Release);
        }
        // Before the wait, twice: told once.
        let interrupter = many.interrupter();
        interrupter.interrupt();
        interrupter.clone().interrupt();
        assert_eq!(many.wait(&entries, Duration::MAX), ManyWake::Interrupted);
        assert_eq!(many.wait(&entries, Duration::from_millis(1)), ManyWake::TimedOut);
        // While it sleeps, or just before it.
        std::thread::scope(|scope| {
            let (told, telling) = mpsc::channel();
            scope.spawn(move || {
                for _ in 0..200 {
                    interrupter.interrupt();
                    telling.recv().unwrap();
                }
            });
            for _ in 0..200 {
                assert_eq!(many.wait(&entries, Duration::MAX), ManyWake::Interrupted, "{count} words");
                told.send(()).unwrap();
            }
        });
        // Nothing holds the words.
        drop(entries);
        assert!(words.iter().all(|word| Arc::strong_count(word) == 1));
    }
}

#[test]
fn the_same_word_may_be_there_twice_with_two_values() {
    let Words { words, .. } = Words::new(2);
    let entry = |index: usize, value| (words[index].clone() as Arc<dyn WaitWord>, value);
    let mut many = WaitMany::new().unwrap();
    assert_eq!(many.wait(&[entry(0, 0), entry(0, 0)], Duration::from_millis(1)), ManyWake::TimedOut);
    assert_eq!(many.wait(&[entry(0, 0), entry(0, 1)], Duration::MAX), ManyWake::Ready(1));
}

#[test]
fn a_hundred_thousand_words() {
    let Words { words, entries, _scratch } = Words::new(100_000);
    let mut many = WaitMany::new().unwrap();
    assert_eq!(many.wait(&entries, Duration::from_millis(5)), ManyWake::TimedOut);
    std::thread::scope(|scope| {
        scope.spawn(|| words[99_999].ring(1));
        assert_eq!(many.wait(&entries, Duration::MAX), ManyWake::Ready(99_999));
    });
}

/// Words that lie in no region of this crate: futexes all the same on Linux.
#[test]
fn words_of_private_memory() {
    struct Private(AtomicU32);
    impl WaitWord for Private {
        fn word(&self) -> &AtomicU32 {
            &self.0
        }
    }
    let words: Vec<_> = (0..200).map(|_| Arc::new(Private(AtomicU32::new(0)))).collect();
    for count in [1, 64, 200] {
        let entries: Vec<_> = words[..count].iter().map(|word| (word.clone() as Arc<dyn WaitWord>, 0)).collect();
        let mut many = WaitMany::new().unwrap();
        assert_eq!(many.wait(&entries, Duration::from_millis(2)), ManyWake::TimedOut);
        words[count - 1].0.store(1, Ordering::Release);
        assert_eq!(many.wait(&entries, Duration::MAX), ManyWake::Ready(count - 1));
        words[count - 1].0.store(0, Ordering::Release);
    }
}
