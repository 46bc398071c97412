//! Thin: the body is `shmx_fuzz::inspector::run`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| shmx_fuzz::inspector::run(data));
libfuzzer_sys::fuzz_mutator!(|data: &mut [u8], size: usize, max_size: usize, seed: u32| {
    shmx_fuzz::mutate::mutate(data, size, max_size, seed, 0, libfuzzer_sys::fuzzer_mutate)
});
