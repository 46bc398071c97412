//! Thin: the body is `shmx_fuzz::server::run`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| shmx_fuzz::server::run(data));
