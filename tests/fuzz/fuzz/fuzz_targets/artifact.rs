#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| damper_fuzz::artifact(data));
