//! The C interface's calls that ask for a state, in any order and on any handle: null, closed or live.

use crate::ops::Ops;
use shmx_capi::{
    shmx_aligner, shmx_client, shmx_directory, shmx_inspector, shmx_messages, shmx_sender, shmx_server, shmx_status,
    shmx_tap, shmx_wait_set, shmx_writer,
};
use std::ffi::{c_char, c_void};
use std::ptr::{null, null_mut};

/// The functions as C sees them.
#[allow(unsafe_code, improper_ctypes)] // handles are opaque
mod c {
    use super::*;
    unsafe extern "C" {
        pub fn shmx_aligner_unmatched(a: *mut shmx_aligner, index: usize, out: *mut u64) -> shmx_status;
        pub fn shmx_client_heartbeat(c: *mut shmx_client) -> shmx_status;
        pub fn shmx_client_is_replaced(c: *mut shmx_client, out: *mut u32) -> shmx_status;
        pub fn shmx_client_sender(c: *mut shmx_client, out: *mut *mut shmx_sender) -> shmx_status;
        pub fn shmx_client_server_state(c: *mut shmx_client, out: *mut u32) -> shmx_status;
        pub fn shmx_client_wait_fd(c: *mut shmx_client, fd: *mut i32) -> shmx_status;
        pub fn shmx_directory_count(d: *const shmx_directory) -> usize;
        pub fn shmx_directory_id(d: *const shmx_directory, name: *const c_char, id: *mut u32) -> shmx_status;
        pub fn shmx_directory_raw(
            d: *const shmx_directory,
            session: *mut u64,
            generation: *mut u32,
            data: *mut *const c_void,
            bytes: *mut usize,
        ) -> shmx_status;
        pub fn shmx_directory_free(d: *mut *mut shmx_directory);
        pub fn shmx_inspector_directory(i: *const shmx_inspector, out: *mut *mut shmx_directory) -> shmx_status;
        pub fn shmx_inspector_header(i: *const shmx_inspector, out: *mut c_void) -> shmx_status;
        pub fn shmx_inspector_is_current(i: *const shmx_inspector, current: *mut u32, whole: *mut u32) -> shmx_status;
        pub fn shmx_inspector_region(i: *const shmx_inspector, out: *mut c_void) -> shmx_status;
        pub fn shmx_inspector_server_state(i: *const shmx_inspector, state: *mut u32) -> shmx_status;
        pub fn shmx_last_error() -> *const c_char;
        pub fn shmx_messages_damaged(
            m: *const shmx_messages,
            index: usize,
            reader: *mut u32,
            lost: *mut u64,
        ) -> shmx_status;
        pub fn shmx_messages_free(m: *mut *mut shmx_messages);
        pub fn shmx_sender_free(s: *mut *mut shmx_sender);
        pub fn shmx_sender_send(s: *const shmx_sender, t: u32, data: *const c_void, n: usize) -> shmx_status;
        pub fn shmx_server_control_fd(s: *const shmx_server, fd: *mut i32) -> shmx_status;
        pub fn shmx_server_directory(s: *const shmx_server, out: *mut *mut shmx_directory) -> shmx_status;
        pub fn shmx_server_frames(s: *const shmx_server, frames: *mut u64) -> shmx_status;
        pub fn shmx_server_header(s: *const shmx_server, out: *mut c_void) -> shmx_status;
        pub fn shmx_server_is_current(s: *const shmx_server, current: *mut u32) -> shmx_status;
        pub fn shmx_server_readers(
            s: *const shmx_server,
            r: *mut c_void,
            size: usize,
            capacity: usize,
            count: *mut usize,
        ) -> shmx_status;
        pub fn shmx_server_readers_connected(s: *const shmx_server, count: *mut u32) -> shmx_status;
        pub fn shmx_server_reap(s: *const shmx_server, ns: u64, count: *mut usize) -> shmx_status;
        pub fn shmx_server_region(s: *const shmx_server, out: *mut c_void) -> shmx_status;
        pub fn shmx_server_wait_control(
            s: *const shmx_server,
            max: usize,
            ns: u64,
            out: *mut *mut shmx_messages,
        ) -> shmx_status;
        pub fn shmx_status_name(status: i32) -> *const c_char;
        pub fn shmx_tap_age(t: *mut shmx_tap, age: *mut u64) -> shmx_status;
        pub fn shmx_tap_close(t: *mut shmx_tap) -> shmx_status;
        pub fn shmx_tap_is_current(t: *mut shmx_tap, current: *mut u32) -> shmx_status;
        pub fn shmx_tap_lent(t: *mut shmx_tap, lend: *mut u32) -> shmx_status;
        pub fn shmx_tap_region(t: *mut shmx_tap, out: *mut c_void) -> shmx_status;
        pub fn shmx_tap_release(t: *mut shmx_tap, lend: u32) -> shmx_status;
        pub fn shmx_tap_server_state(t: *mut shmx_tap, state: *mut u32) -> shmx_status;
        pub fn shmx_tap_stats(t: *mut shmx_tap, out: *mut c_void) -> shmx_status;
        pub fn shmx_tap_wait_fd(t: *mut shmx_tap, fd: *mut i32) -> shmx_status;
        pub fn shmx_wait_set_interrupt(s: *const shmx_wait_set) -> shmx_status;
        pub fn shmx_writer_append_undeclared(
            w: *mut shmx_writer,
            id: u32,
            count: u32,
            data: *const c_void,
            n: usize,
        ) -> shmx_status;
        pub fn shmx_writer_info(w: *mut shmx_writer, used: *mut u32, left: *mut u32, slot: *mut u32) -> shmx_status;
        pub fn shmx_writer_publish_recorded(
            w: *mut *mut shmx_writer,
            t: f64,
            had_checksum: u32,
            id: *mut u64,
        ) -> shmx_status;
        pub fn shmx_writer_room(w: *mut shmx_writer, room: *mut *mut c_void, n: *mut usize) -> shmx_status;
    }
}

