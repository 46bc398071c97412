//! A host that forks, as Python does: what a child inherits, and what it may do with it. A program of its own: a child
//! is a copy of all that is open.
#![cfg(target_os = "linux")]

use shmx::error::{AppendError, BeginError, ReadError, SendError, ServerEnd, StaticError, StreamError, Void};
use shmx::{Client, Hold, Server, SharedServer, Step, StreamSpec};
use shmx_testkit::{this_program, unique};
use std::io::{BufRead, BufReader, Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::process::ExitStatusExt;
use std::process::{ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

const SECOND: Duration = Duration::from_secs(1);
const LIMIT: Duration = Duration::from_secs(30);
/// How long a parent waits for what a forked child does, which ends by its alarm before that unless it hangs early on.
const PATIENCE: Duration = Duration::from_secs(120);

fn serve(name: &str) -> SharedServer {
    Server::builder(name).slots(6).stream(StreamSpec::of::<u64>(1, "t"), 50).create().unwrap().into_shared()
}

fn publish(server: &SharedServer, value: u64) {
    let mut f = server.begin_frame().unwrap();
    f.append_stream(1, &[value; 50]).unwrap(); // large enough to be leased
    f.publish_frame(0.0).unwrap();
}

/// A frame that is being written and read at the moment of the fork.
#[test]
fn a_child_has_no_part_in_a_frame_that_is_filled_and_followed() {
    let name = unique("follow");
    let mut server = Server::builder(&name).slots(4).stream(StreamSpec::of::<u64>(1, "t"), 50).create().unwrap();
    let mut client = Client::open(&name).unwrap();
    assert!(client.follow(Duration::ZERO).unwrap().is_none());
    let mut frame = server.begin_frame().unwrap();
    let mut fill = frame.fill_stream::<u64>(1, 50).unwrap();
    fill.write(&[1; 10]).unwrap();
    let mut read = client.follow(LIMIT).unwrap().unwrap();
    assert_eq!(read.wait(LIMIT), Ok(Step::More));
    in_child(|| {
        assert!(fill.rest().is_empty(), "the slot is the parent's");
        assert_eq!(fill.write(&[9]), Err(AppendError::Forked));
        assert_eq!(fill.commit(1), Err(AppendError::Forked));
    });
    fill.rest().fill(2);
    fill.commit(40).unwrap();
    frame.publish_frame(0.0).unwrap();
    in_child(|| assert_eq!(read.wait(LIMIT), Err(Void::Read(ReadError::Forked))));
    let seen = server.snapshot_readers();
    let reader = seen.iter().find(|r| r.in_use).unwrap();
    assert_eq!(reader.extension.map(|e| e.delivered), Some(0), "the child delivered nothing to the parent");
    let whole = read.finish(LIMIT).unwrap();
    assert_eq!(whole.get::<u64>(1).unwrap(), [[1; 10].as_slice(), &[2; 40]].concat());
}

/// Forks a child that does `work`, which sees a copy of everything; it must come to its end within a minute.
fn in_child(work: impl FnOnce()) {
    // SAFETY: the child makes system calls and uses glibc's allocator, which survives a fork; it ends by `_exit`.
    let pid = unsafe { libc::fork() };
    assert_ne!(pid, -1);
    if pid == 0 {
        // SAFETY: async-signal-safe. A child that hangs is ended by the signal.
        unsafe { libc::alarm(60) };
        let failed = std::panic::catch_unwind(std::panic::AssertUnwindSafe(work)).is_err();
        // SAFETY: ends the child without the test harness.
        unsafe { libc::_exit(failed.into()) };
    }
    let status = wait(pid);
    assert!(status.success(), "the child: {status}");
}

fn wait(pid: i32) -> ExitStatus {
    let end = Instant::now() + PATIENCE;
    let mut status = 0;
    loop {
        // SAFETY: `status` is valid for writes.
        match unsafe { libc::waitpid(pid, &raw mut status, libc::WNOHANG) } {
            0 => std::thread::sleep(Duration::from_micros(200)),
            found => {
                assert_eq!(found, pid);
                return ExitStatus::from_raw(status);
            }
        }
        if Instant::now() > end {
            put_down(pid);
            panic!("the forked child does not end");
        }
    }
}

/// Kills a child that should have ended by itself.
fn put_down(pid: i32) {
    // SAFETY: plain system calls, for a child that was not waited for yet.
    unsafe { libc::kill(pid, libc::SIGKILL) };
    // SAFETY: no status is asked for.
    unsafe { libc::waitpid(pid, std::ptr::null_mut(), 0) };
}

/// Whether there is something to read from a forked child in time.
fn is_heard(pipe: &std::io::PipeReader) -> bool {
    let mut poll = libc::pollfd { fd: pipe.as_raw_fd(), events: libc::POLLIN, revents: 0 };
    let end = Instant::now() + PATIENCE;
    while Instant::now() < end {
        // SAFETY: one entry, valid for writes. Interrupted or not, it is asked again.
        if unsafe { libc::poll(&raw mut poll, 1, 1000) } == 1 {
            return true;
        }
    }
    false
}

/// Drops a copy of `value` that only the child has.
fn drop_in_place<T>(value: &mut T) {
    // SAFETY: called in a forked child, where nothing uses the value afterwards: the child ends by `_exit`.
    unsafe { std::ptr::drop_in_place(value) };
}

#[test]
fn a_child_is_told_and_changes_nothing_for_its_parent() {
    let name = unique("child");
    let mut server = serve(&name);
    let mut client = Client::open(&name).unwrap();
    publish(&server, 1);
    let sender = client.control();
    let mut held = client.latest().unwrap().unwrap().keep();
    let before = server.snapshot_readers()[0];
    in_child(|| {
        assert_eq!(held.get::<u64>(1).unwrap()[0], 1, "the memory is still there");
        assert_eq!(server.begin_frame().err(), Some(BeginError::Forked));
        assert_eq!(client.latest().err(), Some(ReadError::Forked));
        assert_eq!(client.wait(SECOND).err(), Some(ReadError::Forked));
        assert_eq!(client.control_send(0x3000, &[1]), Err(SendError::Forked));
        assert_eq!(sender.send(0x3000, &[1]), Err(SendError::Forked));
        assert!(server.reap_stale_readers(Duration::from_nanos(1)).is_empty());
        assert!(server.poll_control(10).messages.is_empty());
        // What the child opens itself works.
        let mut own = Client::open(&name).unwrap();
        assert_ne!(own.reader_index(), client.reader_index());
        assert_eq!(own.latest().unwrap().unwrap().get::<u64>(1).unwrap()[0], 1);
        own.control_send(0x3001, &[7]).unwrap();
        drop(own);
        drop_in_place(&mut held);
        drop_in_place(&mut client);
        drop_in_place(&mut server);
    });
    assert_eq!(server.snapshot_readers()[0], before, "the reader keeps its slot, its lock and its lease");
    assert_eq!((before.leased_slots, server.readers_connected()), (1, 1));
    assert_eq!(server.poll_control(10).messages.len(), 1);
    for v in 2..20 {
        publish(&server, v);
    }
    assert_eq!(held.get::<u64>(1).unwrap()[0], 1, "still leased");
    assert_eq!(client.latest().unwrap().unwrap().get::<u64>(1).unwrap()[0], 19);
    assert!(Client::open(&name).is_ok(), "the name is still there");
}

#[test]
fn an_unfinished_frame_stays_the_parents() {
    let name = unique("frame");
    let server = serve(&name);
    let mut unfinished = server.begin_frame().unwrap();
    unfinished.append_stream(1, &[2_u64]).unwrap();
    in_child(|| {
        assert_eq!(unfinished.append_stream(1, &[3_u64]), Err(AppendError::Forked));
        drop_in_place(&mut unfinished);
    });
    unfinished.publish_frame(0.0).unwrap();
    let mut client = Client::open(&name).unwrap();
    assert_eq!(client.latest().unwrap().unwrap().get::<u64>(1).unwrap()[0], 2);
}

/// Says that it is over, also when a test fails.
struct Stop<'a>(&'a AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// The descriptor to wait on is the parent's, too.
#[test]
fn a_child_of_one_that_waits_by_a_descriptor_is_told() {
    let name = unique("forked");
    let _server = serve(&name);
    let mut client = Client::open(&name).unwrap();
    client.wait_fd().unwrap();
    in_child(|| assert!(matches!(client.try_next(), Err(ReadError::Forked))));
    assert!(client.try_next().unwrap().is_none());
}

/// Locks that other threads held at the fork stay locked in the child, so it must not wait for them.
#[test]
fn a_child_is_told_even_if_a_thread_was_in_the_middle_of_it() {
    let name = unique("middle");
    // The same stream once more is refused after a long look at a long directory, under the lock, and changes nothing.
    let again = serve(&unique("record")).directory().bytes.clone();
    let long = StreamSpec::of::<u64>(1, "t").extra(vec![1; 1 << 20]);
    let server = Server::builder(&name).directory_bytes(2 << 20).stream(long, 50).create().unwrap().into_shared();
    let refused = Err(StaticError::Stream(StreamError::DuplicateId { id: 1 }));
    let (begun, over) = (AtomicBool::new(false), AtomicBool::new(false));
    std::thread::scope(|s| {
        s.spawn(|| {
            while !over.load(Ordering::Relaxed) {
                publish(&server, 1);
                assert_eq!(server.write_static_append(&again), refused);
                begun.store(true, Ordering::Relaxed);
            }
        });
        let _stop = Stop(&over);
        await_flag(&begun);
        for _ in 0..10 {
            in_child(|| {
                let forked = || Err(StaticError::Region(BeginError::Forked));
                assert_eq!(server.add_stream(StreamSpec::of::<u64>(2, "x")), forked());
                assert_eq!(server.write_static_append(&[0; 16]), forked());
                assert!(server.frames_published() > 0);
                assert_eq!(server.directory().streams.len(), 1);
            });
        }
    });
    server.add_stream(StreamSpec::of::<u64>(2, "x")).unwrap();
    assert_eq!(server.directory().streams.len(), 2);
}

/// A thread that keeps frames and lets them go holds the lock of their memory now and then; a child that was forked
/// meanwhile hung.
#[test]
fn a_child_drops_frames_while_a_thread_of_its_parent_did_so() {
    let name = unique("pool");
    let server = serve(&name);
    publish(&server, 1);
    let mut client = Client::options().hold(Hold::Copy).open(&name).unwrap();
    let mut held = client.latest().unwrap().unwrap().keep();
    assert!(!held.is_leased());
    let (begun, over) = (AtomicBool::new(false), AtomicBool::new(false));
    std::thread::scope(|s| {
        s.spawn(|| {
            while !over.load(Ordering::Relaxed) {
                drop(client.latest().unwrap().unwrap().keep());
                begun.store(true, Ordering::Relaxed);
            }
        });
        let _stop = Stop(&over);
        await_flag(&begun);
        for _ in 0..200 {
            in_child(|| drop_in_place(&mut held));
        }
    });
}

/// Waits for another thread to have begun.
fn await_flag(begun: &AtomicBool) {
    let end = Instant::now() + LIMIT;
    while !begun.load(Ordering::Relaxed) {
        assert!(Instant::now() < end, "the other thread goes on");
        std::thread::yield_now();
    }
}

/// A host that creates a server, forks and is killed: its child lives on and must not keep the server's life alive.
#[test]
fn a_dead_hosts_child_does_not_pass_for_the_server() {
    const NAME: &str = "SHMX_FORK_HOST";
    if let Ok(name) = std::env::var(NAME) {
        host(&name);
    }
    let name = unique("host");
    let mut host = this_program()
        .args(["a_dead_hosts_child_does_not_pass_for_the_server", "--exact", "--nocapture"])
        .env(NAME, &name)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(host.stdout.take().unwrap()).lines().map_while(Result::ok);
    let child = lines.filter_map(|l| l.split_once("child=")?.1.parse::<i32>().ok()).next().unwrap();
    let mut client = Client::open(&name).unwrap();
    assert!(client.latest().unwrap().is_some());
    host.kill().unwrap();
    host.wait().unwrap();
    let told = client.wait(LIMIT).map(|frame| frame.is_some());
    let server = Server::builder(&name).stream(StreamSpec::of::<u64>(1, "t"), 50).create();
    // SAFETY: a plain system call. The process is the one that the host named, which waits for this.
    unsafe { libc::kill(child, libc::SIGKILL) };
    let died = Err(ReadError::ServerGone { end: ServerEnd::Died });
    assert!(told == died || told == Ok(true), "nobody was told: {told:?}");
    let server = server.expect("the name is free at once").into_shared();
    client.reopen().unwrap();
    publish(&server, 9);
    assert_eq!(client.wait(LIMIT).unwrap().unwrap().get::<u64>(1).unwrap()[0], 9);
}

/// Serves, forks a child that sleeps, says so, and waits to be killed.
fn host(name: &str) -> ! {
    let server = serve(name);
    publish(&server, 1);
    let (mut running, mut signal) = std::io::pipe().unwrap();
    // SAFETY: the child makes system calls only.
    let pid = unsafe { libc::fork() };
    if pid == 0 {
        // SAFETY: async-signal-safe; nothing of this outlives a minute.
        unsafe { libc::alarm(60) };
        let _ = signal.write(&[1]);
        loop {
            // SAFETY: async-signal-safe.
            unsafe { libc::pause() };
        }
    }
    // Its fork handlers have run then.
    if !is_heard(&running) {
        put_down(pid);
        std::process::exit(1);
    }
    running.read_exact(&mut [0]).unwrap();
    println!("child={pid}");
    let end = Instant::now() + 2 * LIMIT;
    while Instant::now() < end {
        std::thread::sleep(SECOND);
    }
    std::process::exit(1);
}

/// The waiter of a stream stays with the parent; the child's copy ends without waiting for it.
#[test]
#[cfg(feature = "async")]
fn an_inherited_stream_ends_and_does_not_hang() {
    use futures::{FutureExt, StreamExt};
    if shmx_testkit::emulated() {
        println!("not run: a fork amid threads may hang in an emulator");
        return;
    }
    let name = unique("stream");
    let server = serve(&name);
    let mut frames = Client::open(&name).unwrap().into_stream(shmx::Order::Every).unwrap();
    assert!(frames.next().now_or_never().is_none());
    in_child(|| {
        assert_eq!(frames.next().now_or_never().flatten().and_then(Result::err), Some(ReadError::Forked));
        assert!(matches!(frames.next().now_or_never(), Some(None)), "the end");
        drop_in_place(&mut frames);
    });
    publish(&server, 4);
    let view = futures::executor::block_on(frames.next()).unwrap().unwrap();
    assert_eq!(view.get::<u64>(1).unwrap()[0], 4);
}
