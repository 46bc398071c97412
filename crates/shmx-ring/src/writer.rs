//! The producer's side of the frame slot ring: claim, fill, publish or abandon.
//!
//! Several threads may claim at once; publishing needs `&mut` [`Publisher`], so the caller serialises it, which keeps
//! frame ids dense and in the order in which frames appear. All counters are private and only mirrored into the
//! region, so nothing that another process writes there can lead the producer astray.
//!
//! Length: claim and publish are one protocol over the same words.

use crate::doorbell;
use crate::sync::{AtomicU8, AtomicU32, AtomicU64, Ordering, fence, sc_access_fence};
use crate::view::{Slot, Slots};
use core::num::NonZero;
use shmx_abi::extension::FrameMarks;

/// Maps tickets (0, 1, 2, ...) to wire sequence numbers and slots.
///
/// Sequence numbers run from 1 to the largest multiple of the slot count that fits in 32 bits and start again at 1.
/// So 0 is never used, and `(sequence - 1) % slots` steps evenly across the wrap whatever the slot count is.
#[derive(Clone, Copy, Debug)]
pub struct Sequence {
    slots: u32,
    period: u64,
}

impl Sequence {
    /// For `slots` slots; 0 is taken as 1.
    #[must_use]
    pub const fn new(slots: u32) -> Self {
        let slots = if slots == 0 { 1 } else { slots };
        Self { slots, period: (u32::MAX / slots * slots) as u64 }
    }

    /// Number of different sequence numbers.
    #[must_use]
    pub const fn period(&self) -> u64 {
        self.period
    }

    /// The sequence number of a ticket, never 0.
    #[must_use]
    #[inline]
    pub const fn number(&self, ticket: u64) -> u32 {
        self.position(ticket) + 1
    }

    /// The slot of a ticket.
    #[must_use]
    #[inline]
    pub const fn slot(&self, ticket: u64) -> u32 {
        // The slots divide the period.
        self.position(ticket) % self.slots
    }

    /// The ticket's place within the period. Long divisions are slow, and almost never needed.
    #[inline]
    const fn position(&self, ticket: u64) -> u32 {
        if ticket < self.period { ticket as u32 } else { (ticket % self.period) as u32 }
    }
}

/// Hands out slots.
///
/// `F` holds a flag per slot, in memory of the producer's own: set while a claim owns the slot. The stamp says the same
/// to other processes, and they can write it. A slot without flag rests on its stamp alone.
#[derive(Debug)]
pub struct Claimer<F = [AtomicU8; 0]> {
    sequence: Sequence,
    flags: F,
    next_ticket: AtomicU64,
    /// Number of the newest frame's slot and 1 more, 0 before the first. Kept here because readers poll the header.
    newest_slot: AtomicU32,
    /// How many of the newest frames are kept for readers, 0 for all that there is room for.
    history: u32,
}

/// How many slots [`Claimer::claim_warm`] tries in its own order.
const WARM_TRIES: u32 = 8;

/// A slot that the caller owns: its stamp is odd.
///
/// Not clonable; give it to [`Publisher::publish`] or [`Claimer::abandon`]. Dropping it leaves the slot odd for ever,
/// which costs one slot and harms nobody.
#[derive(Debug)]
#[must_use = "a claim that is neither published nor abandoned costs its slot"]
pub struct Claim {
    ticket: u64,
    /// Count of the slot's stamp before it was made odd, without marks; and bit 0 once the slot was opened to followers
    /// ([`crate::progress`]).
    pub(crate) stamp: u64,
    /// The slot's number and 1: so that an `Option` of a claim is no larger than a claim.
    place: NonZero<u32>,
}

/// No slot can be had now: each was tried, and the counts together are the slots.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoFreeSlot {
    /// Slots that readers hold by lease.
    pub leased: u32,
    /// Slots that other claims of this producer hold.
    pub writing: u32,
    /// Slots whose frames are still needed ([`Claimer::claim_where`]).
    pub needed: u32,
}

