#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| jetiter_fuzz::fuzzing::run("commands", bytes));
