//! Names in a bpffs. Every scene has a mount namespace and a bpffs of its own,
//! at the same path as everybody else's.

use e2e::bpf::{self, Kind};
use e2e::files::{self, hard_link, open_path, private_bpffs, unlink};
use e2e::scene::{Child, Inherit};
use e2e::{Expect, Who, by, here, lastref, scene, sys};
use serde_json::{Value, json};

/// A pin, with the descriptor that made it closed: what leaks outlive their
/// owners look like.
#[test]
fn one_pin() {
    let Some(s) = scene(here!(), |stage| {
        let pin = private_bpffs()?.join("e2e_pin");
        let map = bpf::hash("e2e_pin")?;
        map.pin(&pin)?;
        stage.ready(scene::closed([("map", map)]))
    }) else {
        return;
    };
    let pin = Who::pin(s.pid, &["/sys/fs/bpf/e2e_pin"]);
    let report = s.check_and_why(&[Expect::map(s.id("map"), [by("pin", 1, [pin.clone()])])
        .state(&["orphan-pin"])
        .kept_by([pin])]);
    // Removing the pin is what lets it go, and it says so.
    let steps = report["to_release"].as_array().expect("a list of steps");
    assert_eq!(steps.len(), 1, "{steps:?}");
    assert_eq!(steps[0]["holder"]["type"], "pin");
    assert_eq!(
        steps[0]["frees"],
        json!([lastref::name(Kind::Map, s.id("map"))])
    );
    let action = steps[0]["do"].as_str().unwrap_or_default();
    assert_eq!(
        action,
        format!("rm /proc/{}/root/sys/fs/bpf/e2e_pin", s.pid)
    );
}

#[test]
fn a_pin_and_a_descriptor() {
    let Some(s) = scene(here!(), |stage| {
        let pin = private_bpffs()?.join("e2e_both");
        let map = bpf::hash("e2e_both")?;
        map.pin(&pin)?;
        stage.ready(json!({"map": map.id, "map_fd": map.fd()}))
    }) else {
        return;
    };
    let pin = Who::pin(s.pid, &["/sys/fs/bpf/e2e_both"]);
    let me = Who::process(s.pid, [s.id("map_fd")]);
    s.check_and_why(&[Expect::map(
        s.id("map"),
        [by("pin", 1, [pin.clone()]), by("fd", 1, [me.clone()])],
    )
    .kept_by([pin, me])]);
}

/// A descriptor that came through the pin, by `BPF_OBJ_GET`.
#[test]
fn opened_again_through_the_pin() {
    let Some(s) = scene(here!(), |stage| {
        let pin = private_bpffs()?.join("e2e_obj_get");
        let map = bpf::hash("e2e_obj_get")?;
        map.pin(&pin)?;
        drop(map);
        let files = [
            bpf::open_pin(Kind::Map, &pin)?,
            bpf::open_pin(Kind::Map, &pin)?,
        ];
        let fds = files.each_ref().map(bpf::Object::fd);
        stage.ready(json!({"map": files[0].id, "fds": fds}))
    }) else {
        return;
    };
    let pin = Who::pin(s.pid, &["/sys/fs/bpf/e2e_obj_get"]);
    let me = Who::process(s.pid, s.ids("fds"));
    s.check_and_why(&[Expect::map(
        s.id("map"),
        [by("pin", 1, [pin]), by("fd", 2, [me])],
    )]);
}

/// A hard link is another name of the same inode: no further reference.
#[test]
fn a_hard_linked_pin() {
    let Some(s) = scene(here!(), |stage| {
        let bpffs = private_bpffs()?;
        let map = bpf::hash("e2e_hard")?;
        map.pin(&bpffs.join("e2e_hard"))?;
        hard_link(&bpffs.join("e2e_hard"), &bpffs.join("e2e_link"))?;
        stage.ready(scene::closed([("map", map)]))
    }) else {
        return;
    };
    let pin = Who::pin(s.pid, &["/sys/fs/bpf/e2e_hard", "/sys/fs/bpf/e2e_link"]);
    s.check_and_why(&[Expect::map(s.id("map"), [by("pin", 1, [pin])]).state(&["orphan-pin"])]);
}

