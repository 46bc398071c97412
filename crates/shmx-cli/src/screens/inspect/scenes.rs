//! Screens: real regions in known states, drawn, and compared with what was approved.

use super::model::{Action, Model, Page, Picker};
use super::view;
use crate::look::{Facts, Focus, Look, Lookout, Target};
use crate::ls::{Row, State};
use crate::scratch::{Scratch, has_locks};
use crate::screens::svg;
use crate::screens::theme::Theme;
use crate::seen::Seen;
use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::buffer::Buffer;
use shmx::{Client, Hold, Server};
use shmx_os::LockState;
use std::path::PathBuf;

const NAME: &str = "robot";
const NOW: u64 = 100_000_000_000;

fn draw(m: &Model, width: u16, height: u16, theme: Theme) -> Buffer {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
    terminal.draw(|f| view::draw(f, m, theme)).unwrap();
    terminal.backend().buffer().clone()
}

fn text(b: &Buffer) -> String {
    let line = |y| (0..b.area.width).map(|x| b[(x, y)].symbol()).collect::<String>().trim_end().to_owned();
    (0..b.area.height).map(line).collect::<Vec<_>>().join("\n")
}

/// What differs from run to run, made the same.
fn settle(f: &mut Facts) {
    f.header.session_id = 0x5e55_1000_0000_0001;
    f.header.ext_server_pid = 4242;
    f.program = Some("sim".into());
    let newest = f.header.frame_seq;
    let age = |id: u64| 3_000_000 + (newest - id.min(newest)) * 10_000_000;
    for s in &mut f.slots {
        // Ends with the region's session.
        if let Some((words, _)) = s.why.as_ref().and_then(|w| w.split_once(", not 0x")) {
            s.why = Some(format!("{words}, not 0x5e55100000000001"));
        }
        s.age_ns = s.age_ns.map(|_| age(s.frame_id));
    }
    if let Some(Ok(n)) = &mut f.latest {
        n.age_ns = n.age_ns.map(|_| age(n.id));
    }
    for r in f.readers.iter_mut().filter(|r| r.in_use) {
        r.id = 0xabcd_0000_0000_0000 + u64::from(r.index);
        r.heartbeat_age_ns = Some(2_500_000 + age(r.last_frame));
        r.program = Some(["viewer", "recorder", "control"][r.index as usize % 3].into());
        if let Some(e) = &mut r.own {
            e.pid = 4300 + r.index;
        }
    }
}

fn look(scratch: &Scratch) -> Look {
    let mut lookout = Lookout::new(Target::Region(scratch.name.clone()));
    let mut look = lookout.look(Focus::default(), true);
    match &mut look {
        Look::Region(f) => settle(f),
        Look::Damaged(r) => {
            for (name, value) in [("ext_features", 0x0f12_3456), ("session_id", 0x5e55_1000), ("ext_server_pid", 4242)]
            {
                r.fields.iter_mut().filter(|f| f.name == name).for_each(|f| f.value = Some(value));
            }
        }
        Look::Missing(_) => {}
    }
    look
}

/// Frame slots that the control rings and the directory dwarf.
fn squeezed() -> Model {
    let scratch = Scratch::with(Server::builder(Scratch::unique("squeezed")).slots(8).frame_bytes(256));
    let _reader = Client::open(&scratch.name).unwrap();
    scratch.publish(5);
    model(look(&scratch))
}

/// A model that has watched for a while.
fn model(look: Look) -> Model {
    let mut m = Model::new(Some(Target::Region(NAME.into())));
    let busy = matches!(&look, Look::Region(f) if f.header.frame_seq > 0);
    if busy {
        for i in 0..2_000_u64 {
            // 100 frames a second, some late ones in waves.
            let late = if i % 7 == 0 { 1_500_000 * (i / 150 % 4) } else { 0 };
            let at = NOW - (2_000 - i) * 10_000_000 + late;
            m.history.note(at, &[Seen { id: i + 1, published: Some(at), seen: at, bytes: 48_160 }], i + 1, 0);
        }
    }
    m.see(look, NOW);
    if busy {
        m.stream = m.streams().iter().position(|s| s.name() == "wave").unwrap_or(0);
        (0..600_u64).for_each(|i| m.plot_point(NOW - (600 - i) * 50_000_000, ((i as f64 - 599.0) / 20.0 + 7.8).sin()));
    }
    m
}

/// A region whose slots are mostly used.
fn scratch(tag: &str, slots: u32) -> Scratch {
    let mut scratch =
        Scratch::with(Server::builder(Scratch::unique(tag)).slots(slots).frame_bytes(65536).control_bytes(2048));
    scratch.cloud = 48_000;
    scratch
}

fn missing() -> Model {
    let why = format!("no shared-memory object is named `{NAME}`; check the name and whether its server runs");
    let mut m = Model::new(Some(Target::Region(NAME.into())));
    m.see(Look::Missing(why), NOW);
    m
}

fn empty() -> Model {
    model(look(&scratch("empty", 4)))
}

