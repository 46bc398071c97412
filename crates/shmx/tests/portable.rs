//! Reading without anything that the extension adds: no stamps, no leases, no doorbell, no locks. The region is made
//! and written as a server of the reference does it, so waiting polls.

use crate::common::memory::{bytes, view};
use shmx::abi::frame::PayloadCursor;
use shmx::abi::wire::GlobalHeader;
use shmx::abi::{ENDIAN_TAG, MAGIC, RegionLayout, RegionParams, hash};
use shmx::error::{ReadError, SendError};
use shmx::{ChecksumState, Client, Frame, Inspector, OwnedFrame};
use shmx_os::{CreateOptions, Pending, Region, RegionName};
use shmx_ring::bytes::store_bytes;
use shmx_ring::sync::{Ordering, fence};
use shmx_ring::view::{FrameView, HeaderView};
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

const LIMIT: Duration = Duration::from_secs(30);
const SESSION: u64 = 0x1234_5678_9ABC_DEF0;

/// A server as the reference has it: wire format section 6.3, one thread.
struct Reference {
    region: Region,
    layout: RegionLayout,
    name: String,
}

impl Reference {
    fn create(slots: u32) -> Self {
        let name = shmx_testkit::unique("portable");
        let params = RegionParams {
            slots,
            reader_slots: 2,
            static_bytes_cap: 64,
            frame_bytes_cap: 4096,
            control_per_reader: 128,
        };
        let layout = RegionLayout::for_params(&params, 0).unwrap();
        let mut header = GlobalHeader { magic: MAGIC, ver_major: 2, endianness: ENDIAN_TAG, ..GlobalHeader::default() };
        layout.fill_header(&mut header);
        header.session_id = SESSION;
        let options = CreateOptions { len: layout.total_bytes().into(), ..CreateOptions::default() };
        let pending = Pending::create(&RegionName::new(&name).unwrap(), &options).unwrap();
        // SAFETY: the object has no magic yet, so nobody uses it.
        store_bytes(bytemuck::bytes_of(&header), unsafe { pending.bytes() });
        Self { region: pending.publish().unwrap(), layout, name }
    }

    fn header(&self) -> &HeaderView {
        view(&self.region, 0)
    }

    /// Publishes a frame of one stream, whose words all are `value`.
    fn publish(&self, value: u64) {
        self.publish_with(value, || {});
    }

    /// The same; `between` runs when the frame is counted and not in its slot yet.
    fn publish_with(&self, value: u64, between: impl FnOnce()) {
        let h = self.header();
        let seq = h.reserve_index.fetch_add(1, Ordering::SeqCst) + 1;
        let at = self.layout.frame_slot((seq - 1) % self.layout.slots()).unwrap();
        let head: &FrameView = view(&self.region, at);
        let mut payload = vec![0; 4096];
        let mut cursor = PayloadCursor::new();
        let words = 1 + (value % 400) as usize;
        let data = cursor.reserve(&mut payload, 1, words as u32, words * 8).unwrap();
        data.chunks_mut(8).for_each(|w| w.copy_from_slice(&value.to_le_bytes()));
        let used = cursor.used() as usize;
        store_bytes(&payload[..used], &bytes(&self.region)[at + 64..]);
        let id = h.frame_seq.fetch_add(1, Ordering::SeqCst) + 1;
        between();
        head.session_id_copy.store(h.session_id.load(Ordering::Relaxed), Ordering::Relaxed);
        head.sim_time.store((value as f64).to_bits(), Ordering::Relaxed);
        head.payload_bytes.store(used as u32, Ordering::Relaxed);
        head.tlv_count.store(1, Ordering::Relaxed);
        head.checksum.store(hash::checksum32(&payload[..used]), Ordering::Relaxed);
        fence(Ordering::Release);
        head.frame_id.store(id, Ordering::Release);
        h.write_index.store(seq, Ordering::Release);
    }
}

