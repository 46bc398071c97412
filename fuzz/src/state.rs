//! Random sequences of operations by a server, three clients and an inspector.
//!
//! Half of the inputs keep the protocol and are compared with a plain model at every step: which frame is the newest,
//! which are delivered and missed, who holds which slot, which messages wait. In the other half a neighbour scribbles
//! over the region between the operations; then coming back is what is asked.

use crate::live::{memory, neighbour, remove, store, unique};
use crate::ops::Ops;
use crate::producer::Producer;
use shmx::error::{BeginError, ReadError, SendError};
use shmx::{ChecksumState, Client, Frame, Hold, Inspector, OwnedFrame, Server, SlotState, StreamSpec, Verify};
use std::collections::{BTreeSet, VecDeque};
use std::time::Duration;

const CLIENTS: u8 = 3;

struct Reader {
    client: Client,
    /// Frames published before it came that it does not count as missed.
    /// The frame behind the first that counts; one of them.
    bases: [u64; 2],
    /// Id of the newest frame delivered or missed, or the base.
    last: u64,
    /// Frames of more bytes are leased.
    leases_above: usize,
}

struct Held {
    view: OwnedFrame,
    tick: u64,
    /// Reader slot, if the frame is leased.
    leased_by: Option<u32>,
}

/// What the server is made with.
#[derive(Clone, Copy)]
struct Params {
    slots: u32,
    reader_slots: u32,
    frame_bytes: u32,
    control_bytes: u32,
    /// Whether it publishes by `&mut`, one frame at a time.
    alone: bool,
}

struct World {
    name: String,
    params: Params,
    server: Option<Producer>,
    readers: [Option<Reader>; CLIENTS as usize],
    held: Vec<Held>,
    /// The value of each frame; index is id - 1.
    ticks: Vec<u64>,
    /// Id of the frame with the greatest ticket.
    newest: u64,
    /// Whether the newest frame's slot may have been given up for want of another.
    newest_lost: bool,
    /// Messages on their way, per reader slot.
    messages: Vec<VecDeque<(u32, Vec<u8>)>>,
    /// Whether the model holds: nobody has scribbled.
    honest: bool,
}

/// Runs the target.
///
/// # Panics
///
/// On a finding.
pub fn run(data: &[u8]) {
    let mut ops = Ops::new(data.get(..2048.min(data.len())).unwrap_or(&[]));
    let kind = ops.below(4);
    let scribbles = kind % 2 == 1;
    let name = unique();
    let params = Params {
        slots: u32::from(ops.below(6)) + 1,
        reader_slots: u32::from(ops.below(4)),
        frame_bytes: u32::from(ops.u8()) + 64,
        control_bytes: u32::from(ops.below(160)) + 17,
        alone: kind > 1,
    };
    let mut world = World {
        messages: vec![VecDeque::new(); params.reader_slots as usize],
        name,
        params,
        server: None,
        readers: [const { None }; CLIENTS as usize],
        held: Vec::new(),
        ticks: Vec::new(),
        newest: 0,
        newest_lost: false,
        honest: true,
    };
    world.start();
    while !ops.is_empty() {
        world.step(&mut ops, scribbles);
    }
    let name = world.name.clone();
    drop(world);
    remove(&name);
}

impl World {
    fn start(&mut self) {
        let Params { slots, reader_slots, frame_bytes, control_bytes, alone } = self.params;
        let builder = Server::builder(&self.name).stream(StreamSpec::of::<u64>(1, "tick"), 1);
        let builder = builder.slots(slots).reader_slots(reader_slots).directory_bytes(512);
        match builder.frame_bytes(frame_bytes).control_bytes(control_bytes).create() {
            Ok(server) => self.server = Some(Producer::new(server, alone)),
            Err(e) => panic!("the name is free and the parameters are good: {e}"),
        }
        self.ticks.clear();
        self.messages.iter_mut().for_each(VecDeque::clear);
        (self.newest, self.newest_lost, self.honest) = (0, false, true);
    }

