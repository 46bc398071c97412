//! The words on which readers and the server sleep.

use shmx_abi::extension::{Features, READERS_CHANGED, SERVER_WAITS};
use shmx_ring::sync::{AtomicU32, Ordering};
use shmx_ring::{control_bell, doorbell};

/// The flag of the second feature word under which a server sleeps on it.
const SLEEPS: u32 = (Features::CONTROL_BELL >> 32) as u32;

fn value(word: &AtomicU32) -> u32 {
    word.load(Ordering::Relaxed)
}

/// Flags that say something else, and counts, the last of them included.
const AROUND: [u32; 4] = [0, 1 << 1, 0x0007_0002, 0xFFFF_0002];

#[test]
fn a_server_that_sleeps_is_woken_once() {
    for around in AROUND {
        let more = AtomicU32::new(around | SLEEPS);
        for _ in 0..3 {
            assert_eq!(control_bell::ring(&more), None, "it is awake");
            let before = value(&more);
            let asleep = control_bell::prepare_to_sleep(&more);
            assert_eq!((asleep, value(&more)), (before | SERVER_WAITS, before | SERVER_WAITS), "it sleeps on the word");
            assert_eq!(control_bell::prepare_to_sleep(&more), asleep, "a second thread sleeps on the same value");
            assert_eq!(control_bell::ring(&more), Some(asleep));
            // Counted, so that who has not slept yet does not, and nothing else in the word has changed.
            assert_eq!(value(&more), before.wrapping_add(READERS_CHANGED));
        }
    }
}

#[test]
fn a_server_that_does_not_sleep_on_the_word_is_left_alone() {
    // It announces no bell, whatever the other flag says; or it is awake.
    for flags in [0, SERVER_WAITS, SLEEPS] {
        for around in AROUND {
            let more = AtomicU32::new(around | flags);
            assert!(!control_bell::is_asleep(value(&more)));
            assert_eq!((control_bell::ring(&more), value(&more)), (None, around | flags));
        }
    }
    assert!(control_bell::is_asleep(SLEEPS | SERVER_WAITS));
    assert!(control_bell::is_asleep(u32::MAX));
}

/// A doorbell that is rung always stays odd for those who may only watch it.
#[test]
fn a_doorbell_that_always_rings_never_holds_one_value_twice() {
    for start in [0, 6, u32::MAX - 1] {
        let bell = AtomicU32::new(start);
        doorbell::keep_odd(&bell);
        let mut seen = Vec::new();
        for _ in 0..3 {
            let asleep = doorbell::watch(&bell);
            assert_eq!((asleep, asleep % 2), (value(&bell), 1), "watchers sleep on an odd value and change nothing");
            assert!(!seen.contains(&asleep));
            seen.push(asleep);
            assert_eq!(doorbell::ring(&bell), Some(asleep));
            assert_eq!(doorbell::ring(&bell), None, "between its two steps nobody is woken twice");
            doorbell::keep_odd(&bell);
        }
    }
}