impl Drop for Reference {
    fn drop(&mut self) {
        self.region.remove().unwrap();
    }
}

/// The frame's value, and that all of it is of one frame. The directory does not list its stream.
fn value(frame: Frame<'_>) -> u64 {
    value_of(&frame.keep())
}

fn value_of(view: &OwnedFrame) -> u64 {
    assert!(!view.is_leased(), "nothing of such a region may be borrowed in place");
    assert_eq!(view.checksum(), ChecksumState::Verified);
    let words: &[u64] = bytemuck::cast_slice(view.stream(1).unwrap().unwrap().data);
    assert_eq!(words.len(), 1 + (words[0] % 400) as usize);
    assert!(words.iter().all(|&w| w == words[0]), "torn");
    assert_eq!(view.sim_time(), words[0] as f64);
    words[0]
}

/// A server of the reference counts a frame before it is in its slot. Whoever polls in between must wait, and not count
/// it as missed.
#[test]
fn a_frame_that_is_counted_and_not_there_yet_is_not_missed() {
    let server = Reference::create(16);
    server.publish(1);
    let h = server.header().frame_seq.load(Ordering::Relaxed);
    let after = shmx::Start::After { session_id: SESSION, frame_id: h };
    let mut taps: Vec<shmx::Tap> = [shmx::Start::Newest, shmx::Start::Oldest, after]
        .map(|s| shmx::Tap::options().start(s).open(&server.name).unwrap())
        .into();
    for t in &mut taps[..2] {
        assert!(t.try_next().unwrap().is_some());
    }
    for v in 2..60 {
        server.publish_with(v, || {
            for t in &mut taps {
                assert!(t.try_next().unwrap().is_none() && t.try_wait().unwrap().is_none());
            }
        });
        for (i, t) in taps.iter_mut().enumerate() {
            // One takes the newest each time, the others the next.
            let frame = if i == 0 { t.try_wait() } else { t.try_next() };
            let frame = frame.unwrap().expect("it is there now");
            assert_eq!((frame.frame_id(), frame.missed_before()), (v, 0));
        }
    }
    assert!(taps.iter().all(|t| t.stats().missed == 0 && t.stats().rejected == 0));
}

#[test]
fn every_way_of_reading_works_without_the_extension() {
    let server = Reference::create(4);
    let mut client = Client::open(&server.name).unwrap();
    assert!(!client.features().is_extended());
    assert!(client.latest().unwrap().is_none());
    assert!(client.wait(Duration::from_millis(3)).unwrap().is_none(), "the time is up");
    assert!(client.next(Duration::from_millis(3)).unwrap().is_none());
    for v in 1..=10 {
        server.publish(v);
    }
    assert_eq!(value(client.wait(LIMIT).unwrap().unwrap()), 10);
    assert_eq!(client.stats().missed, 9);
    for v in 11..=13 {
        server.publish(v);
    }
    for v in 11..=13 {
        assert_eq!(value(client.next(LIMIT).unwrap().unwrap()), v);
    }
    assert_eq!(value(client.read_id(12).unwrap().unwrap()), 12);
    assert!(client.read_id(2).unwrap().is_none());
    assert_eq!((client.stats().delivered, client.stats().missed), (4, 9));
    // Without a lock nobody knows whether the server lives, so it is not said to be gone.
    assert_eq!(client.server_end(), None);
    assert_eq!(client.control_send(0x3000, &[1; 20]), Ok(()));
    assert!(matches!(client.control_send(0x3000, &[1; 200]), Err(SendError::TooLong { .. })));
    let inspector = Inspector::open(&server.name).unwrap();
    assert_eq!(inspector.snapshot_readers().iter().filter(|r| r.in_use).count(), 1);
    assert_eq!(value_of(&inspector.latest().unwrap().unwrap()), 13);
    assert_eq!(server.header().ext_doorbell.load(Ordering::Relaxed), 0, "the doorbell is left alone");
    // A new server re-initialises the region in place.
    server.header().session_id.store(SESSION + 1, Ordering::Relaxed);
    assert_eq!(client.wait(LIMIT).err(), Some(ReadError::SessionChanged));
    client.reopen().unwrap();
    server.publish(14);
    assert_eq!(value(client.wait(LIMIT).unwrap().unwrap()), 14);
}

