//! The layouts of structs in an ELF file's debugging information.
#![no_main]

use gobinary::layout::Layout;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let _ = Layout::from_dwarf(bytes);
});
