//! Functions, files, lines and inlined calls, against what the program's own runtime says of itself.

use crate::common::{Build, FLAVOURS, NORMAL, RELEASES, Running, build};
use gobinary::{Executable, Frame, FunctionTable, Layouts, Memory};

/// The stacks that a program told of: pcs and frames.
fn told(lines: &[String]) -> Vec<Vec<(u64, Frame)>> {
    let mut told = Vec::new();
    for line in lines {
        let words: Vec<&str> = line.splitn(6, ' ').collect();
        match words[..] {
            ["stack"] => told.push(Vec::new()),
            ["frame", pc, inlined, line, function, file] => {
                // Before Go 1.21, Frame.Function says what a generic function was compiled for.
                let function = match (function.find('['), function.rfind(']')) {
                    (Some(i), Some(k)) => format!("{}[...]{}", &function[..i], &function[k + 1..]),
                    _ => function.to_owned(),
                };
                let frame = Frame {
                    function,
                    file: file.to_owned(),
                    line: line.parse().expect("a number"),
                    inlined: inlined == "true",
                };
                let stack = told.last_mut().expect("a stack came first");
                stack.push((pc.parse().expect("a number"), frame));
            }
            _ => {}
        }
    }
    told
}

fn check<M: Memory>(table: &FunctionTable<M>, running: &Running, how: &str) {
    let mut inlined = 0;
    for stack in told(&running.lines) {
        assert!(stack.len() > 4, "{how}: {stack:?}");
        for (i, (pc, _)) in stack.iter().enumerate() {
            let frames = table.frames(*pc).expect(how);
            let expected = stack[i..].iter().map(|(_, frame)| frame).take(frames.len());
            assert!(
                frames.iter().eq(expected),
                "{how}: {pc:#x}: {frames:?}, not {stack:?}"
            );
            assert!(
                frames.last().is_some_and(|f| !f.inlined),
                "{how}: {frames:?}"
            );
            inlined += frames.len() - 1;
        }
    }
    assert!(inlined >= 3, "{how}: {inlined} inlined frames");
    for line in &running.lines {
        let words: Vec<&str> = line.splitn(3, ' ').collect();
        if let ["entry", entry, name] = words[..] {
            let entry: u64 = entry.parse().expect("a number");
            let function = table.function(entry).expect(how).expect(name);
            assert_eq!(
                (function.entry, function.name.as_str()),
                (entry, name),
                "{how}"
            );
            let last = table.function(function.end - 1).expect(how).expect(name);
            assert_eq!(last, function, "{how}");
            assert_eq!(
                table.frame_size(entry).expect(how),
                Some(0),
                "{how}: {name}"
            );
            let found = table.by_names(&["no.such", name]).expect(how);
            assert_eq!(found, [None, Some(function)], "{how}");
        }
    }
}

fn check_build(how: Build) {
    let built = build("frames", how);
    let bytes = built.bytes();
    let name = format!("{how:?}");
    let executable = Executable::parse(&bytes).expect(&name);
    assert!(executable.is_go());
    assert_eq!(executable.is_pie(), how.args.contains(&"-buildmode=pie"));
    let running = built.run();
    let file = running.file(&built.path);
    let bias = executable.load_bias(&running.regions(), file).expect(&name);
    assert_eq!(
        executable.load_bias_of_entry(running.entry()),
        bias,
        "{name}"
    );
    assert_eq!(
        executable.load_bias(&running.regions(), None),
        Some(bias),
        "{name}"
    );
    assert_eq!(bias == 0, !executable.is_pie(), "{name}");
    let info = executable.build_info().expect(&name);
    let layout = Layouts::for_release(info.minor().expect(&name), executable.arch()).expect(&name);

    let module = executable.module().expect(&name);
    let of_file = FunctionTable::new(&executable, &module)
        .expect(&name)
        .with_bias(bias);
    check(&of_file, &running, &name);

    let live = executable
        .live_modules(&running, &running.regions(), bias, layout)
        .expect(&name);
    assert_eq!(live.len(), 1, "{name}");
    assert_eq!(
        live[0].text.start,
        module.text.start.wrapping_add(bias),
        "{name}"
    );
    check(
        &FunctionTable::new(&running, &live[0]).expect(&name),
        &running,
        &name,
    );
}

#[test]
fn as_the_runtime_says() {
    for how in FLAVOURS {
        check_build(how);
    }
}

#[test]
#[ignore = "fetches the toolchains of all releases"]
fn as_the_runtime_of_every_release_says() {
    for go in RELEASES {
        for how in FLAVOURS {
            check_build(Build {
                go: Some(go),
                ..how
            });
        }
    }
}

#[test]
fn what_is_no_code_has_no_frames() {
    let built = build("frames", NORMAL);
    let bytes = built.bytes();
    let executable = Executable::parse(&bytes).expect("built by go");
    let module = executable.module().expect("built by go");
    let table = FunctionTable::new(&executable, &module).expect("built by go");
    for pc in [
        0,
        module.minpc - 1,
        module.maxpc,
        module.types.start,
        u64::MAX,
    ] {
        assert_eq!(table.frames(pc).expect("no error"), [], "{pc:#x}");
        assert_eq!(table.frame_size(pc).expect("no error"), None);
    }
}
