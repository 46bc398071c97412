//! The C interface, as a caller from C that keeps the header's promises and nothing more: sequences of calls on a live
//! object made of arbitrary bytes, which also change between them, with null handles, closed ones, wrong sizes, wrong
//! codes, and a server of its own.
//!
//! Length: a declaration and a call of most functions there are.

use crate::capi_state::{self, Handles};
use crate::client::OPS;
use crate::live::{Live, store, unique};
use crate::ops::Ops;
use crate::region::{LONGEST, PREFIX, flag, repaired};
use shmx_capi::{
    shmx_aligner, shmx_client, shmx_client_options, shmx_directory, shmx_following, shmx_frame, shmx_header,
    shmx_inspector, shmx_message, shmx_messages, shmx_reader, shmx_region, shmx_server, shmx_server_options, shmx_slot,
    shmx_stats, shmx_status, shmx_stream_info, shmx_stream_spec, shmx_tap, shmx_tap_options, shmx_view, shmx_wait_set,
    shmx_writer,
};
use std::ffi::{CString, c_char, c_void};
use std::ptr::{null, null_mut};

/// `shmx_data` as C sees it.
#[repr(C)]
struct Data {
    stream_id: u32,
    elem_count: u32,
    data: *const u8,
    bytes: usize,
}

/// `shmx_prefix` as C sees it.
#[repr(C)]
struct Prefix {
    stream_id: u32,
    elem_count: u32,
    data: *const u8,
    bytes: usize,
    total_bytes: usize,
}