/// A producer with three readers and messages on their way.
fn busy() -> Model {
    let scratch = scratch("busy", 6);
    let mut clients: Vec<Client> = (0..3).map(|_| Client::open(&scratch.name).unwrap()).collect();
    for round in 0..40 {
        scratch.publish(1);
        for (i, c) in clients.iter_mut().enumerate() {
            if round % (i + 1) == 0 {
                drop(c.latest().unwrap());
            }
        }
    }
    clients[2].control_send(0x3000, &[7; 600]).unwrap();
    model(look(&scratch))
}

fn lapped() -> Model {
    let scratch = scratch("lapped", 4);
    let (mut fast, mut slow) = (Client::open(&scratch.name).unwrap(), Client::open(&scratch.name).unwrap());
    scratch.publish(3);
    drop(slow.latest().unwrap());
    scratch.publish(200);
    drop(fast.latest().unwrap());
    model(look(&scratch))
}

fn leased() -> Model {
    let scratch = scratch("leased", 5);
    let open = || Client::options().hold(Hold::Lease).open(&scratch.name).unwrap();
    let (mut a, mut b) = (open(), open());
    scratch.publish(5);
    let hold = |client: &mut Client| client.latest().unwrap().unwrap().keep();
    let held = (hold(&mut a), hold(&mut b));
    scratch.publish(2);
    let newest = b.latest().unwrap();
    let writing = scratch.server().begin_frame().unwrap();
    let m = model(look(&scratch));
    drop((held, newest, writing));
    m
}

fn corrupt() -> Model {
    let scratch = scratch("corrupt", 5);
    let _reader = Client::open(&scratch.name).unwrap();
    scratch.publish(5);
    let layout = *scratch.server().layout();
    let slot = |i: u32| layout.frame_slot(i).unwrap() as u64;
    scratch.poke(slot(1) + 64 + 30, &[0xff]); // a byte of the payload
    scratch.poke(slot(2) + 24, &u32::MAX.to_ne_bytes()); // the length
    scratch.poke(slot(3), &7_u64.to_ne_bytes()); // the session
    scratch.poke(layout.control_ring(0).unwrap() as u64 + 8, &u64::MAX.to_ne_bytes());
    model(look(&scratch))
}

fn damaged() -> Model {
    let scratch = Scratch::new("damaged", 3);
    scratch.publish(2);
    scratch.poke(8, &3_u32.to_ne_bytes());
    scratch.poke(64, &1000_u32.to_ne_bytes());
    model(look(&scratch))
}

/// The server died with a reader that still waits.
fn dead() -> Model {
    let scratch = scratch("dead", 3);
    let mut reader = Client::open(&scratch.name).unwrap();
    scratch.publish(9);
    drop(reader.latest().unwrap());
    let Look::Region(mut f) = look(&scratch) else { panic!() };
    f.server = shmx::ServerState::Died;
    f.program = None;
    f.readers[0].lock = LockState::Free;
    model(Look::Region(f))
}

fn reference() -> Model {
    let dump = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../shmx-abi/tests/golden/demo.bin");
    let mut lookout = Lookout::new(Target::File(dump));
    let mut m = Model::new(Some(Target::File("reference.bin".into())));
    m.see(lookout.look(Focus::default(), true), NOW);
    m
}

fn picker() -> Model {
    let row = |name: &str, state, rate, note: Option<&str>| Row {
        name: name.into(),
        state,
        denied: false,
        note: note.map(Into::into),
        size: 464_384,
        pid: Some(4242),
        program: (state == State::Live).then(|| "sim".into()),
        rate,
        readers: Some((2, 16)),
        slots: Some(6),
        frames: Some(12_345),
        age_ns: Some(9_000_000),
        frame_bytes: Some(48_160),
        lag: Some(0),
    };
    let rows = vec![
        row("camera", State::Live, Some(59.94), None),
        row("old-run", State::Dead, None, None),
        row("robot", State::Live, Some(1000.0), None),
        row("sensor", State::Reference, Some(10.0), None),
        row("torn", State::Unreadable, None, Some("slots is 0 and must be at least 1")),
    ];
    let mut m = Model::new(None);
    m.picker = Picker { rows: Some(Ok(rows)), selected: 2 };
    m.now = NOW;
    m
}

fn on(page: Page, mut m: Model) -> Model {
    m.page = page;
    m
}

fn approved(name: &str, m: &Model) {
    if !has_locks() {
        return;
    }
    for (w, h) in [(80, 24), (200, 60)] {
        let screen = text(&draw(m, w, h, Theme::new(true)));
        assert_eq!(screen, text(&draw(m, w, h, Theme::new(false))), "the same without colours");
        insta::with_settings!({ omit_expression => true, prepend_module_to_snapshot => false }, {
            insta::assert_snapshot!(format!("{name}-{w}x{h}"), screen);
        });
    }
}

#[test]
fn no_server() {
    approved("no-server", &missing());
}

