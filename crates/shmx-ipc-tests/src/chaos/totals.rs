//! What was done in a run, what came of it, and the closing lines that say so.

use crate::chaos::dice::Times;
use crate::chaos::patience;

/// What was done and what came of it.
#[derive(Default)]
pub(crate) struct Totals {
    pub(crate) kills: u64,
    pub(crate) stops: u64,
    pub(crate) published: u64,
    pub(crate) delivered: u64,
    pub(crate) bytes: u64,
    pub(crate) held: u64,
    pub(crate) followed: u64,
    pub(crate) void: u64,
    pub(crate) messages: u64,
    pub(crate) servers: u64,
    pub(crate) attachments: u64,
    /// Violations, each with what it is called in the closing line.
    pub(crate) torn: u64,
    pub(crate) backwards: u64,
    pub(crate) bad_messages: u64,
    pub(crate) stuck: u64,
    pub(crate) false_alarms: u64,
    pub(crate) reaped_alive: u64,
    pub(crate) leaked_slots: u64,
    pub(crate) leaked_leases: u64,
    pub(crate) leaked_objects: u64,
    pub(crate) unexpected: u64,
    /// Evidence that kills and stops met the moments that matter.
    pub(crate) odd: u64,
    pub(crate) half_published: u64,
    pub(crate) half_attached: u64,
    pub(crate) leases_left: u64,
    pub(crate) half_directories: u64,
    /// From a producer's kill to its successor's first frame at a reader; from a reader's kill to its slot being free.
    pub(crate) successor: Times,
    pub(crate) freed: Times,
    /// From a pause in the killing to the moment when every process had got on and every reader had a frame.
    pub(crate) all_well: Times,
}

impl Totals {
    pub(crate) fn violations(&self) -> u64 {
        self.torn
            + self.backwards
            + self.bad_messages
            + self.stuck
            + self.false_alarms
            + self.reaped_alive
            + self.leaked_slots
            + self.leaked_leases
            + self.leaked_objects
            + self.unexpected
    }

    pub(crate) fn merge(&mut self, other: Self) {
        self.kills += other.kills;
        self.stops += other.stops;
        self.published += other.published;
        self.delivered += other.delivered;
        self.bytes += other.bytes;
        self.held += other.held;
        self.followed += other.followed;
        self.void += other.void;
        self.messages += other.messages;
        self.servers += other.servers;
        self.attachments += other.attachments;
        self.torn += other.torn;
        self.backwards += other.backwards;
        self.bad_messages += other.bad_messages;
        self.stuck += other.stuck;
        self.false_alarms += other.false_alarms;
        self.reaped_alive += other.reaped_alive;
        self.leaked_slots += other.leaked_slots;
        self.leaked_leases += other.leaked_leases;
        self.leaked_objects += other.leaked_objects;
        self.unexpected += other.unexpected;
        self.odd += other.odd;
        self.half_published += other.half_published;
        self.half_attached += other.half_attached;
        self.leases_left += other.leases_left;
        self.half_directories += other.half_directories;
        self.successor.merge(other.successor);
        self.freed.merge(other.freed);
        self.all_well.merge(other.all_well);
    }

    /// A violation that is explained on the standard error output.
    pub(crate) fn complain(counter: &mut u64, what: &str) {
        eprintln!("VIOLATION: {what}");
        *counter += 1;
    }
}

impl Totals {
    /// What has not happened yet, and without which a run proves nothing.
    pub(crate) fn idle(&self) -> Vec<&'static str> {
        let t = self;
        let all = [
            ("kills", t.kills),
            ("stops", t.stops),
            ("frames published", t.published),
            ("frames delivered", t.delivered),
            ("leases checked at their end", t.held),
            ("frames read while they were written", t.followed),
            ("frames that were read and came to nothing", t.void),
            ("messages", t.messages),
            ("successors", t.successor.len() as u64),
            ("readers reaped", t.freed.len() as u64),
            ("slots found odd", t.odd),
            ("pauses", t.all_well.len() as u64),
        ];
        all.into_iter().filter(|(_, n)| *n == 0).map(|(what, _)| what).collect()
    }
}

pub(crate) fn close(mut t: Totals, seed: u64) -> bool {
    let mut good = t.violations() == 0;
    for what in t.idle() {
        println!("chaos: no {what}: the run proves nothing; give it more --seconds");
        good = false;
    }
    println!(
        "figures {} {} {} {} {} {} {}",
        t.kills,
        t.stops,
        t.published,
        t.delivered,
        t.bytes,
        t.held,
        t.violations()
    );
    println!(
        "chaos: met in the middle: {} odd slots, {} half published, {} half attached or detached, {} lease bits of \
         the dead, {} half-made directories",
        t.odd, t.half_published, t.half_attached, t.leases_left, t.half_directories
    );
    println!(
        "chaos: {}, seed {seed}: {} kills, {} stops, {} servers, {} attachments, {} frames published, {} delivered \
         ({} MB checked byte for byte, {} again at the end of a lease; {} while they were written, {} void), {} messages; torn {}, backwards {}, bad \
         messages {}, stuck {}, false alarms {}, live readers reaped {}, leaked slots {}, leaked leases {}, leaked \
         objects {}, unexpected {}; recovery median/max: successor {}, slot and leases \
         {}, everybody {}; longest standstill of a processor {} ms, {} s in which somebody wanted one and got none",
        if good { "ok" } else { "FAILED" },
        t.kills,
        t.stops,
        t.servers,
        t.attachments,
        t.published,
        t.delivered,
        t.bytes / 1_000_000,
        t.held,
        t.followed,
        t.void,
        t.messages,
        t.torn,
        t.backwards,
        t.bad_messages,
        t.stuck,
        t.false_alarms,
        t.reaped_alive,
        t.leaked_slots,
        t.leaked_leases,
        t.leaked_objects,
        t.unexpected,
        t.successor.show(),
        t.freed.show(),
        t.all_well.show(),
        patience::longest_standstill_ms(),
        patience::starved_s()
    );
    good
}