/// What goes into the frame header.
#[derive(Clone, Copy, Debug, Default)]
pub struct FrameMeta {
    /// The region's session.
    pub session_id: u64,
    /// Bits of the producer's time.
    pub sim_time_bits: u64,
    /// Bytes of the payload.
    pub payload_bytes: u32,
    /// Records of the payload.
    pub tlv_count: u32,
    /// Hash of the payload, or 0.
    pub checksum: u32,
    /// Low half of the publish time, or 0.
    pub publish_time: u32,
    /// What the stamp says of the frame.
    pub marks: FrameMarks,
}

impl Claimer {
    /// A claimer without flags that starts at ticket 0.
    #[must_use]
    pub fn new(slots: u32) -> Self {
        Self::starting_at(slots, 0)
    }

    /// A claimer without flags that starts at `ticket`; for tests near the wrap.
    #[must_use]
    pub fn starting_at(slots: u32, ticket: u64) -> Self {
        Self::new_at(slots, ticket, [])
    }
}

impl<F: AsRef<[AtomicU8]>> Claimer<F> {
    /// A claimer that keeps a flag per slot, all 0 at first.
    #[must_use]
    pub fn with_flags(slots: u32, flags: F) -> Self {
        Self::new_at(slots, 0, flags)
    }

    fn new_at(slots: u32, ticket: u64, flags: F) -> Self {
        let (next_ticket, newest_slot) = (AtomicU64::new(ticket), AtomicU32::new(0));
        Self { sequence: Sequence::new(slots), flags, next_ticket, newest_slot, history: 0 }
    }

    /// Keeps no more than the `frames` newest frames for readers, where it can choose, and writes where it wrote last
    /// of what may go, which the processor's cache still has. 0, the default: goes round all slots.
    #[must_use]
    pub fn with_history(self, frames: u32) -> Self {
        Self { history: frames, ..self }
    }

    #[inline]
    fn flag(&self, slot: u32) -> Option<&AtomicU8> {
        self.flags.as_ref().get(slot as usize)
    }

    /// Before the stamp is stored: whoever finds it even finds the flag free.
    #[inline]
    fn give_back(&self, slot: u32) {
        if let Some(flag) = self.flag(slot) {
            // Release: our use of the payload stays before that of the next owner.
            flag.store(0, Ordering::Release);
        }
    }

    /// Claims slot `index`, if it is free. A slot whose flag is set is left as it is, stamp included.
    #[inline]
    fn try_claim<S: Slots>(&self, slots: &S, index: u32, may: impl Fn(u64) -> bool) -> Result<u64, Busy> {
        // Acquire, pairs with `give_back`: the last owner's use of the payload stays before ours.
        if self.flag(index).is_some_and(|flag| flag.swap(1, Ordering::Acquire) != 0) {
            return Err(Busy::Writing);
        }
        let claimed = try_claim(slots.slot(index), may);
        if claimed.is_err() {
            self.give_back(index);
        }
        claimed
    }

    /// The same for a thread that has the claimer to itself.
    #[inline]
    fn try_claim_mut<S: Slots>(&mut self, slots: &S, index: u32, may: impl Fn(u64) -> bool) -> Result<u64, Busy> {
        // Relaxed: `&mut` says that nobody else counts.
        if self.flag(index).is_some_and(|flag| flag.load(Ordering::Relaxed) != 0) {
            return Err(Busy::Writing);
        }
        let claimed = try_claim(slots.slot(index), may);
        if claimed.is_ok()
            && let Some(flag) = self.flag(index)
        {
            flag.store(1, Ordering::Relaxed);
        }
        claimed
    }

    /// Gives a claim's slot back empty. No reader ever sees it as a frame.
    #[inline]
    pub fn abandon<S: Slots>(&self, slots: &S, claim: Claim) {
        self.give_back(claim.slot());
        let slot = claim.slot();
        claim.end(slots.slot(slot));
    }