    /// Everything that belongs to a server's life goes with it.
    fn stop(&mut self) {
        for reader in self.readers.iter_mut().flatten() {
            assert!(!self.honest || reader.client.server_end().is_none());
        }
        self.server = None;
        for reader in self.readers.iter_mut().flatten() {
            assert!(!self.honest || reader.client.server_end().is_some());
            let got = reader.client.wait(Duration::ZERO);
            assert!(!self.honest || got.is_ok_and(|v| v.is_some()) || reader.client.reopen().is_err());
        }
        for held in &self.held {
            assert!(!self.honest || held.view.get::<u64>(1) == Ok(&[held.tick][..]), "frames outlive their server");
        }
        self.held.clear();
        self.readers = [const { None }; CLIENTS as usize];
        remove(&self.name);
    }

    fn leased(&self) -> BTreeSet<u32> {
        self.held.iter().filter(|h| h.leased_by.is_some()).map(|h| h.view.slot()).collect()
    }

    fn step(&mut self, ops: &mut Ops<'_>, scribbles: bool) {
        match ops.below(if scribbles { 16 } else { 14 }) {
            0 | 1 => self.publish(ops),
            2 => self.publish_two(ops),
            3 => self.abandon(),
            4 => self.come(ops),
            5 => self.go(ops),
            6..=9 => self.read(ops),
            10 => {
                if !self.held.is_empty() {
                    let held = self.held.swap_remove(usize::from(ops.u8()) % self.held.len());
                    assert!(!self.honest || held.view.get::<u64>(1) == Ok(&[held.tick][..]), "a held frame changed");
                }
            }
            11 => self.send(ops),
            12 => self.poll(ops),
            13 => match ops.below(6) {
                0 => {
                    self.stop();
                    self.start();
                }
                1 => self.directory(ops),
                2 => {
                    let server = self.server.as_ref().expect("it runs");
                    let reaped = [server.reap_dead_readers(), server.reap_stale_readers(Duration::ZERO)].concat();
                    assert!(!self.honest || reaped.is_empty(), "all readers live");
                }
                _ => self.inspect(),
            },
            _ => {
                if let Some(region) = neighbour(&self.name) {
                    let at = match ops.below(3) {
                        0 => usize::from(ops.below(32)) * 4,
                        _ => usize::from(ops.u16()) % region.len(),
                    };
                    store(memory(&region), at, &ops.word().to_ne_bytes());
                    self.honest = false;
                }
            }
        }
    }

    fn publish(&mut self, ops: &mut Ops<'_>) {
        let leased = self.leased().len() as u32;
        let Some(server) = &mut self.server else { return };
        let tick = u64::from(ops.u8()) << 8 | self.ticks.len() as u64;
        let frame = server.begin_frame();
        if self.honest {
            assert_eq!(frame.is_err(), leased == self.params.slots, "a slot is free unless all are leased");
        }
        let mut frame = match frame {
            Ok(frame) => frame,
            Err(BeginError::NoFreeSlot { leased: n, writing, holders }) => {
                assert!(!self.honest || (n, writing) == (leased, 0) && !holders.is_empty());
                return;
            }
            Err(e) => {
                assert!(!self.honest, "{e}");
                return;
            }
        };
        let _ = frame.append_stream(1, &[tick]);
        let _ = frame.append_undeclared(2, 1, &[tick as u8; 200][..usize::from(ops.u8()) % 100]);
        match frame.publish_frame(tick as f64) {
            Ok(id) => {
                assert_eq!(id, self.ticks.len() as u64 + 1, "ids are dense");
                self.ticks.push(tick);
                (self.newest, self.newest_lost) = (id, false);
            }
            Err(e) => assert!(!self.honest, "{e}"),
        }
    }

    /// Two frames at once, the later one published first.
    fn publish_two(&mut self, ops: &mut Ops<'_>) {
        let free = self.params.slots - self.leased().len() as u32;
        if self.params.alone {
            self.publish(ops);
            self.publish(ops);
            return;
        }
        let Some(Producer::Shared(server)) = &self.server else { return };
        let ticks = [u64::from(ops.u8()), u64::from(ops.u8()) + 1000];
        let frames = [server.begin_frame(), server.begin_frame()];
        assert!(!self.honest || frames.iter().filter(|f| f.is_ok()).count() == free.min(2) as usize);
        let mut published = Vec::new();
        for (frame, tick) in frames.into_iter().zip(ticks).rev() {
            let Ok(mut frame) = frame else { continue };
            let _ = frame.append_stream(1, &[tick]);
            if let Ok(id) = frame.publish_frame(0.0) {
                assert_eq!(id, self.ticks.len() as u64 + 1, "ids are dense");
                self.ticks.push(tick);
                published.push(id);
            }
        }
        if let Some(&first) = published.first() {
            (self.newest, self.newest_lost) = (first, false);
        }
    }

