//! One sleep for many readers.

use crate::args::{Give, Out, Places, hand_out, put};
use crate::client::shmx_client;
use crate::consts::duration;
use crate::status::{Fault, guard, guard_value, shmx_status};
use crate::tap::shmx_tap;
use shmx::{Interrupter, Token, WaitSet, Waitable};
use std::sync::{Mutex, MutexGuard, TryLockError};

/// Waits for news of any number of clients and taps, of any regions, in one call.
///
/// It holds none of them: it is told which belong to it, and one that is freed leaves by itself. From the moment when
/// there may be news of a reader the set names it, until a call that takes a frame from it says SHMX_STATUS_NOTHING.
#[derive(Debug)]
pub struct shmx_wait_set {
    set: Mutex<WaitSet>,
    interrupter: Interrupter,
}

impl shmx_wait_set {
    /// The set, where no other thread waits in it.
    fn set(&self) -> Result<MutexGuard<'_, WaitSet>, Fault> {
        match self.set.try_lock() {
            Ok(set) => Ok(set),
            Err(TryLockError::Poisoned(set)) => Ok(set.into_inner()),
            Err(TryLockError::WouldBlock) => {
                let text = "another thread uses the set; end its wait with shmx_wait_set_interrupt first";
                Err(Fault::new(shmx_status::Busy, text))
            }
        }
    }
}

fn get(set: Option<&shmx_wait_set>) -> Result<&shmx_wait_set, Fault> {
    set.ok_or_else(|| Fault::null("set"))
}

/// `reader` is asked for last: that ends what it has lent.
fn add<'r, R: Waitable + 'r>(
    set: Option<&shmx_wait_set>,
    token: Out<u64>,
    reader: impl FnOnce() -> Result<&'r mut R, Fault>,
) -> Result<shmx_status, Fault> {
    let mut set = get(set)?.set()?;
    token.need("token")?;
    put(token, "token", set.add(reader()?).into())?;
    Ok(shmx_status::Ok)
}

/// An empty set.
///
/// Threads: any.
#[unsafe(no_mangle)]
pub extern "C" fn shmx_wait_set_new(out: Out<*mut shmx_wait_set>) -> shmx_status {
    guard("shmx_wait_set_new", || {
        out.need("out")?;
        let set = WaitSet::new()?;
        hand_out(out, shmx_wait_set { interrupter: set.interrupter(), set: Mutex::new(set) });
        Ok(shmx_status::Ok)
    })
}

/// Takes a client into the set; `token` is how the set names it. The same client may be in several sets.
///
/// Threads: one at a time, for the set and for the client; SHMX_STATUS_BUSY while another one waits in the set.
#[unsafe(no_mangle)]
pub extern "C" fn shmx_wait_set_add_client(
    set: Option<&shmx_wait_set>,
    client: Option<&mut shmx_client>,
    token: Out<u64>,
) -> shmx_status {
    guard("shmx_wait_set_add_client", || add(set, token, || crate::client::reader(client)))
}

/// Takes a tap into the set, as shmx_wait_set_add_client.
///
/// Threads: one at a time, for the set and for the tap; SHMX_STATUS_BUSY while another one waits in the set.
#[unsafe(no_mangle)]
pub extern "C" fn shmx_wait_set_add_tap(
    set: Option<&shmx_wait_set>,
    tap: Option<&mut shmx_tap>,
    token: Out<u64>,
) -> shmx_status {
    guard("shmx_wait_set_add_tap", || add(set, token, || crate::tap::reader(tap)))
}

/// Takes a reader out of the set; SHMX_STATUS_NOTHING if it was not in it any more.
///
/// Threads: one at a time; SHMX_STATUS_BUSY while another one waits in the set.
#[unsafe(no_mangle)]
pub extern "C" fn shmx_wait_set_remove(set: Option<&shmx_wait_set>, token: u64) -> shmx_status {
    guard("shmx_wait_set_remove", || match get(set)?.set()?.remove(Token::from(token)) {
        true => Ok(shmx_status::Ok),
        false => Ok(shmx_status::Nothing),
    })
}

/// Waits until there may be news of at least one reader. As many tokens as there is room for go to `tokens`; `count` is
/// how many readers there are news of, and may be above `capacity`. SHMX_STATUS_NOTHING when the time is up, or when
/// the set was interrupted. With 0 it never waits.
///
/// Threads: one at a time; SHMX_STATUS_BUSY while another one waits in the set.
#[unsafe(no_mangle)]
pub extern "C" fn shmx_wait_set_wait(
    set: Option<&shmx_wait_set>,
    timeout_ns: u64,
    tokens: Places<u64>,
    capacity: usize,
    count: Out<usize>,
) -> shmx_status {
    guard("shmx_wait_set_wait", || {
        let set = get(set)?;
        count.need("count")?;
        let room = tokens.room(capacity, "tokens")?;
        let mut set = set.set()?;
        let ready = set.wait(duration(timeout_ns));
        if ready.is_empty() {
            return Ok(shmx_status::Nothing);
        }
        room.fill(ready.iter().map(|&token| token.into()));
        put(count, "count", ready.len())?;
        Ok(shmx_status::Ok)
    })
}

/// Ends the wait that a thread is in, or the set's next one, with SHMX_STATUS_NOTHING.
///
/// Threads: any.
#[unsafe(no_mangle)]
pub extern "C" fn shmx_wait_set_interrupt(set: Option<&shmx_wait_set>) -> shmx_status {
    guard("shmx_wait_set_interrupt", || {
        get(set)?.interrupter.interrupt();
        Ok(shmx_status::Ok)
    })
}

/// Frees a set; its readers stay. Leaves null behind, so that doing it twice does nothing.
///
/// Threads: one, when no other uses it.
#[unsafe(no_mangle)]
pub extern "C" fn shmx_wait_set_free(set: Give<shmx_wait_set>) {
    guard_value("shmx_wait_set_free", (), || drop(set.take()));
}