    /// The sequence arithmetic.
    #[must_use]
    pub const fn sequence(&self) -> Sequence {
        self.sequence
    }

    /// The slot that the next claim looks at first, unless another thread is faster.
    fn next_slot(&self) -> u32 {
        // Relaxed: a hint.
        self.sequence.slot(self.next_ticket.load(Ordering::Relaxed))
    }

    /// Takes the next slot that nobody leases and nobody writes, the newest frame's only when there is no other. Never
    /// waits: it tries as many slots as there are in the order of tickets, and then each one once.
    ///
    /// The slot's `payload_bytes` is 0 afterwards, so that readers without stamps refuse it.
    ///
    /// # Errors
    ///
    /// [`NoFreeSlot`] when every slot was leased or being written when it was tried.
    // Always: its result would go through memory.
    #[inline(always)]
    pub fn claim<S: Slots>(&self, slots: &S) -> Result<Claim, NoFreeSlot> {
        if self.history > 0 {
            return self.claim_warm(slots);
        }
        self.claim_in_turn(slots)
    }

    #[inline(always)]
    fn claim_in_turn<S: Slots>(&self, slots: &S) -> Result<Claim, NoFreeSlot> {
        for _ in 0..slots.slot_count() {
            // Relaxed: the ticket is only a number, the stamp decides who owns the slot.
            let ticket = self.next_ticket.fetch_add(1, Ordering::Relaxed);
            let index = self.sequence.slot(ticket);
            // The slot of the newest frame comes last, so that readers lose it only when there is no other. Asked each
            // time: another thread may have made a different slot the newest one.
            if self.newest() != Some(index)
                && let Ok(stamp) = self.try_claim(slots, index, |_| true)
            {
                return Ok(Claim::new(ticket, index, stamp));
            }
        }
        self.claim_any(slots, |_| true)
    }

    /// [`Claimer::claim`] of a slot whose frame `may` be overwritten, by its id; 0 is no frame. A slot that is refused is
    /// left as it is, and so is the order in which the others come.
    ///
    /// `may` is asked before a slot is claimed, so that readers see no odd stamp in vain, and once more when nobody else
    /// can write it any more.
    ///
    /// # Errors
    ///
    /// [`NoFreeSlot`] when no slot could be had at the moment.
    #[inline]
    pub fn claim_where<S: Slots>(&self, slots: &S, may: impl Fn(u64) -> bool) -> Result<Claim, NoFreeSlot> {
        let newest = self.newest();
        for _ in 0..slots.slot_count() {
            // Relaxed: as in `claim`.
            let ticket = self.next_ticket.load(Ordering::Relaxed);
            let index = self.sequence.slot(ticket);
            let claimed = if newest == Some(index) { Err(Busy::Leased) } else { self.try_claim(slots, index, &may) };
            if matches!(claimed, Err(Busy::Needed)) {
                // The ticket stays: those who wait try many times, and the oldest frame's turn must not pass.
                break;
            }
            let next = ticket + 1;
            let ours = self.next_ticket.compare_exchange(ticket, next, Ordering::Relaxed, Ordering::Relaxed).is_ok();
            if let Ok(stamp) = claimed {
                // Where another thread was faster the slot is ours, and the ticket is not.
                let ticket = if ours { ticket } else { self.ticket_of(index) };
                return Ok(Claim::new(ticket, index, stamp));
            }
        }
        self.claim_any(slots, may)
    }