macro_rules! call {
    ($name:ident($($argument:expr),* $(,)?)) => {{
        #[allow(unsafe_code)]
        // SAFETY: null or a live variable of the type, buffers with their length, handles of the library that were not
        // freed; one thread.
        let result = unsafe { c::$name($($argument),*) };
        result
    }};
}

/// What a caller holds; any of it may be null.
pub(crate) struct Handles<'a> {
    pub client: *mut shmx_client,
    pub tap: *mut shmx_tap,
    pub inspector: *mut shmx_inspector,
    pub server: *mut shmx_server,
    pub writer: &'a mut *mut shmx_writer,
    pub set: *mut shmx_wait_set,
    pub aligner: *mut shmx_aligner,
}

/// Asks one thing. `out` is a struct of the library's, its size first, and 256 bytes long.
pub(crate) fn ask(h: Handles<'_>, ops: &mut Ops<'_>, out: *mut c_void) {
    let (mut a, mut b, mut c, mut long, mut count, mut fd) = (0_u32, 0_u32, 0_u32, 0_u64, 0_usize, 0_i32);
    let short_wait = u64::from(ops.u8()) * 100;
    match ops.below(36) {
        0 => drop(call!(shmx_aligner_unmatched(h.aligner, ops.below(4).into(), &raw mut long))),
        1 => drop(call!(shmx_client_heartbeat(h.client))),
        2 => drop(call!(shmx_client_is_replaced(h.client, &raw mut a))),
        3 => {
            let mut sender = null_mut();
            let status = call!(shmx_client_sender(h.client, &raw mut sender));
            assert_eq!(status == shmx_status::Ok, !sender.is_null());
            let body = ops.bytes(40);
            call!(shmx_sender_send(sender, ops.word(), body.as_ptr().cast(), body.len()));
            call!(shmx_sender_free(&raw mut sender));
            call!(shmx_sender_free(&raw mut sender));
        }
        4 => drop(call!(shmx_client_server_state(h.client, &raw mut a))),
        5 => drop(call!(shmx_client_wait_fd(h.client, &raw mut fd))),
        6 => {
            let mut directory = null_mut();
            call!(shmx_inspector_directory(h.inspector, &raw mut directory));
            directory_of(&mut directory);
        }
        7 => drop(call!(shmx_inspector_header(h.inspector, out))),
        8 => drop(call!(shmx_inspector_is_current(h.inspector, &raw mut a, &raw mut b))),
        9 => drop(call!(shmx_inspector_region(h.inspector, out))),
        10 => drop(call!(shmx_inspector_server_state(h.inspector, &raw mut a))),
        11 => drop(call!(shmx_server_control_fd(h.server, &raw mut fd))),
        12 => {
            let mut directory = null_mut();
            call!(shmx_server_directory(h.server, &raw mut directory));
            directory_of(&mut directory);
        }
        13 => drop(call!(shmx_server_frames(h.server, &raw mut long))),
        14 => drop(call!(shmx_server_header(h.server, out))),
        15 => drop(call!(shmx_server_is_current(h.server, &raw mut a))),
        16 => {
            let mut readers = [0_u64; 64];
            let size = if ops.below(4) == 0 { usize::from(ops.u8()) } else { 128 };
            // What the caller says of its own memory is true.
            let capacity = size_of_val(&readers).checked_div(size).unwrap_or(4);
            call!(shmx_server_readers(h.server, readers.as_mut_ptr().cast(), size, capacity, &raw mut count));
        }
        17 => drop(call!(shmx_server_readers_connected(h.server, &raw mut a))),
        18 => drop(call!(shmx_server_reap(h.server, u64::from(ops.word()), &raw mut count))),
        19 => drop(call!(shmx_server_region(h.server, out))),
        20 => {
            let mut messages = null_mut();
            call!(shmx_server_wait_control(h.server, 4, short_wait, &raw mut messages));
            call!(shmx_messages_damaged(messages, ops.below(3).into(), &raw mut a, &raw mut long));
            call!(shmx_messages_free(&raw mut messages));
        }
        21 => drop(call!(shmx_tap_age(h.tap, &raw mut long))),
        22 => drop(call!(shmx_tap_is_current(h.tap, &raw mut a))),
        23 => drop(call!(shmx_tap_lent(h.tap, &raw mut a))),
        24 => drop(call!(shmx_tap_region(h.tap, out))),
        25 => drop(call!(shmx_tap_release(h.tap, ops.below(4).into()))),
        26 => drop(call!(shmx_tap_server_state(h.tap, &raw mut a))),
        27 => drop(call!(shmx_tap_stats(h.tap, out))),
        28 => drop(call!(shmx_tap_wait_fd(h.tap, &raw mut fd))),
        29 => drop(call!(shmx_wait_set_interrupt(h.set))),
        30 => {
            let body = ops.bytes(40);
            let (id, elements) = (ops.word(), ops.below(8).into());
            call!(shmx_writer_append_undeclared(*h.writer, id, elements, body.as_ptr().cast(), body.len()));
        }
        31 => drop(call!(shmx_writer_info(*h.writer, &raw mut a, &raw mut b, &raw mut c))),
        32 => {
            let mut room = null_mut();
            if call!(shmx_writer_room(*h.writer, &raw mut room, &raw mut count)) == shmx_status::Ok {
                #[allow(unsafe_code)]
                // SAFETY: as the header says: so many bytes may be written.
                unsafe {
                    room.cast::<u8>().write_bytes(7, count);
                }
            }
        }
        33 => {
            call!(shmx_writer_publish_recorded(&raw mut *h.writer, 0.25, ops.below(3).into(), &raw mut long));
            assert!(h.writer.is_null());
        }
        34 => drop(call!(shmx_tap_close(h.tap))),
        _ => {
            assert!(!call!(shmx_status_name(ops.word().cast_signed())).is_null());
            assert!(!call!(shmx_last_error()).is_null());
        }
    }
}

fn directory_of(directory: &mut *mut shmx_directory) {
    let (mut session, mut generation, mut data, mut bytes, mut id) = (0, 0, null(), 0, 0);
    call!(shmx_directory_raw(*directory, &raw mut session, &raw mut generation, &raw mut data, &raw mut bytes));
    call!(shmx_directory_id(*directory, c"tick".as_ptr(), &raw mut id));
    assert!(call!(shmx_directory_count(*directory)) <= bytes);
    call!(shmx_directory_free(directory));
}