/// The functions as C sees them. The crate's own declarations have arguments that only a caller from C can make.
#[allow(unsafe_code, improper_ctypes)] // handles are opaque
mod c {
    use super::*;
    unsafe extern "C" {
        pub fn shmx_client_open(name: *const c_char, o: *const c_void, out: *mut *mut shmx_client) -> shmx_status;
        pub fn shmx_client_latest(c: *mut shmx_client, v: *mut c_void) -> shmx_status;
        pub fn shmx_client_next(c: *mut shmx_client, ns: u64, v: *mut c_void) -> shmx_status;
        pub fn shmx_client_wait(c: *mut shmx_client, ns: u64, v: *mut c_void) -> shmx_status;
        pub fn shmx_client_read_id(c: *mut shmx_client, id: u64, v: *mut c_void) -> shmx_status;
        pub fn shmx_client_release(c: *mut shmx_client, lend: u32) -> shmx_status;
        pub fn shmx_client_keep(c: *mut shmx_client, out: *mut *mut shmx_frame) -> shmx_status;
        pub fn shmx_client_age(c: *mut shmx_client, ns: *mut u64) -> shmx_status;
        pub fn shmx_client_find(c: *mut shmx_client, s: *const c_void, id: *mut u32, n: *mut u64) -> shmx_status;
        pub fn shmx_client_directory(c: *mut shmx_client, out: *mut *mut shmx_directory) -> shmx_status;
        pub fn shmx_client_region(c: *mut shmx_client, out: *mut c_void) -> shmx_status;
        pub fn shmx_client_header(c: *mut shmx_client, out: *mut c_void) -> shmx_status;
        pub fn shmx_client_stats(c: *mut shmx_client, out: *mut c_void) -> shmx_status;
        pub fn shmx_client_send(c: *mut shmx_client, t: u32, data: *const c_void, n: usize) -> shmx_status;
        pub fn shmx_client_reopen(c: *mut shmx_client) -> shmx_status;
        pub fn shmx_client_close(c: *mut shmx_client) -> shmx_status;
        pub fn shmx_client_free(c: *mut *mut shmx_client);
        pub fn shmx_frame_view(f: *const shmx_frame, v: *mut c_void) -> shmx_status;
        pub fn shmx_frame_free(f: *mut *mut shmx_frame);
        pub fn shmx_view_stream(v: *const c_void, id: u32, out: *mut Data) -> shmx_status;
        pub fn shmx_view_at(v: *const c_void, index: usize, out: *mut Data) -> shmx_status;
        pub fn shmx_tap_open(name: *const c_char, o: *const c_void, out: *mut *mut shmx_tap) -> shmx_status;
        pub fn shmx_tap_next(t: *mut shmx_tap, ns: u64, v: *mut c_void) -> shmx_status;
        pub fn shmx_tap_latest(t: *mut shmx_tap, v: *mut c_void) -> shmx_status;
        pub fn shmx_tap_keep(t: *mut shmx_tap, out: *mut *mut shmx_frame) -> shmx_status;
        pub fn shmx_tap_free(t: *mut *mut shmx_tap);
        pub fn shmx_inspector_open(name: *const c_char, out: *mut *mut shmx_inspector) -> shmx_status;
        pub fn shmx_inspector_slot(
            i: *const shmx_inspector,
            n: u32,
            s: *mut c_void,
            f: *mut *mut shmx_frame,
        ) -> shmx_status;
        pub fn shmx_inspector_readers(
            i: *const shmx_inspector,
            r: *mut c_void,
            size: usize,
            cap: usize,
            count: *mut usize,
        ) -> shmx_status;
        pub fn shmx_inspector_peek(i: *const shmx_inspector, n: u32, out: *mut *mut shmx_messages) -> shmx_status;
        pub fn shmx_inspector_read(
            i: *const shmx_inspector,
            at: usize,
            to: *mut c_void,
            n: usize,
            got: *mut usize,
        ) -> shmx_status;
        pub fn shmx_inspector_free(i: *mut *mut shmx_inspector);
        pub fn shmx_directory_at(d: *const shmx_directory, n: usize, out: *mut c_void) -> shmx_status;
        pub fn shmx_directory_free(d: *mut *mut shmx_directory);
        pub fn shmx_messages_at(m: *const shmx_messages, n: usize, out: *mut c_void) -> shmx_status;
        pub fn shmx_messages_free(m: *mut *mut shmx_messages);
        pub fn shmx_server_create(name: *const c_char, o: *const c_void, out: *mut *mut shmx_server) -> shmx_status;
        pub fn shmx_server_begin(s: *const shmx_server, out: *mut *mut shmx_writer) -> shmx_status;
        pub fn shmx_server_publish(
            s: *const shmx_server,
            t: f64,
            parts: *const c_void,
            n: usize,
            id: *mut u64,
        ) -> shmx_status;
        pub fn shmx_server_publish_records(
            s: *const shmx_server,
            t: f64,
            records: *const c_void,
            n: usize,
            count: u32,
            id: *mut u64,
        ) -> shmx_status;
        pub fn shmx_server_poll(s: *const shmx_server, max: usize, out: *mut *mut shmx_messages) -> shmx_status;
        pub fn shmx_server_append_records(s: *const shmx_server, r: *const c_void, n: usize) -> shmx_status;
        pub fn shmx_server_free(s: *mut *mut shmx_server);
        pub fn shmx_server_begin_when_taken(s: *const shmx_server, ns: u64, out: *mut *mut shmx_writer) -> shmx_status;
        pub fn shmx_server_wait_taken(s: *const shmx_server, id: u64, all: u32, ns: u64) -> shmx_status;
        pub fn shmx_server_add_stream(s: *const shmx_server, spec: *const c_void) -> shmx_status;
        pub fn shmx_server_close(s: *mut shmx_server) -> shmx_status;
        pub fn shmx_client_lent(c: *mut shmx_client, lend: *mut u32) -> shmx_status;
        pub fn shmx_tap_wait(t: *mut shmx_tap, ns: u64, v: *mut c_void) -> shmx_status;
        pub fn shmx_tap_find(t: *mut shmx_tap, s: *const c_void, id: *mut u32, n: *mut u64) -> shmx_status;
        pub fn shmx_tap_directory(t: *mut shmx_tap, out: *mut *mut shmx_directory) -> shmx_status;
        pub fn shmx_frame_find(f: *const shmx_frame, s: *const c_void, id: *mut u32) -> shmx_status;
        pub fn shmx_inspector_checksum(i: *const shmx_inspector, n: u32, id: *mut u64, s: *mut u32) -> shmx_status;
        pub fn shmx_inspector_latest(i: *const shmx_inspector, out: *mut *mut shmx_frame) -> shmx_status;
        pub fn shmx_wait_set_new(out: *mut *mut shmx_wait_set) -> shmx_status;
        pub fn shmx_wait_set_add_client(s: *const shmx_wait_set, c: *mut shmx_client, t: *mut u64) -> shmx_status;
        pub fn shmx_wait_set_add_tap(s: *const shmx_wait_set, c: *mut shmx_tap, t: *mut u64) -> shmx_status;
        pub fn shmx_wait_set_remove(s: *const shmx_wait_set, t: u64) -> shmx_status;
        pub fn shmx_wait_set_wait(
            s: *const shmx_wait_set,
            ns: u64,
            t: *mut u64,
            n: usize,
            count: *mut usize,
        ) -> shmx_status;
        pub fn shmx_wait_set_free(s: *mut *mut shmx_wait_set);
        pub fn shmx_aligner_new(by: u32, ns: u64, out: *mut *mut shmx_aligner) -> shmx_status;
        pub fn shmx_aligner_add_client(a: *mut shmx_aligner, c: *mut *mut shmx_client) -> shmx_status;
        pub fn shmx_aligner_add_tap(a: *mut shmx_aligner, t: *mut *mut shmx_tap) -> shmx_status;
        pub fn shmx_aligner_next(
            a: *mut shmx_aligner,
            ns: u64,
            f: *mut *mut shmx_frame,
            n: usize,
            spread: *mut u64,
        ) -> shmx_status;
        pub fn shmx_aligner_free(a: *mut *mut shmx_aligner);
        pub fn shmx_writer_append(w: *mut shmx_writer, p: *const c_void) -> shmx_status;
        pub fn shmx_writer_reserve(
            w: *mut shmx_writer,
            s: *const c_void,
            n: usize,
            room: *mut *mut c_void,
        ) -> shmx_status;
        pub fn shmx_writer_append_records(w: *mut shmx_writer, r: *const c_void, n: usize, count: u32) -> shmx_status;
        pub fn shmx_writer_commit(w: *mut shmx_writer, n: u32, count: u32) -> shmx_status;
        pub fn shmx_writer_fill(w: *mut shmx_writer, s: *const c_void, n: usize) -> shmx_status;
        pub fn shmx_writer_fill_rest(w: *mut shmx_writer, room: *mut *mut c_void, n: *mut usize) -> shmx_status;
        pub fn shmx_writer_fill_commit(w: *mut shmx_writer, n: usize) -> shmx_status;
        pub fn shmx_writer_fill_write(w: *mut shmx_writer, data: *const c_void, n: usize) -> shmx_status;
        pub fn shmx_client_follow(c: *mut shmx_client, ns: u64, f: *mut c_void) -> shmx_status;
        pub fn shmx_client_follow_next(c: *mut shmx_client, ns: u64, f: *mut c_void) -> shmx_status;
        pub fn shmx_client_follow_wait(c: *mut shmx_client, ns: u64, f: *mut c_void) -> shmx_status;
        pub fn shmx_client_finish(c: *mut shmx_client, ns: u64, v: *mut c_void) -> shmx_status;
        pub fn shmx_following_stream(f: *const c_void, id: u32, out: *mut Prefix) -> shmx_status;
        pub fn shmx_following_at(f: *const c_void, index: usize, out: *mut Prefix) -> shmx_status;
        pub fn shmx_writer_publish(w: *mut *mut shmx_writer, t: f64, id: *mut u64) -> shmx_status;
        pub fn shmx_writer_abandon(w: *mut *mut shmx_writer);
    }
}

