//! Programs whose tables somebody has damaged: whatever is said of them, it is said soon, and nothing panics.

use crate::common::{Build, FLAVOURS, build};
use gobinary::{Executable, Layouts, Region, Types};
use std::time::{Duration, Instant};

/// Damaged copies of each program.
const COPIES: u64 = 150;
/// What one may take, on a busy machine.
const PATIENCE: Duration = Duration::from_secs(5);

/// Numbers without order, the same in every run.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % limit
    }
}

/// Asks everything.
fn ask(bytes: &[u8], random: &mut Random) -> usize {
    let Ok(executable) = Executable::parse(bytes) else {
        return 0;
    };
    let mut answers = usize::from(executable.build_info().is_ok());
    if let Ok(table) = executable.functions() {
        for segment in executable.segments().iter().filter(|s| s.executable) {
            for _ in 0..50 {
                let pc = segment
                    .addr
                    .wrapping_add(random.below(segment.mem_size.max(1)));
                answers += usize::from(table.frames(pc).is_ok_and(|f| !f.is_empty()));
                let _ = table.frame_size(pc);
            }
        }
        let _ = table.by_names(&["main.leaf", "crosscall2"]);
    }
    let Ok(module) = executable.module() else {
        return answers;
    };
    let types = Types::new(&executable, &[module], 26);
    for _ in 0..200 {
        let addr = module
            .types
            .start
            .wrapping_add(random.below(module.types.size().max(1)))
            & !7;
        if let Ok(ty) = types.read(addr) {
            answers += usize::from(
                types
                    .fields(&ty)
                    .is_ok_and(|mut all| all.all(|field| field.is_ok())),
            );
        }
    }
    let Some(layout) = Layouts::for_release(26, executable.arch()) else {
        return answers;
    };
    let regions: Vec<Region> = (executable.segments().iter())
        .map(|s| Region {
            start: s.addr,
            end: s.addr.wrapping_add(s.mem_size),
            writable: s.writable,
            executable: s.executable,
            offset: s.offset,
            file: None,
        })
        .collect();
    let _ = executable.live_modules(&executable, &regions, 0, layout);
    answers
}

/// Where a table stands in the file: damage anywhere else would be seen by nobody.
fn targets(executable: &Executable) -> Vec<(u64, u64)> {
    let module = executable.module().expect("a Go program");
    let offset = |addr: u64| {
        let holds = |s: &&gobinary::Segment| (s.addr..s.addr + s.file_size).contains(&addr);
        let segment = executable
            .segments()
            .iter()
            .find(holds)
            .expect("it is loaded");
        addr - segment.addr + segment.offset
    };
    let (info, size) = executable.section(".go.buildinfo").expect("not packed");
    vec![
        (0, 1024),
        (offset(module.addr), 600),
        (offset(module.pc_header), 72),
        (offset(module.ftab.addr), module.ftab.len * 8),
        (offset(module.pclntable.addr), module.pclntable.len),
        (offset(module.pctab.addr), module.pctab.len),
        (offset(module.cutab.addr), module.cutab.len * 4),
        (offset(module.types.start), module.types.size().min(1 << 20)),
        (offset(info), size),
    ]
}

fn check(how: Build) {
    let built = build("frames", how);
    let whole = built.bytes();
    let targets = targets(&Executable::parse(&whole).expect("an executable"));
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    assert!(
        ask(&whole, &mut random) > 40,
        "{how:?}: without damage there are answers"
    );
    for copy in 0..COPIES {
        let mut bytes = whole.clone();
        let (start, size) = targets[(copy % targets.len() as u64) as usize];
        for _ in 0..=random.below(1 + size / 16) {
            let at = (start + random.below(size)) as usize;
            bytes[at] = [0, 0xff, 0x7f, 0x80, random.below(256) as u8][random.below(5) as usize];
        }
        let asked = Instant::now();
        ask(&bytes, &mut random);
        assert!(
            asked.elapsed() < PATIENCE,
            "{how:?}: copy {copy}: {:?}",
            asked.elapsed()
        );
    }
}

#[test]
fn damage_is_survived() {
    for how in FLAVOURS {
        check(how);
    }
}
