//! Recordings that have a region at the same time: in what is made of them it can live only once at a time.

use crate::error::RecordError;
use crate::format::RegionEvent;
use crate::read::{Cursor, Item};
use std::collections::{HashMap, HashSet};

/// From when to when an input needs a region for itself.
struct Life {
    region: String,
    input: usize,
    session: u64,
    from: u64,
    to: u64,
}

/// Whether a segment of one input would end one of another that still has frames.
pub(super) fn check(
    inputs: &mut [Cursor],
    is_chosen: impl Fn(&str) -> bool,
    window: (u64, u64),
    progress: &mut impl FnMut(u64) -> bool,
) -> Result<(), RecordError> {
    let shared = shared(inputs, &is_chosen);
    let suspects: HashSet<usize> = shared.iter().flat_map(|s| [s.0, s.1]).collect();
    let mut lives = Vec::new();
    for at in suspects {
        lives.extend(lives_of(at, &mut inputs[at], window, progress));
    }
    lives.retain(|l| is_chosen(&l.region));
    lives.sort_by(|a, b| (&a.region, a.from).cmp(&(&b.region, b.from)));
    // The latest end of each input's lives so far, of this region.
    let mut ends: HashMap<usize, u64> = HashMap::new();
    let mut region = "";
    for life in &lives {
        if region != life.region {
            ends.clear();
            region = &life.region;
        }
        if let Some((&other, _)) = ends.iter().find(|&(&input, &to)| input != life.input && to >= life.from) {
            let [one, other] = [other, life.input].map(|i| inputs[i].recording().path());
            return Err(RecordError::Overlap { region: life.region.clone(), one, other });
        }
        let end = ends.entry(life.input).or_default();
        *end = life.to.max(*end);
    }
    Ok(())
}

/// Pairs of inputs that share a region, and have some of the same time.
fn shared(inputs: &[Cursor], is_chosen: impl Fn(&str) -> bool) -> Vec<(usize, usize)> {
    let mut found = Vec::new();
    for (b, input) in inputs.iter().enumerate() {
        let Some(mine) = input.recording().log_times() else { continue };
        let regions: HashSet<&String> = input.recording().regions().iter().collect();
        for (a, other) in inputs[..b].iter().enumerate() {
            let other = other.recording();
            let together = other.log_times().is_some_and(|theirs| theirs.0 <= mine.1 && mine.0 <= theirs.1);
            if together && other.regions().iter().any(|r| is_chosen(r) && regions.contains(r)) {
                found.push((a, b));
            }
        }
    }
    found
}

/// Reads an input for the times of its lives, up to the last frame in the window.
fn lives_of(at: usize, input: &mut Cursor, window: (u64, u64), progress: &mut impl FnMut(u64) -> bool) -> Vec<Life> {
    let mut all: Vec<Life> = Vec::new();
    let mut present: HashMap<String, usize> = HashMap::new();
    while let Some(item) = input.next_item() {
        match item {
            Item::Event(RegionEvent::Begin { time, segment, continued, .. }) => {
                let known = present.get(&segment.region).map(|&i| &all[i]);
                if continued && known.is_some_and(|l| l.session == segment.session_id) {
                    continue;
                }
                present.insert(segment.region.clone(), all.len());
                // One that goes on may say an earlier time than that of the file before it.
                let (from, session) = (if continued { u64::MAX } else { time }, segment.session_id);
                all.push(Life { region: segment.region, input: at, session, from, to: 0 });
            }
            Item::Event(_) => {}
            Item::Frame(f) => {
                let region = input.recording().regions().get(f.region);
                if let Some(&i) = region.and_then(|r| present.get(r))
                    && (window.0..=window.1).contains(&f.time)
                {
                    let log = f.log.max(f.time);
                    (all[i].from, all[i].to) = (all[i].from.min(log), all[i].to.max(log));
                }
                if !progress(0) {
                    break;
                }
            }
        }
    }
    input.rewind();
    // One without a frame that is wanted ends others all the same, unless it comes behind the end or only goes on.
    all.retain(|l| l.to > 0 || (l.from <= window.1 && l.from != u64::MAX));
    for life in &mut all {
        life.to = life.to.max(life.from);
    }
    all
}
