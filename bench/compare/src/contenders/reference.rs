//! The reference's C++ headers, compiled into a library at run time (`reference.cpp`).

use crate::payload;
use crate::transport::{DEPTH, Opts, Rx, Tx};
use anyhow::{Context, Result, ensure};
use libloading::Library;
use std::ffi::{CString, c_char, c_void};
use std::sync::OnceLock;

/// Where the library is, for both processes.
pub(crate) const LIBRARY: &str = "SHMX_BENCH_REFERENCE";

type Pointer = *mut c_void;

struct Functions {
    server_create: unsafe extern "C" fn(*const c_char, u32, u32) -> Pointer,
    server_destroy: unsafe extern "C" fn(Pointer),
    send: unsafe extern "C" fn(Pointer, *const u64, u32) -> i32,
    client_open: unsafe extern "C" fn(*const c_char) -> Pointer,
    client_close: unsafe extern "C" fn(Pointer),
    poll: unsafe extern "C" fn(Pointer, *mut u32) -> *const u64,
}

fn load() -> Result<Functions> {
    let path = std::env::var_os(LIBRARY).context("the reference was not built")?;
    // SAFETY: the library was built from `reference.cpp` for this; it runs nothing when loaded.
    let library = unsafe { Library::new(&path) }.context("load the reference")?;
    let library: &'static Library = Box::leak(Box::new(library));
    macro_rules! function {
        ($name:literal) => {{
            // SAFETY: `reference.cpp` defines the function with this type.
            let symbol = unsafe { library.get(concat!($name, "\0").as_bytes()) };
            *symbol.with_context(|| format!("find {}", $name))?
        }};
    }
    Ok(Functions {
        server_create: function!("ref_server_create"),
        server_destroy: function!("ref_server_destroy"),
        send: function!("ref_send"),
        client_open: function!("ref_client_open"),
        client_close: function!("ref_client_close"),
        poll: function!("ref_poll"),
    })
}

fn functions() -> Result<&'static Functions> {
    static LOADED: OnceLock<Result<Functions, String>> = OnceLock::new();
    LOADED.get_or_init(|| load().map_err(|e| format!("{e:#}"))).as_ref().map_err(|e| anyhow::anyhow!("{e}"))
}

pub(crate) struct RefTx {
    functions: &'static Functions,
    server: Pointer,
    name: String,
    private: Vec<u64>,
}

impl Tx for RefTx {
    fn create(name: &str, opts: &Opts) -> Result<Self> {
        let functions = functions()?;
        let c_name = CString::new(name)?;
        // SAFETY: a terminated string and two numbers.
        let server = unsafe { (functions.server_create)(c_name.as_ptr(), DEPTH as u32, opts.bytes as u32 + 64) };
        ensure!(!server.is_null(), "the reference cannot create {name}");
        Ok(Self { functions, server, name: name.to_owned(), private: vec![0; payload::words(opts.bytes)] })
    }

    fn send(&mut self, words: usize, mut write: impl FnMut(usize, &mut [u64])) -> Result<()> {
        write(0, &mut self.private);
        // SAFETY: the server is alive, and the buffer has `words` words.
        let sent = unsafe { (self.functions.send)(self.server, self.private.as_ptr(), words as u32) };
        ensure!(sent == 0, "the reference cannot publish");
        Ok(())
    }
}

impl Drop for RefTx {
    fn drop(&mut self) {
        // SAFETY: made by `server_create`, destroyed once.
        unsafe { (self.functions.server_destroy)(self.server) };
        // It never removes its object.
        let _ = std::fs::remove_file(format!("/dev/shm/{}", self.name));
    }
}

pub(crate) struct RefRx {
    functions: &'static Functions,
    client: Pointer,
}

impl Rx for RefRx {
    fn open(name: &str, _opts: &Opts) -> Result<Self> {
        let functions = functions()?;
        let c_name = CString::new(name)?;
        // SAFETY: a terminated string.
        let client = unsafe { (functions.client_open)(c_name.as_ptr()) };
        ensure!(!client.is_null(), "the reference cannot open {name}");
        Ok(Self { functions, client })
    }

    fn try_recv<R>(&mut self, mut read: impl FnMut(&[u64]) -> R) -> Result<Option<R>> {
        let mut words = 0;
        // SAFETY: the client is alive, `words` is a place for the answer.
        let at = unsafe { (self.functions.poll)(self.client, &raw mut words) };
        if at.is_null() {
            return Ok(None);
        }
        // SAFETY: the stream's data in the mapping, 8-byte aligned as the format has it; the harness lets nobody
        // overwrite it before it was read.
        Ok(Some(read(unsafe { std::slice::from_raw_parts(at, words as usize) })))
    }
}

impl Drop for RefRx {
    fn drop(&mut self) {
        // SAFETY: made by `client_open`, closed once.
        unsafe { (self.functions.client_close)(self.client) };
    }
}
