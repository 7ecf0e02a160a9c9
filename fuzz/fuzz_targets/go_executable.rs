//! A Go executable, or what claims to be one: all that is read of a file.
#![no_main]

use gobinary::{Executable, FuncData, Layouts, PcData, Region, Types};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Ok(executable) = Executable::parse(bytes) else {
        return;
    };
    let minor = executable
        .build_info()
        .ok()
        .and_then(|info| info.minor())
        .unwrap_or(26);
    let regions: Vec<Region> = (executable.segments().iter())
        .map(|s| Region {
            start: s.addr,
            end: s.addr + s.mem_size,
            writable: s.writable,
            executable: s.executable,
            offset: s.offset,
            file: Some((1, 1)),
        })
        .collect();
    let _ = (
        executable.is_go(),
        executable.gnu_build_id(),
        executable.load_bias(&regions, Some((1, 1))),
    );
    if let Ok(table) = executable.functions() {
        let _ = table.by_names(&["main.main", "main.inner"]);
        for pc in executable
            .segments()
            .iter()
            .flat_map(|s| s.addr..s.addr.saturating_add(64))
            .take(256)
        {
            let _ = (table.frames(pc), table.frame_size(pc));
            if let Ok(Some(function)) = table.function(pc) {
                let _ = table.pcdata(&function, PcData::StackMapIndex, pc);
                let _ = table.funcdata(&function, FuncData::LocalsPointerMaps);
            }
        }
    }
    let Some(layout) = Layouts::for_release(minor, executable.arch()) else {
        return;
    };
    let Ok(modules) = executable.live_modules(&executable, &regions, 0, layout) else {
        return;
    };
    let types = Types::new(&executable, &modules, minor);
    let span = modules[0].types;
    for addr in (span.start..span.end).step_by(8).take(256) {
        if let Ok(ty) = types.read(addr) {
            let _ = (
                ty.full_name(),
                types.fields(&ty).map(Iterator::count),
                types.field(&ty, "pfd.Sysfd"),
            );
        }
    }
});
