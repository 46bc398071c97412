//! Frames as a stream in a tokio runtime.
#![cfg(target_os = "linux")]

#[path = "../examples/event_loop_tokio.rs"]
mod event_loop_tokio;

use crate::common::loops::{self, PART, TICK, publish, server};
use crate::common::{self, LIMIT, unique};
use futures::StreamExt;
use shmx::error::{ReadError, ServerEnd};
use shmx::{Client, Order};
use shmx_os::WaitFdKind;

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

/// A producer that answers each frame taken by the next one, so that each wake-up that is lost stops both.
#[test]
fn every_frame_comes_and_the_end_is_told_once() {
    let count = if common::emulated() { 500 } else { 10_000 };
    let name = unique("tokio");
    let mut server = server(&name);
    let client = Client::open(&name).unwrap();
    let (taken, take) = std::sync::mpsc::sync_channel(1);
    let producer = std::thread::spawn(move || {
        for tick in 1..=count {
            publish(&mut server, tick);
            take.recv().unwrap();
        }
    });
    runtime().block_on(async {
        let mut frames = client.into_tokio_stream(Order::Every).unwrap();
        for tick in 1..=count {
            let frame = tokio::time::timeout(LIMIT, frames.next()).await.expect("a wake-up was lost");
            assert_eq!(frame.unwrap().unwrap().value(TICK), Ok(tick));
            taken.send(()).unwrap();
        }
        let end = tokio::time::timeout(LIMIT, frames.next()).await.unwrap().unwrap();
        assert_eq!(end.unwrap_err(), ReadError::ServerGone { end: ServerEnd::Closed });
        assert!(frames.next().await.is_none());
    });
    producer.join().unwrap();
}

#[test]
fn a_future_that_is_dropped_loses_no_frame() {
    let name = unique("drop");
    let mut server = server(&name);
    let client = Client::open(&name).unwrap();
    runtime().block_on(async {
        let mut frames = client.into_tokio_stream(Order::Every).unwrap();
        for tick in 1..=50 {
            let in_vain = tokio::time::timeout(std::time::Duration::from_millis(1), frames.next()).await;
            assert!(in_vain.is_err());
            publish(&mut server, tick);
            let frame = tokio::time::timeout(LIMIT, frames.next()).await.unwrap().unwrap().unwrap();
            assert_eq!(frame.value(TICK), Ok(tick));
        }
    });
}

/// Not a test by itself.
#[test]
fn one_loop() {
    if std::env::var(PART).as_deref() == Ok("loop") {
        event_loop_tokio::main().unwrap();
    }
}

/// The example: three regions, of which one dies and comes back, a socket and a timer, without another thread.
#[test]
fn three_regions_a_socket_and_a_timer_in_one_task() {
    // The harness has a thread for the test and its main one.
    let kind = shmx_os::WaitFd::new().unwrap().kind();
    let threads = loops::loop_answers("tokio::one_loop");
    if common::emulated() {
        println!("threads not counted: an emulator has some of its own");
    } else {
        assert_eq!(threads, if kind == WaitFdKind::IoUring { 2 } else { 5 }, "{kind:?}");
    }
}
