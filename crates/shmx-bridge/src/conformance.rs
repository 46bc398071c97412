//! What every [`Backend`] must do, as a test that any of them can run: each check panics where one does not.
//!
//! ```
//! use shmx_bridge::{conformance, fake::Net};
//! use std::sync::Arc;
//!
//! let net = Net::default();
//! conformance::all(&[Arc::new(net.host()), Arc::new(net.host())]);
//! ```

use crate::backend::{Backend, Message, Urgency};
use std::sync::mpsc::{self, Receiver};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Long enough for anything that happens at all.
const LIMIT: Duration = Duration::from_secs(30);

/// All checks, over two hosts of one network that are linked.
///
/// # Panics
///
/// Where a backend does not do what it must.
pub fn all(hosts: &[Arc<dyn Backend>; 2]) {
    let [a, b] = hosts;
    presence(&**a, &**b);
    messages(&**a, &**b);
    questions(&**a, &**b);
}

fn next<T>(receive: &Receiver<T>, what: &str) -> T {
    receive.recv_timeout(LIMIT).unwrap_or_else(|e| panic!("{what}: {e}"))
}

/// Presence is seen whether it was there before or comes later, and so is its end.
fn presence(a: &dyn Backend, b: &dyn Backend) {
    let before = a.announce("shmx/c/1/region/before/2").expect("announce");
    let (send, receive) = mpsc::channel();
    let send = Mutex::new(send);
    let tell = move |key: &str, there: bool| {
        drop(send.lock().unwrap_or_else(PoisonError::into_inner).send((key.to_owned(), there)));
    };
    let _watch = b.watch("shmx/*/*/region/*/*", Box::new(tell)).expect("watch");
    assert_eq!(next(&receive, "what is there"), ("shmx/c/1/region/before/2".into(), true));
    let later = a.announce("shmx/c/1/region/later%20on/3").expect("announce");
    assert_eq!(next(&receive, "what comes"), ("shmx/c/1/region/later%20on/3".into(), true));
    drop(later);
    assert_eq!(next(&receive, "what goes"), ("shmx/c/1/region/later%20on/3".into(), false));
    drop(before);
    assert_eq!(next(&receive, "what goes"), ("shmx/c/1/region/before/2".into(), false));
}

/// Messages come whole, in order, and only under keys that were asked for.
fn messages(a: &dyn Backend, b: &dyn Backend) {
    let (send, receive) = mpsc::channel();
    let send = Mutex::new(send);
    let tell = move |key: &str, message: Message<'_>| {
        drop(send.lock().unwrap_or_else(PoisonError::into_inner).send((key.to_owned(), message.whole().into_owned())));
    };
    let _subscribed = b.subscribe("shmx/c/1/to/*/4", Box::new(tell)).expect("subscribe");
    // Until the subscription is known there, messages may be lost.
    let start = Instant::now();
    while receive.try_recv().is_err() {
        assert!(start.elapsed() < LIMIT, "a subscription is never known");
        a.send("shmx/c/1/to/0/4", vec![0], Urgency::Data).expect("send");
        std::thread::sleep(Duration::from_millis(10));
    }
    let large: Vec<u8> = (0..3_000_000_u32).map(|i| (i % 251) as u8).collect();
    a.send("shmx/c/1/to/1/5", vec![9], Urgency::Data).expect("send");
    for i in 1..100_u8 {
        a.send("shmx/c/1/to/1/4", vec![i], Urgency::Data).expect("send");
    }
    a.send("shmx/c/1/to/1/4", large.clone(), Urgency::Data).expect("send");
    a.send("shmx/c/1/to/1/4", Vec::new(), Urgency::Data).expect("send");
    let mut wanted: Vec<Vec<u8>> = (1..100_u8).map(|i| vec![i]).collect();
    wanted.extend([large, Vec::new()]);
    for wanted in wanted {
        let (key, message) = loop {
            let next = next(&receive, "messages");
            // Of those by which the subscription was found to be known.
            if next.1 != [0] {
                break next;
            }
        };
        assert!(key == "shmx/c/1/to/1/4" && message == wanted, "{} bytes under {key}", message.len());
    }
}

/// Questions are answered, also later and from another thread; a pattern asks several.
fn questions(a: &dyn Backend, b: &dyn Backend) {
    let answer = |name: &'static str| {
        move |question: &[u8], respond: crate::Respond| {
            let answer = [name.as_bytes(), question].concat();
            drop(std::thread::spawn(move || respond(answer)));
        }
    };
    let _first = a.answer("shmx/c/1/offers", Box::new(answer("first "))).expect("answer");
    let _second = a.answer("shmx/c/2/offers", Box::new(answer("second "))).expect("answer");
    let start = Instant::now();
    let answers = loop {
        let mut answers = b.ask("shmx/*/*/offers", b"who".to_vec(), Duration::from_secs(5)).expect("ask");
        if answers.len() == 2 {
            answers.sort();
            break answers;
        }
        assert!(start.elapsed() < LIMIT, "not all answer: {answers:?}");
    };
    let wanted = [("shmx/c/1/offers", &b"first who"[..]), ("shmx/c/2/offers", b"second who")];
    assert!(answers.iter().zip(wanted).all(|((k, a), (key, answer))| k == key && a == answer), "{answers:?}");
    let one = b.ask("shmx/c/2/offers", Vec::new(), Duration::from_secs(5)).expect("ask");
    assert_eq!(one, [("shmx/c/2/offers".to_owned(), b"second ".to_vec())]);
    let none = b.ask("shmx/c/3/offers", Vec::new(), Duration::from_millis(200)).expect("ask");
    assert!(none.is_empty(), "{none:?}");
}