/// Two pins are two inodes: two references.
#[test]
fn two_pins() {
    let Some(s) = scene(here!(), |stage| {
        let folder = private_bpffs()?.join("e2e folder");
        std::fs::create_dir(&folder).map_err(sys::io("mkdir in bpffs"))?;
        let map = bpf::hash("e2e_two")?;
        map.pin(&folder.join("one"))?;
        map.pin(&folder.join("two"))?;
        stage.ready(scene::closed([("map", map)]))
    }) else {
        return;
    };
    let pins = ["one", "two"].map(|name| {
        let path = format!("/sys/fs/bpf/e2e folder/{name}");
        by("pin", 1, [Who::pin(s.pid, &[&path])])
    });
    s.check_and_why(&[Expect::map(s.id("map"), pins).state(&["orphan-pin"])]);
}

/// Pinned under the same path in two mount namespaces, each with its own bpffs.
#[test]
fn the_same_path_in_two_mount_namespaces() {
    let Some(s) = scene(here!(), |stage| {
        let map = bpf::hash("e2e_two_ns")?;
        let id = map.id;
        let other = Child::start(Inherit::Nothing, move |stage| {
            let map = bpf::by_id(Kind::Map, id)?;
            map.pin(&private_bpffs()?.join("e2e_two_ns"))?;
            drop(map);
            stage.ready(json!({}))
        })?;
        map.pin(&private_bpffs()?.join("e2e_two_ns"))?;
        drop(map);
        stage.ready(json!({"map": id, "other": other.pid}))
    }) else {
        return;
    };
    let pins = [s.pid, s.id("other")]
        .map(|pid| by("pin", 1, [Who::pin(pid, &["/sys/fs/bpf/e2e_two_ns"])]));
    s.check_and_why(&[Expect::map(s.id("map"), pins).state(&["orphan-pin"])]);
}

/// A pin in lastref's own mount namespace: no other namespace to enter.
#[test]
fn in_our_own_mount_namespace() {
    let Some(s) = scene(here!(), |stage| {
        let pin = private_bpffs()?.join("e2e_own_ns");
        let map = bpf::hash("e2e_own_ns")?;
        map.pin(&pin)?;
        stage.ready(scene::closed([("map", map)]))
    }) else {
        return;
    };
    let path = "/sys/fs/bpf/e2e_own_ns";
    let pin = Who::pin(s.pid, &[path]);
    let expected = [Expect::map(s.id("map"), [by("pin", 1, [pin])]).state(&["orphan-pin"])];
    let inside = |arguments: &[&str]| lastref::json(&lastref::run_in_mounts_of(s.pid, arguments));
    s.check_with(&expected, || inside(&["ls", "--json"]));
    // By path, as one would name it there.
    s.check_with(&expected, || {
        let report = inside(&["why", path, "--json"]);
        let holder = &report["object"]["references"][0]["holders"][0];
        assert_eq!(holder["enter_pid"], Value::Null, "{holder}");
        json!({"objects": [report["object"]]})
    });
}

/// Unlinked, but the inode is kept by a file that is open on it with `O_PATH`.
#[test]
fn an_unlinked_pin_kept_by_an_open_file() {
    let Some(s) = scene(here!(), |stage| {
        let pin = private_bpffs()?.join("e2e_unlinked");
        let map = bpf::hash("e2e_unlinked")?;
        map.pin(&pin)?;
        let id = map.id;
        drop(map);
        let open = open_path(&pin)?;
        unlink(&pin)?;
        stage.ready(json!({"map": id}))?;
        drop(open);
        Ok(())
    }) else {
        return;
    };
    let pin = Who::Pin {
        names: vec![],
        namespace: None,
        unlinked: true,
    };
    // A pin without a name: whether the process behind it counts as a chain's
    // end is not laid down.
    s.check_and_why(&[Expect::map(s.id("map"), [by("pin", 1, [pin])]).state(&[
        "orphan-pin",
        "in-use",
        "unknown",
    ])]);
}