    /// The slot that was written last of those whose frames may go ([`Claimer::with_history`]). When all of them are
    /// leased or being written, the others in turn.
    #[cold]
    fn claim_warm<S: Slots>(&self, slots: &S) -> Result<Claim, NoFreeSlot> {
        // Relaxed: hints. Ids are dense and become greater, and the stamp decides who owns a slot.
        let id_of = |index: u32| slots.slot(index).head.frame_id.load(Ordering::Relaxed);
        let kept = u64::from(self.history);
        let mut below = slots.header().frame_seq.load(Ordering::Relaxed).saturating_sub(kept).saturating_add(1);
        // More are leased at a time than that? Then the order does not matter any more.
        for _ in 0..WARM_TRIES {
            let others = (0..slots.slot_count()).filter(|&index| self.newest() != Some(index));
            let old = others.map(|index| (id_of(index), index)).filter(|&(id, _)| (1..below).contains(&id));
            let Some((id, index)) = old.max() else { break };
            if let Ok(stamp) = self.try_claim(slots, index, |_| true) {
                return Ok(Claim::new(self.ticket_of(index), index, stamp));
            }
            below = id;
        }
        self.claim_in_turn(slots)
    }

    /// Tries each slot once, whatever tickets other threads take meanwhile: those of [`Claimer::claim`] are shared, so
    /// that another thread may have taken the ticket of the one free slot each time.
    #[cold]
    fn claim_any<S: Slots>(&self, slots: &S, may: impl Fn(u64) -> bool) -> Result<Claim, NoFreeSlot> {
        let mut refused = NoFreeSlot { leased: 0, writing: 0, needed: 0 };
        let (count, newest) = (slots.slot_count(), self.newest().filter(|&n| n < slots.slot_count()));
        // The slot whose turn is next holds the oldest frame, as far as tickets tell.
        let first = self.next_slot() % count.max(1);
        let others = (first..count).chain(0..first).filter(|&index| newest != Some(index));
        for index in others.chain(newest) {
            match self.try_claim(slots, index, &may) {
                Ok(stamp) => return Ok(Claim::new(self.ticket_of(index), index, stamp)),
                Err(Busy::Leased) => refused.leased += 1,
                Err(Busy::Writing) => refused.writing += 1,
                Err(Busy::Needed) => refused.needed += 1,
            }
        }
        Err(refused)
    }

    /// A new ticket that leads to slot `index`. It takes the tickets of a whole lap, of which one does, and the others
    /// are skipped: nobody else gets any of them, and every later ticket is greater.
    fn ticket_of(&self, index: u32) -> u64 {
        let slots = self.sequence.slots;
        // Relaxed: as in `claim`.
        let first = self.next_ticket.fetch_add(u64::from(slots), Ordering::Relaxed);
        let at = self.sequence.slot(first);
        first + u64::from(if at <= index { index - at } else { index + (slots - at) })
    }

    /// [`Claimer::claim_where`] for a thread that has the claimer to itself.
    ///
    /// # Errors
    ///
    /// [`NoFreeSlot`] as there.
    #[inline]
    pub fn claim_where_mut<S: Slots>(&mut self, slots: &S, may: impl Fn(u64) -> bool) -> Result<Claim, NoFreeSlot> {
        let newest = self.newest();
        // Relaxed: `&mut` says that nobody else counts.
        let ticket = self.next_ticket.load(Ordering::Relaxed);
        let index = self.sequence.slot(ticket);
        if newest != Some(index)
            && let Ok(stamp) = self.try_claim_mut(slots, index, &may)
        {
            self.next_ticket.store(ticket + 1, Ordering::Relaxed);
            return Ok(Claim::new(ticket, index, stamp));
        }
        self.claim_where(slots, may)
    }

    /// The slot of the newest frame.
    #[inline]
    fn newest(&self) -> Option<u32> {
        // Relaxed: only a preference.
        self.newest_slot.load(Ordering::Relaxed).checked_sub(1)
    }

    /// The same for a thread that has the claimer to itself, which saves an atomic step.
    ///
    /// # Errors
    ///
    /// [`NoFreeSlot`] as above.
    // Always: its result would go through memory.
    #[inline(always)]
    pub fn claim_mut<S: Slots>(&mut self, slots: &S) -> Result<Claim, NoFreeSlot> {
        let newest = self.newest();
        // Relaxed: `&mut` says that nobody else counts.
        let ticket = self.next_ticket.load(Ordering::Relaxed);
        let index = self.sequence.slot(ticket);
        if newest != Some(index)
            && self.history == 0
            && let Ok(stamp) = self.try_claim_mut(slots, index, |_| true)
        {
            self.next_ticket.store(ticket + 1, Ordering::Relaxed);
            return Ok(Claim::new(ticket, index, stamp));
        }
        self.claim_another(slots)
    }