/// A call. The arguments are what the header asks for: null, or leading to what their types say.
macro_rules! call {
    ($name:ident($($argument:expr),* $(,)?)) => {{
        #[allow(unsafe_code)]
        // SAFETY: null or a live variable of the type, strings with their zero, buffers with their length, handles of
        // the library that were not freed; one thread.
        let result = unsafe { c::$name($($argument),*) };
        result
    }};
}

/// A struct as large as `T` and more, in words of memory that says its size is `size`.
struct Buffer([u64; 32]);

impl Buffer {
    fn of<T>(ops: &mut Ops<'_>) -> Self {
        let mut words = [0_u64; 32];
        let size = size_of::<T>() as u64;
        words[0] = match ops.below(16) {
            0 => u64::from(ops.u8()).min(256),
            1 => 256,
            2 => 0,
            // Was never set.
            3 => u64::from(ops.word()) << 32 | 0x1_0000,
            _ => size,
        };
        Self(words)
    }

    fn place(&mut self) -> *mut c_void {
        self.0.as_mut_ptr().cast()
    }

    /// Codes in the fields behind the size.
    fn scramble(&mut self, ops: &mut Ops<'_>, words: usize) {
        for word in self.0.iter_mut().skip(1).take(words) {
            if ops.below(4) == 0 {
                *word = u64::from(ops.word()) | u64::from(ops.word()) << 32;
            }
        }
    }
}

