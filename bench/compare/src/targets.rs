//! What is to be reached, as ratios within the run.

use crate::contenders::Kind;
use crate::duel::{MOST_PEERS, MOST_READERS, What};
use crate::report::{CellReport, EntryReport, Report, Target, Verdict};
use shmx::abi::hash::Kernel;

type Find<'a> = dyn Fn(&EntryReport) -> bool + 'a;

struct Judge<'a> {
    report: &'a Report,
    targets: Vec<Target>,
}

/// A time with its unit.
pub(crate) fn time(ns: f64) -> String {
    match ns {
        n if n.is_nan() => "-".to_owned(),
        n if n < 100.0 => format!("{n:.1} ns"),
        n if n < 10_000.0 => format!("{n:.0} ns"),
        n if n < 1e6 => format!("{:.1} µs", n / 1e3),
        n => format!("{:.2} ms", n / 1e6),
    }
}

pub(crate) fn size(bytes: usize) -> String {
    match bytes {
        b if b >= 1 << 20 && b.is_multiple_of(1 << 20) => format!("{} MiB", b >> 20),
        b if b >= 1 << 10 && b.is_multiple_of(1 << 10) => format!("{} KiB", b >> 10),
        b => format!("{b} B"),
    }
}

fn best<'a>(cell: &'a CellReport, find: &Find<'_>) -> Option<&'a EntryReport> {
    cell.entries.iter().filter(|e| find(e)).min_by(|a, b| a.middle_ns.total_cmp(&b.middle_ns))
}

const OWN_WITH_HASH: [Kind; 2] = [Kind::ShmxLeaseHash, Kind::ShmxCopyHash];
const OWN_WITHOUT: [Kind; 2] = [Kind::ShmxLease, Kind::ShmxCopy];
/// Everybody who writes and reads frames without hash, one after the other.
const NOT_FOLLOWED: [Kind; 9] = [
    Kind::Raw,
    Kind::RawMany,
    Kind::RawCopy,
    Kind::Ringfire,
    Kind::RingfireBlob,
    Kind::Iceoryx2,
    Kind::ShmxLease,
    Kind::ShmxWarm,
    Kind::ShmxCopy,
];
const PEERS: [Kind; 3] = [Kind::Ringfire, Kind::RingfireBlob, Kind::Iceoryx2];

impl Judge<'_> {
    /// Compares the fastest that `own` finds with the fastest that `other` finds, in the first cell that has both.
    #[expect(clippy::too_many_arguments, reason = "a table's row")]
    fn compare(
        &mut self,
        what: &str,
        against: &str,
        more_is_better: bool,
        (at_least, hoped): (f64, f64),
        cell: &dyn Fn(&CellReport) -> bool,
        own: &Find<'_>,
        other: &Find<'_>,
    ) {
        let found = self.report.cells.iter().filter(|c| cell(c)).find_map(|c| Some((best(c, own)?, best(c, other)?)));
        let (ratio, detail) = match found {
            Some((own, other)) => {
                let ratio = if more_is_better { other.over(own) } else { own.over(other) };
                let side = |e: &EntryReport| format!("{} {}", e.contender.name(), time(e.middle_ns));
                (Some(ratio), format!("{}, {}", side(own), side(other)))
            }
            None => (None, String::new()),
        };
        self.add(what, against, more_is_better, (at_least, hoped), ratio, detail);
    }

    fn add(&mut self, what: &str, against: &str, more: bool, limits: (f64, f64), ratio: Option<f64>, detail: String) {
        let (at_least, hoped) = limits;
        let meets = |limit: f64| ratio.is_some_and(|r| if more { r >= limit } else { r <= limit });
        let verdict = match ratio {
            None => Verdict::NotMeasured,
            Some(_) if meets(hoped) => Verdict::Hoped,
            Some(_) if meets(at_least) => Verdict::Reached,
            Some(_) => Verdict::Missed,
        };
        let (what, against) = (what.to_owned(), against.to_owned());
        self.targets.push(Target { what, against, more_is_better: more, ratio, at_least, hoped, verdict, detail });
    }
}

