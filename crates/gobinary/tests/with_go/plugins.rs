//! A process of more than one module.

use crate::common::{Build, NORMAL, build};
use gobinary::{Executable, FunctionTable, Layouts, Types};

#[test]
fn a_plugin_is_a_module_of_its_own() {
    let cgo = Build {
        cgo: true,
        ..NORMAL
    };
    let plugin = build(
        "plugin",
        Build {
            args: &["-buildmode=plugin"],
            package: "./added",
            ..cgo
        },
    );
    let host = build("plugin", cgo);
    let bytes = host.bytes();
    let executable = Executable::parse(&bytes).expect("an executable");
    let running = host.run_with(&[&plugin.path]);
    let regions = running.regions();
    let bias = executable
        .load_bias(&regions, running.file(&host.path))
        .expect("it is mapped");
    let minor = executable
        .build_info()
        .expect("it is there")
        .minor()
        .expect("a release");
    let layout = Layouts::for_release(minor, executable.arch()).expect("known");
    let modules = executable
        .live_modules(&running, &regions, bias, layout)
        .expect("they are there");
    assert_eq!(modules.len(), 2);

    let mut told = 0;
    for line in &running.lines {
        let words: Vec<&str> = line.splitn(3, ' ').collect();
        let addr: u64 = words[1].parse().expect("a number");
        told += 1;
        if words[0] == "entry" {
            let of_program = FunctionTable::new(&running, &modules[0]).expect("its tables");
            assert_eq!(of_program.function(addr).expect("no error"), None);
            let of_plugin = FunctionTable::new(&running, &modules[1]).expect("its tables");
            let function = of_plugin
                .function(addr)
                .expect("no error")
                .expect("its function");
            assert_eq!((function.entry, function.name.as_str()), (addr, words[2]));
        } else {
            let types = Types::new(&running, &modules, minor);
            assert_eq!(types.read(addr).expect("a type").name, words[2]);
        }
    }
    assert_eq!(told, 2);
}