    #[cold]
    #[inline(never)]
    fn claim_another<S: Slots>(&self, slots: &S) -> Result<Claim, NoFreeSlot> {
        self.claim(slots)
    }
}

enum Busy {
    Leased,
    Writing,
    Needed,
}

/// `order` is at least Acquire, which pairs with R6: the reads of a lease that ended stay before what we write.
#[inline]
fn leased(slot: &Slot<'_>, order: Ordering) -> bool {
    slot.head.ext_lease.iter().any(|w| w.load(order) != 0)
}

#[inline]
fn try_claim(slot: Slot<'_>, may: impl Fn(u64) -> bool) -> Result<u64, Busy> {
    let stamp = slot.head.ext_stamp.load(Ordering::Relaxed);
    if stamp % 2 == 1 {
        return Err(Busy::Writing);
    }
    if leased(&slot, Ordering::Acquire) {
        return Err(Busy::Leased); // a look ahead that spares readers the sight of an odd stamp
    }
    // Relaxed: the same, of whatever frame is there.
    if !may(slot.head.frame_id.load(Ordering::Relaxed)) {
        return Err(Busy::Needed);
    }
    // W1 [P3 lease-or-claim]. SeqCst, like the loads of W2 and R3 and the store of R2: the four have one order, so
    // either we see the lease or the reader sees the odd stamp. Includes Acquire: the last owner's writes stay before.
    let count = stamp & FrameMarks::COUNT;
    let odd = count + 1;
    if slot.head.ext_stamp.compare_exchange(stamp, odd, Ordering::SeqCst, Ordering::Relaxed).is_err() {
        return Err(Busy::Writing);
    }
    sc_access_fence();
    // W2 [P3 lease-or-claim].
    if leased(&slot, Ordering::SeqCst) {
        slot.head.ext_stamp.store(stamp, Ordering::Release);
        return Err(Busy::Leased);
    }
    // K2 [P7 every frame]: `may` loads what readers change, SeqCst. Relaxed: the exchange above has acquired the frame.
    if !may(slot.head.frame_id.load(Ordering::Relaxed)) {
        slot.head.ext_stamp.store(stamp, Ordering::Release);
        return Err(Busy::Needed);
    }
    // W3 [P2 torn]. Release: no store below becomes visible before the odd stamp.
    fence(Ordering::Release);
    slot.head.payload_bytes.store(0, Ordering::Relaxed);
    slot.head.frame_id.store(0, Ordering::Relaxed);
    // For readers without stamps, which know no more than that length: the zero leaves before the content.
    fence(Ordering::Release);
    Ok(count)
}

impl Claim {
    #[inline]
    const fn new(ticket: u64, slot: u32, stamp: u64) -> Self {
        Self { ticket, stamp, place: NonZero::<u32>::MIN.saturating_add(slot) }
    }

    /// Number of the claimed slot.
    #[must_use]
    #[inline]
    pub const fn slot(&self) -> u32 {
        self.place.get() - 1
    }

    #[inline]
    fn end(mut self, slot: Slot<'_>) {
        self.stamp &= !1;
        // Release: whoever claims next sees our writes as past.
        slot.head.ext_stamp.store(self.next_stamp(), Ordering::Release);
    }

    /// The count while the claim lasts.
    #[inline]
    pub(crate) const fn odd_stamp(&self) -> u64 {
        self.stamp | 1
    }

    /// The even count after this claim's odd one, of a slot that was not opened or is sealed.
    #[inline]
    const fn next_stamp(&self) -> u64 {
        (self.stamp + 2) & FrameMarks::COUNT
    }
}

