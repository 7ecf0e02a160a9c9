//! Messages that claim to be systemd's.
#![no_main]

use libfuzzer_sys::fuzz_target;
use process::fdstore::{dbus, links, units};

fuzz_target!(|bytes: &[u8]| {
    if let Some(Some((_, reply))) = dbus::parse(bytes) {
        let _ = (units(&reply), links(&reply));
    }
});
