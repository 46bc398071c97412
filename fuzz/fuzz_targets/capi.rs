//! Thin: the body is `shmx_fuzz::capi::run`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| shmx_fuzz::capi::run(data));
