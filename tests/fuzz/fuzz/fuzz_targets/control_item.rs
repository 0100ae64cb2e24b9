#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| damper_fuzz::control_item(data));