/// Runs the target.
///
/// # Panics
///
/// On a finding.
pub fn run(data: &[u8]) {
    let Some((flags, rest)) = data.split_at_checked(PREFIX) else { return };
    let flags = u16::from_le_bytes([flags[0], flags[1]]);
    let (script, bytes) = rest.split_at(OPS.min(rest.len()));
    let bytes = repaired(flags, bytes.get(..LONGEST.min(bytes.len())).unwrap_or(&[]).to_vec());
    if bytes.is_empty() {
        return;
    }
    let live = Live::new(&bytes, flags & flag::LOCKED != 0);
    let mut caller = Caller::new(&live);
    let mut ops = Ops::new(script);
    while !ops.is_empty() {
        caller.step(&mut ops, &live);
    }
}

/// What a program in C has in its variables. Null is a value like any other.
struct Caller {
    name: CString,
    own: CString,
    client: *mut shmx_client,
    tap: *mut shmx_tap,
    inspector: *mut shmx_inspector,
    server: *mut shmx_server,
    writer: *mut shmx_writer,
    set: *mut shmx_wait_set,
    aligner: *mut shmx_aligner,
    frames: Vec<*mut shmx_frame>,
}

impl Caller {
    fn new(live: &Live) -> Self {
        Self {
            name: CString::new(live.name.as_str()).expect("no zero in it"),
            own: CString::new(unique()).expect("no zero in it"),
            client: null_mut(),
            tap: null_mut(),
            inspector: null_mut(),
            server: null_mut(),
            writer: null_mut(),
            set: null_mut(),
            aligner: null_mut(),
            frames: Vec::new(),
        }
    }

    fn open(&mut self, ops: &mut Ops<'_>) {
        // That of arbitrary bytes, or its own server's.
        let name = if ops.below(4) == 0 { &self.own } else { &self.name }.as_ptr();
        match ops.below(4) {
            0 | 1 => {
                call!(shmx_client_free(&raw mut self.client));
                let mut options = Buffer::of::<shmx_client_options>(ops);
                options.scramble(ops, 2);
                // No waiting for a server.
                options.0[3] = 0;
                options.0[4] = 0;
                let all = ops.below(2) == 0;
                let options: *const c_void = if all { null() } else { options.place() };
                let status = call!(shmx_client_open(name, options, &raw mut self.client));
                assert_eq!(status == shmx_status::Ok, !self.client.is_null());
            }
            2 => {
                call!(shmx_tap_free(&raw mut self.tap));
                let mut options = Buffer::of::<shmx_tap_options>(ops);
                options.scramble(ops, 3);
                let status = call!(shmx_tap_open(name, options.place(), &raw mut self.tap));
                assert_eq!(status == shmx_status::Ok, !self.tap.is_null());
            }
            _ => {
                call!(shmx_inspector_free(&raw mut self.inspector));
                call!(shmx_inspector_open(name, &raw mut self.inspector));
            }
        }
    }

    /// Takes a frame by one of the ways there are, and looks at all of it.
    fn take(&mut self, ops: &mut Ops<'_>) {
        let mut view = Buffer::of::<shmx_view>(ops);
        let before = view.0;
        let status = match ops.below(7) {
            6 => call!(shmx_tap_wait(self.tap, u64::from(ops.u8()) * 100, view.place())),
            0 => call!(shmx_client_latest(self.client, view.place())),
            1 => call!(shmx_client_next(self.client, 0, view.place())),
            2 => call!(shmx_client_wait(self.client, u64::from(ops.u8()) * 100, view.place())),
            3 => call!(shmx_client_read_id(self.client, u64::from(ops.u8()), view.place())),
            4 => call!(shmx_tap_next(self.tap, 0, view.place())),
            _ => call!(shmx_tap_latest(self.tap, view.place())),
        };
        if status == shmx_status::Ok {
            look(&mut view, ops);
            let mut lend = 0;
            call!(shmx_client_lent(self.client, &raw mut lend));
        } else {
            assert_eq!(before, view.0, "an out-parameter is touched by success only");
        }
        if ops.below(3) == 0 && self.frames.len() < 4 {
            let mut kept = null_mut();
            let status = if ops.below(2) == 0 {
                call!(shmx_client_keep(self.client, &raw mut kept))
            } else {
                call!(shmx_tap_keep(self.tap, &raw mut kept))
            };
            assert_eq!(status == shmx_status::Ok, !kept.is_null());
            self.frames.push(kept);
        }
    }