/// All targets in the order of the table.
pub(crate) fn judge(report: &Report) -> Vec<Target> {
    let mut j = Judge { report, targets: Vec::new() };

    let best_hash = report.machine.hash_kernel.as_str();
    let rows = || report.hash.iter().filter(|r| r.kernel == best_hash && r.bytes >= 64 << 10);
    let slowest = rows().min_by(|a, b| a.over_scalar.total_cmp(&b.over_scalar));
    let detail = slowest.map_or(String::new(), |r| format!("{:.1} GB/s at {}", r.gb_per_s, size(r.bytes)));
    let ratio = slowest.map(|r| r.over_scalar);
    j.add("hash throughput, 64 KiB and up", "byte after byte", true, (4.0, 8.0), ratio, detail);

    let gfni = report.hash.iter().find(|r| r.kernel == Kernel::Avx2Gfni.name() && r.bytes == 64 << 10);
    let detail = gfni.map_or(String::new(), |r| format!("{:.1} GB/s", r.gb_per_s));
    j.add("hash by AVX2 with GFNI, 64 KiB", "byte after byte", true, (6.0, 8.0), gfni.map(|r| r.over_scalar), detail);

    let ping = |touch: bool, bytes: usize| {
        move |c: &CellReport| {
            c.what == What::PingPong && c.touch == touch && !c.block && c.entries.iter().all(|e| e.bytes == bytes)
        }
    };
    let is = |kind: Kind| move |e: &EntryReport| e.contender == kind;
    let any = |kinds: &'static [Kind]| move |e: &EntryReport| kinds.contains(&e.contender);

    j.compare(
        "publish and verified read, 1 MiB",
        "the reference",
        true,
        (4.0, 8.0),
        &ping(true, 1 << 20),
        &any(&OWN_WITH_HASH),
        &is(Kind::Reference),
    );
    // Read while they are written.
    for (bytes, limits) in [(64 << 10, (1.15, 1.4)), (1 << 20, (1.4, 2.0)), (8 << 20, (1.4, 2.0))] {
        let what = format!("{} written and followed, hash off", size(bytes));
        let others = "the fastest that does not follow";
        let cell = ping(true, bytes);
        j.compare(&what, others, true, limits, &cell, &is(Kind::ShmxFollow), &any(&NOT_FOLLOWED));
    }
    let (what, mib) = ("publish and verified read, 1 MiB, followed", ping(true, 1 << 20));
    let hashed = is(Kind::ShmxFollowHash);
    j.compare(what, "SHMX not followed", true, (1.4, 1.8), &mib, &hashed, &any(&OWN_WITH_HASH));
    j.compare(what, "the reference", true, (12.0, 20.0), &mib, &hashed, &is(Kind::Reference));
    let slow = |c: &CellReport| c.what == What::Readout && !c.block;
    let what = "8 MiB filled within 5 ms, last byte to result, followed";
    let others = "the fastest that does not follow";
    j.compare(what, others, true, (5.0, 20.0), &slow, &is(Kind::ShmxFollow), &any(&NOT_FOLLOWED));
    j.compare(
        "the same, hashed and verified",
        "SHMX not followed",
        true,
        (5.0, 20.0),
        &slow,
        &hashed,
        &any(&OWN_WITH_HASH),
    );
    let pieces = |c: &CellReport| c.what == What::Publish && c.entries.iter().any(|e| e.contender == Kind::ShmxFollow);
    let nobody = |kind: Kind| move |e: &EntryReport| e.contender == kind && e.readers == 0;
    let what = "publish 64 KiB in pieces that nobody follows";
    j.compare(what, "in one", false, (1.05, 1.01), &pieces, &nobody(Kind::ShmxFollow), &nobody(Kind::ShmxWarm));

    let small = ping(true, 64);
    let line = "the bare cache line";
    j.compare("64 B one way, hash off", line, false, (2.0, 1.4), &small, &any(&OWN_WITHOUT), &is(Kind::Line));
    let fixed = is(Kind::Ringfire);
    j.compare("64 B one way, hash off", "ringfire", true, (0.75, 1.0), &small, &any(&OWN_WITHOUT), &fixed);
    let iox = is(Kind::Iceoryx2);
    j.compare("64 B one way, hash on", "iceoryx2", true, (1.0, 1.5), &small, &any(&OWN_WITH_HASH), &iox);
    for bytes in [4 << 10, 64 << 10, 1 << 20] {
        let what = format!("{} written and read, hash off", size(bytes));
        let cell = ping(true, bytes);
        j.compare(&what, "the faster peer", true, (1.0, 2.0), &cell, &any(&OWN_WITHOUT), &any(&PEERS));
    }
    let what = "1 MiB written and read, hash off, history(1)";
    j.compare(what, "the faster peer", true, (1.0, 1.2), &ping(true, 1 << 20), &is(Kind::ShmxWarm), &any(&PEERS));

    // Interleaved with each other in a cell of their own.
    let both = |c: &CellReport| c.what == What::PingPong && c.entries.iter().any(|e| e.bytes != c.entries[0].bytes);
    let lease = |bytes: usize| move |e: &EntryReport| e.contender == Kind::ShmxLeaseAlways && e.bytes == bytes;
    let what = "untouched frame by lease, 8 MiB";
    j.compare(what, "64 B", false, (1.1, 1.0), &both, &lease(8 << 20), &lease(64));
    for bytes in crate::plan::SIZES {
        let what = format!("untouched frame by lease, {}", size(bytes));
        j.compare(&what, "iceoryx2", true, (1.0, 1.0), &ping(false, bytes), &is(Kind::ShmxLease), &iox);
    }

    for (kind, name) in [(Kind::Raw, "one raw buffer"), (Kind::RawMany, "as many raw buffers")] {
        let what = "1 MiB written and read, hash off";
        j.compare(what, name, false, (1.15, 1.05), &ping(true, 1 << 20), &any(&OWN_WITHOUT), &is(kind));
    }
    let asleep = |c: &CellReport| c.what == What::WakeUp;
    let futex = "a bare futex hand-over";
    j.compare("wake-up of a sleeping reader", futex, false, (1.3, 1.1), &asleep, &any(&OWN_WITHOUT), &is(Kind::Raw));
    let idle = |c: &CellReport| c.what == What::Publish;
    let with = |readers: usize| move |e: &EntryReport| e.contender == Kind::ShmxLease && e.readers == readers;
    for readers in [MOST_PEERS, MOST_READERS] {
        let what = format!("publish with {readers} idle readers");
        j.compare(&what, "none", false, (1.1, 1.02), &idle, &with(readers), &with(0));
    }
    j.targets
}