/// A pinned program keeps the map that it uses.
#[test]
fn a_pinned_program() {
    let Some(s) = scene(here!(), |stage| {
        let bpffs = private_bpffs()?;
        let map = bpf::hash("e2e_pin_used")?;
        let prog = bpf::filter_using("e2e_pin_prog", &[&map])?;
        prog.pin(&bpffs.join("e2e_prog"))?;
        let report = json!({"map": map.id, "prog": prog.id});
        drop((map, prog));
        stage.ready(report)
    }) else {
        return;
    };
    let pin = Who::pin(s.pid, &["/sys/fs/bpf/e2e_prog"]);
    s.check_and_why(&[
        Expect::map(s.id("map"), [by("prog", 1, [Who::prog(s.id("prog"))])])
            .state(&["orphan-pin"])
            .kept_by([pin.clone()]),
        Expect::prog(s.id("prog"), [by("pin", 1, [pin])])
            .state(&["orphan-pin"])
            .field("maps", json!([s.id("map")])),
    ]);
}

/// The mount point's name has everything that `mountinfo` escapes.
#[test]
fn in_a_bpffs_with_an_odd_mount_point() {
    let folder = "/sys/fs/bpf/a b\tc\nd\\e#f";
    let Some(s) = scene(here!(), move |stage| {
        files::private_mounts()?;
        let folder = std::path::Path::new(folder);
        files::mount("tmpfs", std::path::Path::new(files::BPFFS))?;
        std::fs::create_dir(folder).map_err(sys::io("mkdir"))?;
        files::mount("bpf", folder)?;
        let map = bpf::hash("e2e_odd")?;
        map.pin(&folder.join("pin"))?;
        stage.ready(scene::closed([("map", map)]))
    }) else {
        return;
    };
    let pin = Who::pin(s.pid, &[&format!("{folder}/pin")]);
    s.check_and_why(&[Expect::map(s.id("map"), [by("pin", 1, [pin])]).state(&["orphan-pin"])]);
}

/// Only a folder of the bpffs is mounted, as containers have it.
#[test]
fn in_a_folder_that_is_mounted_alone() {
    let Some(s) = scene(here!(), |stage| {
        files::private_mounts()?;
        let root = std::path::Path::new(files::BPFFS);
        files::mount("tmpfs", root)?;
        let (whole, alone) = (root.join("whole"), root.join("alone"));
        for folder in [&whole, &alone] {
            std::fs::create_dir(folder).map_err(sys::io("mkdir"))?;
        }
        files::mount("bpf", &whole)?;
        let inside = whole.join("pod").join("7");
        std::fs::create_dir_all(&inside).map_err(sys::io("mkdir in bpffs"))?;
        let map = bpf::hash("e2e_alone")?;
        map.pin(&inside.join("pin"))?;
        files::bind(&whole.join("pod"), &alone)?;
        files::unmount(&whole)?;
        stage.ready(scene::closed([("map", map)]))
    }) else {
        return;
    };
    let pin = Who::pin(s.pid, &["/sys/fs/bpf/alone/7/pin"]);
    s.check_and_why(&[Expect::map(s.id("map"), [by("pin", 1, [pin])]).state(&["orphan-pin"])]);
}

/// No process has the bpffs mounted; an open directory keeps it, with its pins.
#[test]
fn a_bpffs_that_is_mounted_nowhere_any_more() {
    let Some(s) = scene(here!(), |stage| {
        let bpffs = private_bpffs()?;
        let map = bpf::hash("e2e_detached")?;
        map.pin(&bpffs.join("e2e_detached"))?;
        let id = map.id;
        drop(map);
        // The open directory keeps the file system after it is unmounted.
        let folder = open_path(&bpffs)?;
        files::unmount(&bpffs)?;
        stage.ready(json!({"map": id}))?;
        drop(folder);
        Ok(())
    }) else {
        return;
    };
    let found = |report: &Value| {
        let object = lastref::find(report, Kind::Map, s.id("map"))?;
        Some(object["references"][0]["holders"][0].clone())
    };
    let holder = found(&lastref::ls()).expect("the map is in the report");
    assert_eq!(holder["mount_namespace"], Value::Null, "{holder}");
    let path = holder["path"].as_str().expect("a path").to_owned();
    assert!(path.ends_with("/e2e_detached"), "{path}");
    assert!(path.contains("bpffs"), "{path}");
    let pin = Who::Pin {
        names: vec![path],
        namespace: None,
        unlinked: false,
    };
    s.check_and_why(&[Expect::map(s.id("map"), [by("pin", 1, [pin])]).state(&["orphan-pin"])]);
}