/// Ends the announcements of a claim with this stamp, before the field gets its other meaning. Gives the claim's stamp.
// Always: a call, however rare, costs the usual case its registers.
#[inline(always)]
fn seal(slot: Slot<'_>, stamp: u64) -> u64 {
    // F3. Release: whoever sees a store below sees that OPEN is gone.
    slot.head.ext_stamp.store(stamp, Ordering::Relaxed);
    fence(Ordering::Release);
    stamp & !1
}

/// Makes claimed slots visible, in order.
#[derive(Debug)]
pub struct Publisher {
    sequence: Sequence,
    frame_id: u64,
    /// The newest frame's ticket and 1, 0 before the first.
    newest: u64,
}

/// A frame became visible.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "sleeping readers must be woken when `wake` says so"]
pub struct Published {
    /// The frame's id.
    pub frame_id: u64,
    /// The doorbell's value on which somebody may be asleep.
    pub wake: Option<u32>,
}

impl Publisher {
    /// A publisher that has published nothing.
    #[must_use]
    pub const fn new(slots: u32) -> Self {
        Self { sequence: Sequence::new(slots), frame_id: 0, newest: 0 }
    }

    /// Frames published so far.
    #[must_use]
    pub const fn published(&self) -> u64 {
        self.frame_id
    }

    /// Writes the frame header and makes the frame visible. Wait-free.
    ///
    /// `write_index` moves only forward: a frame whose slot was claimed before the newest one's becomes visible in
    /// its slot without becoming the newest.
    // Always: what it is given would go through memory.
    #[inline(always)]
    pub fn publish<S: Slots, F: AsRef<[AtomicU8]>>(
        &mut self,
        slots: &S,
        claimer: &Claimer<F>,
        mut claim: Claim,
        meta: &FrameMeta,
    ) -> Published {
        self.frame_id += 1;
        let head = slots.slot(claim.slot()).head;
        if claim.is_open() {
            claim.stamp = seal(slots.slot(claim.slot()), claim.stamp);
        }
        head.session_id_copy.store(meta.session_id, Ordering::Relaxed);
        head.sim_time.store(meta.sim_time_bits, Ordering::Relaxed);
        head.tlv_count.store(meta.tlv_count, Ordering::Relaxed);
        head.checksum.store(meta.checksum, Ordering::Relaxed);
        head.ext_publish_time.store(meta.publish_time, Ordering::Relaxed);
        head.frame_id.store(self.frame_id, Ordering::Relaxed);
        claimer.give_back(claim.slot());
        // W4. Release: readers without stamps that see the length see the rest.
        head.payload_bytes.store(meta.payload_bytes, Ordering::Release);
        // W5 [P1 slot-published]. Release: who sees the even stamp sees the frame.
        head.ext_stamp.store(claim.next_stamp() | meta.marks.to_wire(), Ordering::Release);
        let header = slots.header();
        // Readers poll the line that these four words share, so they are stored without a pause in between. The
        // exchange first would be a little faster, but a sleeper that looks in between, when the number has moved and
        // the count has not, would have to find the frame without the count, or sleep through it.
        // W6 [P4 newest]. Release: who sees the id or the number finds the slot published.
        // W7 [P5 doorbell]. SeqCst for the last of them, with the load in `ring`.
        if self.newest <= claim.ticket {
            self.newest = claim.ticket + 1;
            claimer.newest_slot.store(claim.place.get(), Ordering::Relaxed);
            let number = self.sequence.number(claim.ticket);
            header.reserve_index.store(number, Ordering::Relaxed); // for display only
            header.frame_seq.store(self.frame_id, Ordering::Release);
            header.write_index.swap(number, Ordering::SeqCst);
        } else {
            header.frame_seq.swap(self.frame_id, Ordering::SeqCst);
        }
        Published { frame_id: self.frame_id, wake: doorbell::ring(&header.ext_doorbell) }
    }
}