    fn abandon(&mut self) {
        let leased = self.leased().len() as u32;
        let Some(server) = &mut self.server else { return };
        if let Ok(frame) = server.begin_frame() {
            self.newest_lost |= self.params.slots - leased <= 1;
            frame.abandon();
        }
    }

    fn come(&mut self, ops: &mut Ops<'_>) {
        let place = usize::from(ops.below(CLIENTS));
        let (verify, lease) = (ops.below(4) != 0, ops.below(4) != 0);
        let copy_up_to = [0, 0, 64, 192][usize::from(ops.below(4))];
        if self.readers[place].is_some() {
            return;
        }
        let options = Client::options()
            .verify(if verify { Verify::Always } else { Verify::Auto })
            .hold(if lease { Hold::Lease } else { Hold::Copy })
            .spin(Duration::ZERO)
            .copy_up_to(copy_up_to)
            .require_slot(false);
        match options.open(&self.name) {
            Ok(client) => {
                // The newest frame counts for who asks for it first, though others were published late behind it.
                let base = (self.ticks.len() as u64).saturating_sub(1);
                let bases = [base, self.newest.saturating_sub(1)];
                let leases = lease && client.reader_index().is_some();
                let leases_above = if leases { copy_up_to as usize } else { usize::MAX };
                self.readers[place] = Some(Reader { client, bases, last: base, leases_above });
            }
            Err(e) => assert!(!self.honest, "{e}"),
        }
    }

    fn go(&mut self, ops: &mut Ops<'_>) {
        self.readers[usize::from(ops.below(CLIENTS))] = None;
    }

    fn read(&mut self, ops: &mut Ops<'_>) {
        let (place, how) = (usize::from(ops.below(CLIENTS)), ops.below(5));
        let id = self.ticks.len() as u64 - u64::from(ops.below(8)).min(self.ticks.len() as u64);
        let Some(reader) = &mut self.readers[place] else { return };
        let first = reader.client.stats().delivered == 0;
        let index = reader.client.reader_index();
        let got = match how {
            0 => reader.client.latest(),
            1 => reader.client.try_next(),
            2 => reader.client.read_id(id),
            3 => reader.client.wait(Duration::ZERO),
            _ => reader.client.next(Duration::ZERO),
        };
        if !self.honest {
            if let Ok(Some(view)) = got {
                let _ = (view.decode().is_ok(), view.get::<u64>(1).is_ok());
                if self.held.len() < 8 && ops.below(2) == 0 {
                    let view = view.keep();
                    self.held.push(Held { leased_by: index.filter(|_| view.is_leased()), view, tick: 0 });
                }
            }
            return;
        }
        let published = self.ticks.len() as u64;
        let Some(view) = got.unwrap_or_else(|e: ReadError| panic!("{e}")) else {
            match how {
                0 => assert!(self.newest == 0 || self.newest_lost, "the newest frame is there"),
                // The newest frame may be older than one that was taken in order.
                2 => assert!(id != self.newest || id == 0 || self.newest_lost),
                3 => assert!(self.newest <= reader.last || self.newest_lost),
                _ => {
                    assert!(self.newest <= reader.last || self.newest_lost);
                    // What is not there any more is counted.
                    reader.last = reader.last.max(published);
                }
            }
            return;
        };
        let found = view.frame_id();
        match how {
            0 => assert_eq!(found, self.newest),
            2 => assert_eq!(found, id),
            3 => assert!(found == self.newest && (found > reader.last || first)),
            _ => assert!(found > reader.last && found <= published),
        }
        let tick = self.ticks[found as usize - 1];
        assert_eq!(view.get::<u64>(1), Ok(&[tick][..]), "frame {found} has its own bytes");
        assert_ne!(view.checksum(), ChecksumState::Mismatch);
        assert_eq!(view.is_leased(), view.payload().len() > reader.leases_above);
        // The others end with their borrow.
        let kept = (self.held.len() < 8 && ops.below(2) == 0).then(|| Frame::keep(view));
        reader.last = reader.last.max(found);
        let stats = reader.client.stats();
        assert_eq!(stats.rejected, 0);
        let counted = stats.delivered + stats.missed;
        assert!(reader.bases.iter().any(|base| base + counted == reader.last), "every frame is delivered or missed");
        if let Some(view) = kept {
            assert_eq!(view.get::<u64>(1), Ok(&[tick][..]), "kept frame {found} has its own bytes");
            self.held.push(Held { leased_by: index.filter(|_| view.is_leased()), view, tick });
        }
    }