    /// A frame that is read while it is written, at any step of the way.
    fn follow(&mut self, ops: &mut Ops<'_>) {
        let timeout = u64::from(ops.u8()) * 100;
        if ops.below(4) == 0 {
            let mut view = Buffer::of::<shmx_view>(ops);
            let before = view.0;
            if call!(shmx_client_finish(self.client, timeout, view.place())) == shmx_status::Ok {
                look(&mut view, ops);
            } else {
                assert_eq!(before, view.0, "an out-parameter is touched by success only");
            }
            return;
        }
        let mut following = Buffer::of::<shmx_following>(ops);
        let before = following.0;
        let status = match ops.below(4) {
            0 => call!(shmx_client_follow(self.client, timeout, following.place())),
            1 => call!(shmx_client_follow_next(self.client, timeout, following.place())),
            _ => call!(shmx_client_follow_wait(self.client, timeout, following.place())),
        };
        if status != shmx_status::Ok {
            assert_eq!(before, following.0, "an out-parameter is touched by success only");
            return;
        }
        let mut found = Prefix { stream_id: 0, elem_count: 0, data: null(), bytes: 0, total_bytes: 0 };
        call!(shmx_following_stream(following.place(), ops.below(4).into(), &raw mut found));
        let mut index = 0;
        while call!(shmx_following_at(following.place(), index, &raw mut found)) == shmx_status::Ok {
            index += 1;
            assert!(found.bytes <= found.total_bytes);
            read_all(found.data, found.bytes);
        }
    }

    /// A stream that is filled in pieces.
    fn fill(&mut self, ops: &mut Ops<'_>) {
        match ops.below(5) {
            0 | 1 => drop(call!(shmx_writer_fill(self.writer, asked(ops).as_ptr().cast(), ops.u8().into()))),
            2 => {
                let (mut room, mut bytes) = (null_mut(), 0);
                if call!(shmx_writer_fill_rest(self.writer, &raw mut room, &raw mut bytes)) == shmx_status::Ok {
                    assert!(bytes > 0);
                    #[allow(unsafe_code)]
                    // SAFETY: as the header says: so many bytes may be written.
                    unsafe {
                        room.cast::<u8>().write_bytes(7, bytes);
                    }
                }
            }
            3 => {
                let count = if ops.below(8) == 0 { usize::MAX } else { ops.u8().into() };
                call!(shmx_writer_fill_commit(self.writer, count));
            }
            _ => {
                let data = ops.bytes(16);
                call!(shmx_writer_fill_write(self.writer, data.as_ptr().cast(), data.len()));
            }
        }
    }

