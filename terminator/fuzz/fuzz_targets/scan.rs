//! The log scanner against its definition, for any bytes in chunks of any size.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| terminator::scan::reference::check_input(input));