#[test]
fn empty_region() {
    approved("empty", &empty());
}

#[test]
fn busy_region() {
    approved("busy", &busy());
}

#[test]
fn lapped_reader() {
    approved("lapped", &lapped());
    approved("lapped-readers", &on(Page::Readers, lapped()));
}

#[test]
fn leased_slots() {
    approved("leased", &leased());
    approved("leased-slots", &on(Page::Slots, leased()));
}

#[test]
fn corrupt_slot() {
    approved("corrupt", &corrupt());
    approved("corrupt-slots", &on(Page::Slots, corrupt()));
}

#[test]
fn damaged_header() {
    approved("damaged", &damaged());
}

#[test]
fn small_slots() {
    approved("squeezed", &squeezed());
}

#[test]
fn dead_server() {
    approved("dead", &dead());
}

#[test]
fn a_dump_of_the_reference() {
    approved("reference", &reference());
}

#[test]
fn pages() {
    let m = busy();
    for page in [Page::Streams, Page::Readers, Page::Slots, Page::Plot, Page::Layout] {
        approved(&format!("busy-{}", page.title()), &on(page, m.clone()));
    }
}

/// `inspect --once` of the same regions.
#[test]
fn as_text() {
    if !has_locks() {
        return;
    }
    for (name, m) in [("busy", busy()), ("leased", leased()), ("corrupt", corrupt()), ("damaged", damaged())] {
        let mut text = Vec::new();
        crate::report::text(NAME, m.look.as_ref().unwrap(), &mut text).unwrap();
        insta::with_settings!({ omit_expression => true, prepend_module_to_snapshot => false }, {
            insta::assert_snapshot!(format!("once-{name}"), String::from_utf8(text).unwrap());
        });
    }
}

#[test]
fn picking_and_help() {
    let mut m = picker();
    approved("picker", &m);
    m.apply(Action::Help);
    approved("help", &m);
    m.apply(Action::Help);
    assert_eq!(m.apply(Action::Enter), super::Effect::Open("robot".into()));
}

/// Whatever the size, every scene on every page is drawn without a panic, and with what matters most.
#[test]
fn every_size_is_drawn() {
    let scenes = [missing(), empty(), busy(), leased(), corrupt(), damaged(), dead(), picker(), reference()];
    for m in scenes {
        for page in Page::ALL {
            let mut m = on(page, m.clone());
            m.help = page == Page::Layout;
            for (w, h) in
                [(1, 1), (5, 3), (19, 4), (20, 5), (30, 10), (40, 12), (79, 23), (121, 33), (120, 34), (300, 100)]
            {
                let screen = text(&draw(&m, w, h, Theme::new(true)));
                assert!(w < 40 || screen.contains("shmx"), "{w}x{h}");
            }
        }
    }
}

#[test]
fn a_session_that_changes_starts_the_history_anew() {
    let mut m = busy();
    assert!(m.history.rate_now().is_some());
    let Some(Look::Region(mut f)) = m.look.clone() else { panic!() };
    f.header.session_id += 1;
    m.see(Look::Region(f), NOW + 1);
    assert_eq!((m.restarts, m.history.rate_now(), m.plot.len()), (1, None, 0));
    assert!(text(&draw(&m, 80, 24, Theme::new(true))).contains("restarted 1x"));
}

/// The pictures of docs/cli.md. `cargo xtask screens` writes them; otherwise they are compared.
#[test]
fn screens_of_the_documents() {
    if std::env::var_os("SHMX_RUNNER").is_some() {
        println!("not compared: the pictures are drawn outside of an emulator");
        return;
    }
    if !has_locks() {
        return;
    }
    let dir = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../docs/img");
    let write = std::env::var_os("SHMX_SCREENS").is_some_and(|v| v == "write");
    let screens = [
        ("inspect-overview", busy(), (120, 40)),
        ("inspect-80x24", busy(), (80, 24)),
        ("inspect-slots", on(Page::Slots, leased()), (100, 24)),
        ("inspect-readers", on(Page::Readers, lapped()), (120, 24)),
        ("inspect-plot", on(Page::Plot, busy()), (100, 26)),
        ("inspect-corrupt", on(Page::Slots, corrupt()), (120, 24)),
        ("inspect-damaged", damaged(), (120, 38)),
        ("inspect-picker", picker(), (100, 24)),
    ];
    let mut stale = Vec::new();
    for (name, m, (w, h)) in &screens {
        let picture = svg::render(&draw(m, *w, *h, Theme::new(true)));
        assert!(picture.len() < 150 * 1024, "{name} has {} bytes", picture.len());
        let path = dir.join(format!("{name}.svg"));
        if write {
            std::fs::create_dir_all(&dir).unwrap();
            std::fs::write(&path, &picture).unwrap();
        } else if std::fs::read_to_string(&path).ok().as_deref() != Some(&picture) {
            stale.push(*name);
        }
    }
    assert!(stale.is_empty(), "stale: {stale:?}; run `cargo xtask screens` and look at what it changes");
}