    fn ask(&mut self, ops: &mut Ops<'_>) {
        let mut buffer = Buffer::of::<shmx_region>(ops);
        match ops.below(10) {
            8 => {
                let asked = asked(ops);
                let (mut id, mut session) = (0, 0);
                call!(shmx_tap_find(self.tap, asked.as_ptr().cast(), &raw mut id, &raw mut session));
                for &frame in &self.frames {
                    call!(shmx_frame_find(frame, asked.as_ptr().cast(), &raw mut id));
                }
            }
            9 => {
                let mut directory = null_mut();
                call!(shmx_tap_directory(self.tap, &raw mut directory));
                call!(shmx_directory_free(&raw mut directory));
            }
            0 => drop(call!(shmx_client_region(self.client, buffer.place()))),
            1 => drop(call!(shmx_client_header(self.client, Buffer::of::<shmx_header>(ops).place()))),
            2 => drop(call!(shmx_client_stats(self.client, Buffer::of::<shmx_stats>(ops).place()))),
            3 => {
                let mut directory = null_mut();
                call!(shmx_client_directory(self.client, &raw mut directory));
                let mut info = Buffer::of::<shmx_stream_info>(ops);
                let mut index = 0;
                while call!(shmx_directory_at(directory, index, info.place())) == shmx_status::Ok {
                    index += 1;
                }
                call!(shmx_directory_free(&raw mut directory));
                call!(shmx_directory_free(&raw mut directory));
            }
            4 => {
                let asked = asked(ops);
                let (mut id, mut session) = (0, 0);
                call!(shmx_client_find(self.client, asked.as_ptr().cast(), &raw mut id, &raw mut session));
            }
            5 => {
                let mut age = 0;
                call!(shmx_client_age(self.client, &raw mut age));
                call!(shmx_client_release(self.client, ops.below(4).into()));
            }
            6 => {
                let body = ops.bytes(40);
                let length = if ops.below(8) == 0 { 0 } else { body.len() };
                call!(shmx_client_send(self.client, ops.word(), body.as_ptr().cast(), length));
            }
            _ => drop(call!(shmx_client_reopen(self.client))),
        }
    }

    /// Several readers at once.
    fn together(&mut self, ops: &mut Ops<'_>) {
        let mut token = 0;
        match ops.below(8) {
            0 => {
                call!(shmx_wait_set_free(&raw mut self.set));
                call!(shmx_wait_set_new(&raw mut self.set));
            }
            1 => drop(call!(shmx_wait_set_add_client(self.set, self.client, &raw mut token))),
            2 => drop(call!(shmx_wait_set_add_tap(self.set, self.tap, &raw mut token))),
            3 => drop(call!(shmx_wait_set_remove(self.set, ops.below(4).into()))),
            4 => {
                let (mut tokens, mut count) = ([0; 4], 0);
                let room = ops.below(5).into();
                call!(shmx_wait_set_wait(self.set, ops.u8().into(), tokens.as_mut_ptr(), room, &raw mut count));
            }
            5 => {
                call!(shmx_aligner_free(&raw mut self.aligner));
                call!(shmx_aligner_new(ops.below(4).into(), u64::from(ops.word()), &raw mut self.aligner));
            }
            6 if ops.below(2) == 0 => {
                call!(shmx_aligner_add_client(self.aligner, &raw mut self.client));
                assert!(self.client.is_null());
            }
            6 => {
                call!(shmx_aligner_add_tap(self.aligner, &raw mut self.tap));
                assert!(self.tap.is_null());
            }
            _ => {
                let (mut frames, mut spread) = ([null_mut(); 4], 0);
                call!(shmx_aligner_next(self.aligner, 0, frames.as_mut_ptr(), 4, &raw mut spread));
                for frame in &mut frames {
                    call!(shmx_frame_free(&raw mut *frame));
                }
            }
        }
    }

    fn inspect(&mut self, ops: &mut Ops<'_>) {
        match ops.below(6) {
            4 => {
                let (mut id, mut state) = (0, 0);
                call!(shmx_inspector_checksum(self.inspector, ops.below(8).into(), &raw mut id, &raw mut state));
            }
            5 => {
                let mut frame = null_mut();
                call!(shmx_inspector_latest(self.inspector, &raw mut frame));
                call!(shmx_frame_free(&raw mut frame));
            }
            0 => {
                let mut frame = null_mut();
                call!(shmx_inspector_slot(
                    self.inspector,
                    ops.below(8).into(),
                    Buffer::of::<shmx_slot>(ops).place(),
                    &raw mut frame
                ));
                if !frame.is_null() {
                    let mut view = Buffer::of::<shmx_view>(ops);
                    if call!(shmx_frame_view(frame, view.place())) == shmx_status::Ok {
                        look(&mut view, ops);
                    }
                }
                call!(shmx_frame_free(&raw mut frame));
            }
            1 => {
                let mut readers = [[0_u64; 16]; 4];
                let size = if ops.below(4) == 0 { usize::from(ops.u8()) } else { size_of::<shmx_reader>() };
                // What the caller says of its own memory is true.
                let capacity = size_of_val(&readers).checked_div(size).unwrap_or(4);
                let mut count = 0;
                call!(shmx_inspector_readers(
                    self.inspector,
                    readers.as_mut_ptr().cast(),
                    size,
                    capacity,
                    &raw mut count
                ));
            }
            2 => {
                let mut messages = null_mut();
                call!(shmx_inspector_peek(self.inspector, ops.below(5).into(), &raw mut messages));
                all_of(&mut messages, ops);
            }
            _ => {
                let mut room = [0_u8; 64];
                let mut got = 0;
                let at = ops.word() as usize;
                call!(shmx_inspector_read(self.inspector, at, room.as_mut_ptr().cast(), 64, &raw mut got));
                assert!(got <= 64);
            }
        }
    }

