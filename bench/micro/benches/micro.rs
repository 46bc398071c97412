//! The operations by themselves, in one process and one thread: `cargo xtask bench --micro`.
//!
//! No cache line changes hands here, so these figures say what the instructions cost, not what passing a frame on does.

use criterion::{BatchSize, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use shmx::abi::hash::{self, Kernel};
use shmx::{Checksum, Client, Frame, Hold, Server, StreamSpec, Verify};
use std::hint::black_box;
use std::time::Duration;

const SIZES: [usize; 4] = [64, 4 << 10, 64 << 10, 1 << 20];
const STREAMS: u32 = 8;

struct Setup {
    server: Server,
    client: Client,
}

fn setup(bytes: usize, checksum: bool, hold: Hold) -> Setup {
    let name = format!("shmx-micro-{}", std::process::id());
    let (checksum, verify) =
        if checksum { (Checksum::Always, Verify::Always) } else { (Checksum::Never, Verify::Auto) };
    let builder = Server::builder(&name).checksum(checksum).frame_bytes(bytes as u32 + 1024);
    let streams = (1..=STREAMS).map(|id| StreamSpec::of::<u64>(id, format!("stream {id}")));
    let server = streams.fold(builder, |b, stream| b.stream(stream, 8)).create().expect("create");
    let client = Client::options().hold(hold).verify(verify).open(&name).expect("open");
    Setup { server, client }
}

fn publish(server: &mut Server, values: &[u64]) {
    let mut frame = server.begin_frame().expect("a slot");
    frame.append_stream(1, values).expect("it fits");
    frame.publish_frame(0.0).expect("published");
}

fn hashes(c: &mut Criterion) {
    let mut group = c.benchmark_group("hash");
    for bytes in SIZES {
        let input: Vec<u8> = (0..bytes).map(|i| ((i * 7919) >> 3) as u8).collect();
        let mut copy = vec![0; bytes];
        group.throughput(Throughput::Bytes(bytes as u64));
        for kernel in Kernel::ALL.into_iter().filter(|k| k.is_supported()) {
            group.bench_with_input(BenchmarkId::new(kernel.name(), bytes), &input, |b, input| {
                b.iter(|| kernel.update(hash::SEED, black_box(input)));
            });
        }
        group.bench_with_input(BenchmarkId::new("copy", bytes), &input, |b, input| {
            b.iter(|| hash::copy_and_update(hash::SEED, black_box(input), black_box(&mut copy)));
        });
    }
    group.finish();
}

fn producer(c: &mut Criterion) {
    for (name, checksum) in [("hash off", false), ("hash on", true)] {
        let mut group = c.benchmark_group(format!("publish, {name}"));
        for bytes in SIZES {
            let mut s = setup(bytes, checksum, Hold::Lease);
            let values = vec![7_u64; bytes / 8];
            group.throughput(Throughput::Bytes(bytes as u64));
            group.bench_function(BenchmarkId::new("append", bytes), |b| b.iter(|| publish(&mut s.server, &values)));
            group.bench_function(BenchmarkId::new("in place, untouched", bytes), |b| {
                b.iter(|| {
                    let mut frame = s.server.begin_frame().expect("a slot");
                    black_box(frame.reserve_stream::<u64>(1, bytes / 8).expect("it fits"));
                    frame.publish_frame(0.0).expect("published");
                });
            });
        }
        group.finish();
    }
}

fn consumer(c: &mut Criterion) {
    for (name, checksum, hold) in [
        ("lease, hash off", false, Hold::Lease),
        ("lease, hash on", true, Hold::Lease),
        ("copy, hash off", false, Hold::Copy),
    ] {
        let mut group = c.benchmark_group(format!("read, {name}"));
        for bytes in SIZES {
            let mut s = setup(bytes, checksum, hold);
            let values = vec![7_u64; bytes / 8];
            publish(&mut s.server, &values);
            group.throughput(Throughput::Bytes(bytes as u64));
            group
                .bench_function(BenchmarkId::new("latest", bytes), |b| b.iter(|| black_box(s.client.latest()).is_ok()));
            group.bench_function(BenchmarkId::new("publish and next", bytes), |b| {
                b.iter(|| {
                    publish(&mut s.server, &values);
                    black_box(s.client.try_next().expect("no error").map(Frame::keep).expect("a frame"));
                });
            });
        }
        group.finish();
    }
    let mut s = setup(64, false, Hold::Lease);
    let mut frame = s.server.begin_frame().expect("a slot");
    for id in 1..=STREAMS {
        frame.append_stream(id, &[u64::from(id)]).expect("it fits");
    }
    frame.publish_frame(0.0).expect("published");
    let view = s.client.try_next().expect("no error").expect("a frame").keep();
    c.bench_function("poll, nothing new", |b| b.iter(|| black_box(s.client.try_next()).is_ok()));
    c.bench_function("decode 8 streams", |b| b.iter(|| black_box(view.decode()).is_ok()));
    c.bench_function("get the last of 8 streams", |b| b.iter(|| black_box(view.get::<u64>(STREAMS)).is_ok()));
}

/// Pieces in which a frame is handed out.
const PIECES: usize = 8;

fn fill(server: &mut Server, words: usize, mut each: impl FnMut()) {
    let mut frame = server.begin_frame().expect("a slot");
    let mut stream = frame.fill_stream::<u64>(1, words).expect("it fits");
    for _ in 0..PIECES {
        black_box(stream.rest());
        stream.commit(words / PIECES).expect("there are so many");
        each();
    }
    frame.publish_frame(0.0).expect("published");
}

/// Frames in pieces, handed out to nobody, to somebody who does not look, and to somebody who follows.
fn pieces(c: &mut Criterion) {
    let mut group = c.benchmark_group("in 8 pieces");
    for bytes in [64 << 10, 1 << 20] {
        let words = bytes / 8;
        let values = vec![7_u64; words];
        group.throughput(Throughput::Bytes(bytes as u64));
        for (name, followed) in [("nobody follows", false), ("an idle follower", true)] {
            let mut s = setup(bytes, false, Hold::Lease);
            if followed {
                assert!(s.client.follow(Duration::ZERO).expect("no error").is_none());
            }
            group.bench_function(BenchmarkId::new(format!("fill, untouched, {name}"), bytes), |b| {
                b.iter(|| fill(&mut s.server, words, || {}));
            });
            group.bench_function(BenchmarkId::new(format!("append, {name}"), bytes), |b| {
                b.iter(|| publish(&mut s.server, &values));
            });
        }
        let Setup { mut server, mut client } = setup(bytes, false, Hold::Lease);
        assert!(client.follow(Duration::ZERO).expect("no error").is_none());
        let stream = client.stream::<u64>(1).expect("declared");
        group.bench_function(BenchmarkId::new("fill and follow, untouched", bytes), |b| {
            b.iter(|| {
                let mut client = Some(&mut client);
                let mut following = None;
                let each = || {
                    if let Some(client) = client.take() {
                        following = client.follow_next(Duration::ZERO).expect("no error");
                    }
                    let following = following.as_mut().expect("a frame that is being written");
                    black_box(following.wait(Duration::ZERO)).expect("not void");
                    black_box(following.part(stream)).expect("no error");
                };
                fill(&mut server, words, each);
                black_box(following.take().expect("followed").finish(Duration::ZERO)).expect("published");
            });
        });
    }
    group.finish();
}

fn control(c: &mut Criterion) {
    let s = setup(64, false, Hold::Lease);
    let body = [7; 32];
    c.bench_function("control send and poll", |b| {
        b.iter(|| {
            s.client.control_send(0x3001, &body).expect("room");
            black_box(s.server.poll_control(16));
        });
    });
    c.bench_function("control poll, nothing there", |b| b.iter(|| black_box(s.server.poll_control(16))));
    let Setup { server, client } = &s;
    c.bench_function("control send", |b| {
        b.iter_batched(
            || server.poll_control(16),
            |_| client.control_send(0x3001, &body).expect("room"),
            BatchSize::PerIteration,
        );
    });
}

criterion_group!(micro, hashes, producer, consumer, pieces, control);
criterion_main!(micro);
