//! Thin: the body is `shmx_fuzz::bridge::run`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| shmx_fuzz::bridge::run(data));