    fn serve(&mut self, ops: &mut Ops<'_>) {
        match ops.below(15) {
            8 => {
                // A stream, its data, and their length.
                let (data, stream) = (ops.bytes(48), asked(ops));
                let part = [stream[0], stream[1], stream[2], data.as_ptr() as u64, data.len() as u64];
                call!(shmx_writer_append(self.writer, part.as_ptr().cast()));
            }
            9 => {
                let mut room: *mut c_void = null_mut();
                let bytes = usize::from(ops.u8());
                let status = call!(shmx_writer_reserve(self.writer, asked(ops).as_ptr().cast(), bytes, &raw mut room));
                if status == shmx_status::Ok && bytes > 0 {
                    #[allow(unsafe_code)]
                    // SAFETY: as the header says: so many bytes may be written.
                    unsafe {
                        room.cast::<u8>().write_bytes(7, bytes);
                    }
                }
            }
            10 if self.writer.is_null() => {
                call!(shmx_server_begin_when_taken(self.server, ops.u8().into(), &raw mut self.writer));
            }
            11 => {
                let mut spec = Buffer::of::<shmx_stream_spec>(ops);
                spec.scramble(ops, 3);
                spec.0[4] = if ops.below(2) == 0 { 0 } else { c"new".as_ptr() as u64 };
                call!(shmx_server_add_stream(self.server, spec.place()));
            }
            12 => {
                call!(shmx_server_wait_taken(self.server, ops.u8().into(), ops.below(2).into(), ops.u8().into()));
                if ops.below(8) == 0 && !self.server.is_null() {
                    call!(shmx_server_close(self.server));
                }
            }
            0 => {
                call!(shmx_server_free(&raw mut self.server));
                let mut options = Buffer::of::<shmx_server_options>(ops);
                options.scramble(ops, 4);
                // Small, and with nothing that the caller would have to keep.
                let small = |word: u64| word & 0x0000_003f_0000_00ff;
                for word in &mut options.0[1..5] {
                    *word = small(*word);
                }
                // Frames that stay, and what is reserved.
                options.0[9] = u64::from(ops.below(4)) | u64::from(ops.below(8) == 0) << 32;
                call!(shmx_server_create(self.own.as_ptr(), options.place(), &raw mut self.server));
            }
            1 if self.writer.is_null() => drop(call!(shmx_server_begin(self.server, &raw mut self.writer))),
            2 => {
                let records = ops.bytes(48);
                call!(shmx_writer_append_records(self.writer, records.as_ptr().cast(), records.len(), ops.word()));
            }
            3 => drop(call!(shmx_writer_commit(self.writer, ops.word(), ops.word()))),
            4 => {
                let mut id = 0;
                call!(shmx_writer_publish(&raw mut self.writer, 0.0, &raw mut id));
                assert!(self.writer.is_null());
            }
            5 => call!(shmx_writer_abandon(&raw mut self.writer)),
            6 => {
                let records = ops.bytes(48);
                call!(shmx_server_append_records(self.server, records.as_ptr().cast(), records.len()));
                call!(shmx_server_publish(self.server, 0.0, null(), usize::from(ops.below(2)), null_mut()));
            }
            7 => {
                let (data, stream) = (ops.bytes(48), asked(ops));
                let part = [stream[0], stream[1], stream[2], data.as_ptr() as u64, data.len() as u64];
                let parts = [part, part];
                let (count, mut id) = (ops.below(3).into(), 0);
                call!(shmx_server_publish(self.server, 0.5, parts.as_ptr().cast(), count, &raw mut id));
            }
            13 => {
                let (records, mut id) = (ops.bytes(48), 0);
                let (data, bytes) = (records.as_ptr().cast(), records.len());
                call!(shmx_server_publish_records(self.server, 0.5, data, bytes, ops.word(), &raw mut id));
            }
            _ => {
                let mut messages = null_mut();
                call!(shmx_server_poll(self.server, 8, &raw mut messages));
                all_of(&mut messages, ops);
            }
        }
    }