/// Two bpffs on one folder, each with a pin of one name: the path leads to the upper one alone.
#[test]
fn below_another_bpffs_at_the_same_place() {
    let Some(s) = scene(here!(), |stage| {
        let bpffs = private_bpffs()?;
        let pin = bpffs.join("e2e_covered");
        let (lower, upper) = (bpf::hash("e2e_lower")?, bpf::hash("e2e_upper")?);
        lower.pin(&pin)?;
        files::mount("bpf", &bpffs)?;
        upper.pin(&pin)?;
        let report = json!({"lower": lower.id, "upper": upper.id});
        drop((lower, upper));
        stage.ready(report)
    }) else {
        return;
    };
    let step = |map: &str| {
        let report = lastref::why(Kind::Map, s.id(map));
        let step = report["to_release"][0].clone();
        let action = step["do"].as_str().expect("what to do").to_owned();
        (step["holder"].clone(), action)
    };
    let path = "/sys/fs/bpf/e2e_covered";
    let (holder, action) = step("upper");
    assert_eq!(holder["path"], path);
    assert_eq!(action, format!("rm /proc/{}/root{path}", s.pid));
    let (holder, action) = step("lower");
    assert_eq!(holder["mount_namespace"], Value::Null, "{holder}");
    assert!(!action.contains("rm "), "{action}");
    let name = holder["path"].as_str().expect("a path");
    assert!(name.ends_with(")/e2e_covered"), "{name}");
    assert!(action.contains(name), "{action}");
}

/// So far below the root of its bpffs that the way there is not followed: what is left of the path
/// may lead to another pin.
#[test]
fn below_many_folders() {
    const FOLDERS: usize = 130;
    let Some(s) = scene(here!(), |stage| {
        let bpffs = private_bpffs()?;
        let folder = bpffs.join("d/".repeat(FOLDERS));
        std::fs::create_dir_all(&folder).map_err(sys::io("mkdir in bpffs"))?;
        let map = bpf::hash("e2e_deep")?;
        map.pin(&folder.join("pin"))?;
        let id = map.id;
        drop(map);
        stage.ready(json!({"map": id}))
    }) else {
        return;
    };
    let report = lastref::why(Kind::Map, s.id("map"));
    let step = &report["to_release"][0];
    let path = step["holder"]["path"].as_str().expect("a path");
    assert!(path.contains(")…/d/") && path.ends_with("/d/pin"), "{path}");
    let action = step["do"].as_str().expect("what to do");
    assert!(!action.contains("rm "), "{action}");
}

/// Looking leaves no trace: `BPF_OBJ_GET` would change the pin's access time.
#[test]
fn no_pin_is_opened_by_looking() {
    use std::os::unix::fs::MetadataExt;
    let Some(s) = scene(here!(), |stage| {
        let pin = private_bpffs()?.join("e2e_atime");
        let map = bpf::hash("e2e_atime")?;
        map.pin(&pin)?;
        drop(map);
        // Before the epoch's first minute ends: with relatime, an access sets it to now.
        let old = libc::timespec {
            tv_sec: 10,
            tv_nsec: 0,
        };
        // SAFETY: a C string, and two timespecs.
        let result = unsafe {
            libc::utimensat(
                libc::AT_FDCWD,
                c"/sys/fs/bpf/e2e_atime".as_ptr(),
                [old, old].as_ptr(),
                0,
            )
        };
        sys::check("utimensat", i64::from(result))?;
        stage.ready(json!({}))?;
        // The harness's own proof: opening it does change the time.
        bpf::open_pin(Kind::Map, &pin)?;
        stage.ready(json!({}))
    }) else {
        return;
    };
    let mut s = s;
    let path = format!("/proc/{}/root{}/e2e_atime", s.pid, files::BPFFS);
    let atime = || std::fs::metadata(&path).expect("the pin is there").atime();
    assert_eq!(atime(), 10);
    lastref::ls();
    lastref::json(&lastref::run_in_mounts_of(s.pid, &["ls", "--json"]));
    lastref::json(&lastref::run_in_mounts_of(
        s.pid,
        &["why", "/sys/fs/bpf/e2e_atime", "--json"],
    ));
    assert_eq!(atime(), 10, "lastref opened the pin");
    s.advance();
    assert_ne!(atime(), 10, "this test cannot fail");
}