    fn send(&mut self, ops: &mut Ops<'_>) {
        let place = usize::from(ops.below(CLIENTS));
        let (ty, len) = (u32::from(ops.u8()) + 1, usize::from(ops.below(150)));
        let Some(reader) = &mut self.readers[place] else { return };
        let body = vec![ty as u8; len];
        match (reader.client.control_send(ty, &body), reader.client.reader_index()) {
            (Ok(()), Some(index)) => self.messages[index as usize].push_back((ty, body)),
            (Ok(()), None) => panic!("sent without a ring"),
            (Err(SendError::Full), Some(index)) if self.honest => {
                let waiting: usize =
                    self.messages[index as usize].iter().map(|m| (8 + m.1.len()).div_ceil(16) * 16).sum();
                let usable = self.params.control_bytes as usize - 16;
                // Full: more is taken than half the ring, or a skip to its start is in the way.
                assert!(waiting > 0 || (8 + len).div_ceil(16) * 16 + 16 > usable / 2, "an empty ring has room");
            }
            (Err(SendError::Corrupt | SendError::SessionChanged), _) => assert!(!self.honest),
            (Err(_), _) => {}
        }
    }

    fn poll(&mut self, ops: &mut Ops<'_>) {
        let max = usize::from(ops.below(12));
        let batch = self.server.as_ref().expect("it runs").poll_control(max);
        assert!(batch.messages.len() <= max);
        if !self.honest {
            return;
        }
        assert!(batch.damaged.is_empty());
        let waiting: usize = self.messages.iter().map(VecDeque::len).sum();
        assert_eq!(batch.messages.len(), waiting.min(max));
        for m in batch.messages {
            assert_eq!(self.messages[m.reader_index as usize].pop_front(), Some((m.ty, m.data)));
        }
    }

    fn directory(&mut self, ops: &mut Ops<'_>) {
        let id = u32::from(ops.below(16));
        let server = self.server.as_ref().expect("it runs");
        let added = server.add_stream(StreamSpec::of::<u8>(id, "more")).is_ok();
        assert!(!self.honest || !added || server.directory().stream(id).is_some());
        for reader in self.readers.iter().flatten() {
            let state = reader.client.directory();
            assert!(!self.honest || state == Ok(server.directory()));
        }
    }

    fn inspect(&self) {
        let Ok(inspector) = Inspector::open(&self.name) else {
            assert!(!self.honest, "an honest region opens");
            return;
        };
        let readers = inspector.snapshot_readers();
        let slots = inspector.list_slots();
        if !self.honest {
            let _ = (inspector.latest().is_ok(), inspector.directory().is_ok());
            readers.iter().for_each(|r| drop(inspector.peek_control(r.index)));
            return;
        }
        for slot in slots {
            match slot.state {
                SlotState::Empty => {}
                SlotState::Frame(view) => {
                    let tick = self.ticks[view.frame_id() as usize - 1];
                    assert_eq!(view.get::<u64>(1), Ok(&[tick][..]));
                }
                other => panic!("slot {}: {other:?}", slot.index),
            }
            let by: BTreeSet<u32> =
                self.held.iter().filter(|h| h.view.slot() == slot.index).filter_map(|h| h.leased_by).collect();
            assert_eq!(slot.leases, by.iter().fold(0, |all, i| all | 1_u128 << i));
        }
        for r in readers {
            let attached = self.readers.iter().flatten().any(|c| c.client.reader_index() == Some(r.index));
            let holds = self.held.iter().any(|h| h.leased_by == Some(r.index));
            assert_eq!(r.in_use, attached || holds, "reader slot {}", r.index);
            let peeked = inspector.peek_control(r.index).expect("an honest ring");
            let expected = &self.messages[r.index as usize];
            assert!(peeked.iter().map(|m| (m.ty, &m.data)).eq(expected.iter().map(|(ty, data)| (*ty, data))));
        }
    }
}