    fn step(&mut self, ops: &mut Ops<'_>, live: &Live) {
        match ops.below(24) {
            22 | 23 => {
                let mut out = match ops.below(3) {
                    0 => Buffer::of::<shmx_region>(ops),
                    1 => Buffer::of::<shmx_header>(ops),
                    _ => Buffer::of::<shmx_stats>(ops),
                };
                let handles = Handles {
                    client: self.client,
                    tap: self.tap,
                    inspector: self.inspector,
                    server: self.server,
                    writer: &mut self.writer,
                    set: self.set,
                    aligner: self.aligner,
                };
                capi_state::ask(handles, ops, out.place());
            }
            18 | 19 => self.follow(ops),
            20 | 21 => self.fill(ops),
            16 | 17 => self.together(ops),
            0 | 1 => self.open(ops),
            2..=7 => self.take(ops),
            8 | 9 => self.ask(ops),
            10 => self.inspect(ops),
            11 | 12 => self.serve(ops),
            13 if !self.frames.is_empty() => {
                let at = usize::from(ops.u8()) % self.frames.len();
                let mut view = Buffer::of::<shmx_view>(ops);
                if call!(shmx_frame_view(self.frames[at], view.place())) == shmx_status::Ok {
                    look(&mut view, ops);
                }
                call!(shmx_frame_free(&raw mut self.frames[at]));
                call!(shmx_frame_free(&raw mut self.frames[at]));
                self.frames.swap_remove(at);
            }
            14 => drop(call!(shmx_client_close(self.client))),
            _ => {
                let (at, word) = (usize::from(ops.u16()) % live.bytes().len(), ops.word().to_ne_bytes());
                store(live.bytes(), at, &word);
            }
        }
    }
}

impl Drop for Caller {
    fn drop(&mut self) {
        // In an order that no header asks for: frames outlive their readers, a frame under construction its server.
        call!(shmx_client_free(&raw mut self.client));
        call!(shmx_server_free(&raw mut self.server));
        call!(shmx_writer_abandon(&raw mut self.writer));
        call!(shmx_tap_free(&raw mut self.tap));
        call!(shmx_inspector_free(&raw mut self.inspector));
        call!(shmx_wait_set_free(&raw mut self.set));
        call!(shmx_aligner_free(&raw mut self.aligner));
        for frame in &mut self.frames {
            call!(shmx_frame_free(&raw mut *frame));
        }
    }
}

/// Number and type; components, and what is reserved; name.
fn asked(ops: &mut Ops<'_>) -> [u64; 3] {
    let name = if ops.below(2) == 0 { null() } else { c"tick".as_ptr() };
    let reserved = u64::from(ops.below(8) == 0) << 32;
    [u64::from(ops.word()) | u64::from(ops.below(15)) << 32, u64::from(ops.below(4)) | reserved, name as u64]
}

/// Every stream of a view, and every byte of it.
fn look(view: &mut Buffer, ops: &mut Ops<'_>) {
    let mut found = Data { stream_id: 0, elem_count: 0, data: null(), bytes: 0 };
    call!(shmx_view_stream(view.place(), ops.below(4).into(), &raw mut found));
    let mut index = 0;
    while call!(shmx_view_at(view.place(), index, &raw mut found)) == shmx_status::Ok {
        index += 1;
        read_all(found.data, found.bytes);
    }
}

fn read_all(data: *const u8, bytes: usize) {
    for i in 0..bytes {
        #[allow(unsafe_code)]
        // SAFETY: as the header says of what it hands out: so many bytes may be read.
        let _ = unsafe { data.wrapping_add(i).read_volatile() };
    }
}

fn all_of(messages: &mut *mut shmx_messages, ops: &mut Ops<'_>) {
    let mut message = Buffer::of::<shmx_message>(ops);
    let mut index = 0;
    while call!(shmx_messages_at(*messages, index, message.place())) == shmx_status::Ok {
        index += 1;
    }
    call!(shmx_messages_free(messages));
}