/// Readers poll, and each frame reaches the ones that wait, at any pace of the producer.
#[test]
fn waiting_by_polling_gets_every_paced_frame() {
    const FRAMES: u64 = 300;
    let server = Reference::create(8);
    std::thread::scope(|s| {
        let readers: Vec<_> = [false, true]
            .into_iter()
            .map(|every| {
                let mut client = Client::open(&server.name).unwrap();
                s.spawn(move || {
                    let (mut last, mut count) = (0, 0);
                    while last < FRAMES {
                        let view = if every { client.next(LIMIT) } else { client.wait(LIMIT) };
                        let v = value(view.unwrap().expect("the producer is at work"));
                        assert!(v > last, "{v} after {last}");
                        (last, count) = (v, count + 1);
                    }
                    let stats = client.stats();
                    assert_eq!((stats.delivered, stats.delivered + stats.missed, stats.rejected), (count, FRAMES, 0));
                    count
                })
            })
            .collect();
        for v in 1..=FRAMES {
            server.publish(v);
            std::thread::sleep(Duration::from_micros(v % 7 * 300));
        }
        for r in readers {
            assert!(r.join().unwrap() > 0);
        }
    });
}

/// Under a producer at full speed frames are lapped and never torn.
#[test]
fn a_producer_at_full_speed_tears_nothing() {
    let server = Reference::create(3);
    let stop = AtomicBool::new(false);
    std::thread::scope(|s| {
        s.spawn(|| {
            let mut v = 0;
            while !stop.load(Ordering::Relaxed) {
                v += 1;
                server.publish(v);
                // A breath now and then, so that a slow reader is not lapped at every single try.
                if v % 20 == 0 {
                    std::thread::sleep(Duration::from_micros(50));
                }
            }
        });
        let mut client = Client::open(&server.name).unwrap();
        let (mut delivered, mut lapped, mut last) = (0, 0, 0);
        let end = Instant::now() + LIMIT;
        while delivered < 1000 && Instant::now() < end {
            let taken = match delivered % 3 {
                0 => client.latest(),
                1 => client.wait(LIMIT),
                _ => client.next(LIMIT),
            };
            match taken {
                Ok(Some(view)) => {
                    let v = value(view);
                    assert!(v >= last, "{v} after {last}");
                    last = v;
                    delivered += 1;
                }
                Ok(None) => {}
                Err(ReadError::Lapped { .. }) => lapped += 1,
                Err(e) => panic!("{e}"),
            }
        }
        stop.store(true, Ordering::Relaxed);
        assert!(delivered >= 100, "only {delivered} delivered, {lapped} times lapped");
    });
}

/// It has announced that it writes every slot again, and does not: nothing can be proven whole, which is an error and no
/// empty region. What stands in the place of a stamp is padding.
#[test]
fn a_server_that_stays_in_the_middle_of_a_lap_is_told() {
    for padding in [0, 1] {
        let server = Reference::create(2);
        server.publish(1);
        let head: &FrameView = view(&server.region, server.layout.frame_slot(0).unwrap());
        head.ext_stamp.store(padding, Ordering::Relaxed);
        let (mut client, inspector) = (Client::open(&server.name).unwrap(), Inspector::open(&server.name).unwrap());
        assert!(client.latest().unwrap().is_some() && inspector.latest().unwrap().is_some());
        server.header().reserve_index.fetch_add(2, Ordering::SeqCst);
        assert!(matches!(client.latest().unwrap_err(), ReadError::Lapped { .. }), "padding {padding}");
        assert!(matches!(inspector.latest().unwrap_err(), ReadError::Lapped { .. }), "padding {padding}");
    }
}
