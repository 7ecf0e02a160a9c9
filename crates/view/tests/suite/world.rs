//! A host, built in code: a tracing agent, what an earlier one left pinned, a
//! program array, links, and what could not be read.

use model::{
    BtfFacts, By, CannotSee, Container, Detail, Facts, Holder, Kind, LinkFacts, ListReport,
    MapFacts, MemorySource, Object, ObjectId, ObjectRef, PidNamespace, Pin, Process, ProgFacts,
    Reference, ReleaseStep, Snapshot, State, WhyReport,
};

pub fn snapshot() -> Snapshot {
    Snapshot {
        time: "2026-11-24T03:12:45Z".into(),
        boot_id: Some("6d1c1f0e-6f7e-4f0c-9d57-1f2d3c4b5a69".into()),
        kernel: "6.18.44".into(),
        pid_namespace: PidNamespace::Host,
        passes: 1,
        seconds: 0.0042,
        staged_walks: vec![],
        cannot_see: vec![],
    }
}

pub fn agent(fds: Vec<u32>) -> Holder {
    Holder::Process(Box::new(Process {
        pid: 4242,
        ns_pid: Some(1),
        start_ticks: Some(77_001),
        comm: "tetragon".into(),
        exe: Some("/usr/bin/tetragon".into()),
        fds,
        cgroup: Some("/system.slice/tetragon.service".into()),
        unit: Some("tetragon.service".into()),
        ..Process::default()
    }))
}

/// A process of a pod, with one descriptor.
pub fn worker(pid: u32, fds: Vec<u32>) -> Holder {
    Holder::Process(Box::new(Process {
        pid,
        ns_pid: Some(7),
        comm: "worker".into(),
        exe: Some("/app/bin/collect".into()),
        fds,
        cgroup: Some("/kubepods.slice/…".into()),
        container: Some(std::sync::Arc::new(Container {
            runtime: Some("containerd".into()),
            id: "3f1d0c5a9b7e".repeat(5) + "abcd",
            pod_uid: Some("8a6b2c1e-0d4f-4b0a-9a55-2f6f0f1f7c11".into()),
            ..Container::default()
        })),
        ..Process::default()
    }))
}

pub fn pin(path: &str) -> Holder {
    Holder::Pin(Pin {
        path: path.into(),
        mount_namespace: Some(4_026_531_841),
        enter_pid: None,
        also: vec![],
        unlinked: false,
    })
}

pub fn object_ref(kind: Kind, id: u32, name: &str) -> Holder {
    Holder::from_object(
        kind,
        ObjectRef {
            id: Some(id),
            name: name.into(),
        },
    )
}

pub fn held(by: By, count: u64, holder: Holder) -> Reference {
    Reference {
        by,
        count,
        holders: vec![holder],
    }
}

/// An object whose account adds up.
pub fn object(
    kind: Kind,
    id: u32,
    name: &str,
    type_name: &str,
    references: Vec<Reference>,
) -> Object {
    let explained = references.iter().map(|r| r.count).sum();
    let detail = match kind {
        Kind::Map => Detail::Map(MapFacts::default()),
        Kind::Prog => Detail::Prog(ProgFacts {
            tag: "0123456789abcdef".into(),
            maps: vec![],
            attached: true,
        }),
        Kind::Link => Detail::Link(LinkFacts {
            prog_id: Some(5),
            target: None,
            attach_type: None,
            detached: false,
        }),
        Kind::Btf => Detail::Btf(BtfFacts { kernel_btf: false }),
    };
    Object {
        facts: Facts {
            kind,
            id: Some(id),
            name: name.into(),
            type_name: type_name.into(),
            refcnt: Some(explained),
            usercnt: None,
            references,
            own: false,
            memory_bytes: (kind != Kind::Link).then_some(4096),
            memory_source: Some(MemorySource::Fdinfo),
            entries: None,
            max_entries: None,
            charged_to: None,
            unreadable: vec![],
            detail,
        },
        explained,
        unexplained: Some(0),
        settled: true,
        state: State::InUse,
        kept_by: vec![],
    }
}

pub fn link(id: u32, prog: u32, target: &str, references: Vec<Reference>) -> Object {
    let mut link = object(Kind::Link, id, "", "tracing", references);
    link.facts.detail = Detail::Link(LinkFacts {
        prog_id: Some(prog),
        target: Some(target.into()),
        attach_type: Some("trace_fentry".into()),
        detached: false,
    });
    link.kept_by = vec![agent(vec![])];
    link
}

/// The map that everything is about: 1,204 descriptors leaked by the agent.
pub fn conn_events() -> Object {
    let mut map = object(
        Kind::Map,
        17,
        "conn_events",
        "hash",
        vec![
            held(By::Pin, 1, pin("/sys/fs/bpf/tetragon/conn_events")),
            held(By::Prog, 1, object_ref(Kind::Prog, 5, "on_exec")),
            held(By::Fd, 1_204, agent((5..1_209).collect())),
        ],
    );
    map.facts.memory_bytes = Some(8 << 20);
    map.facts.usercnt = Some(1_205);
    map.facts.entries = Some(4_096);
    map.facts.max_entries = Some(65_536);
    map.facts.charged_to = Some("/system.slice/tetragon.service".into());
    map.kept_by = vec![
        agent((5..1_209).collect()),
        pin("/sys/fs/bpf/tetragon/conn_events"),
    ];
    map
}

/// A handful of objects: every state and every oddity once.
pub fn small() -> ListReport {
    let mut jump = object(
        Kind::Map,
        18,
        "tail_calls",
        "prog_array",
        vec![held(By::Prog, 1, object_ref(Kind::Prog, 5, "on_exec"))],
    );
    jump.kept_by = vec![agent(vec![6])];
    let mut old = object(
        Kind::Map,
        31,
        "old_events",
        "ringbuf",
        vec![held(By::Pin, 1, pin("/sys/fs/bpf/v1.1/old_events"))],
    );
    old.state = State::OrphanPin;
    old.facts.memory_bytes = Some(16_805_888);
    old.kept_by = vec![pin("/sys/fs/bpf/v1.1/old_events")];
    let mut odd = object(
        Kind::Map,
        40,
        "sk_storage",
        "sk_storage",
        vec![held(By::Fd, 1, worker(5_150, vec![9]))],
    );
    odd.facts.refcnt = Some(3);
    odd.unexplained = Some(2);
    odd.state = State::Unknown;
    odd.facts.memory_bytes = None;
    odd.facts.unreadable = vec!["memory: no fdinfo could be read (EACCES)".into()];
    odd.kept_by = vec![worker(5_150, vec![9])];

    let mut on_exec = object(
        Kind::Prog,
        5,
        "generic_kprobe_event_process_exec",
        "kprobe",
        vec![
            held(By::Fd, 1, agent(vec![6])),
            held(By::Link, 1, object_ref(Kind::Link, 3, "")),
            held(By::ProgArray, 1, object_ref(Kind::Map, 18, "tail_calls")),
        ],
    );
    on_exec.kept_by = vec![agent(vec![6])];
    let mut moving = object(
        Kind::Prog,
        9,
        "xdp_pass",
        "xdp",
        vec![held(By::Link, 1, object_ref(Kind::Link, 4, ""))],
    );
    moving.settled = false;
    moving.facts.refcnt = Some(3);
    moving.unexplained = Some(2);
    moving.state = State::HeldByKernel;

    let mut xdp = link(4, 9, "dev:eth0", vec![]);
    xdp.facts.type_name = "xdp".into();
    xdp.state = State::HeldByKernel;
    xdp.kept_by = vec![];
    let mut vmlinux = object(Kind::Btf, 1, "vmlinux", "vmlinux", vec![]);
    vmlinux.facts.refcnt = None;
    vmlinux.unexplained = None;
    vmlinux.facts.memory_bytes = Some(6_402_000);
    vmlinux.facts.detail = Detail::Btf(BtfFacts { kernel_btf: true });
    let mut own = object(Kind::Prog, 900, "lastref_files", "tracing", vec![]);
    own.facts.own = true;

    let mut snapshot = snapshot();
    snapshot.passes = 3;
    snapshot.staged_walks = vec!["mappings".into()];
    snapshot.cannot_see = vec![CannotSee {
        what: "sockets that hold programs".into(),
        why: "no walk for them is built in yet".into(),
        needs: "a later version".into(),
    }];
    ListReport {
        schema: ListReport::SCHEMA.into(),
        snapshot,
        filters: vec![],
        objects: vec![
            conn_events(),
            jump,
            old,
            odd,
            on_exec,
            moving,
            link(
                3,
                5,
                "func:security_bprm_committed_creds",
                vec![held(By::Fd, 1, agent(vec![7]))],
            ),
            xdp,
            vmlinux,
            own,
        ],
    }
}

/// A node where pods come and go and their pins stay: `pods` × 10 maps, `pods` × 4 programs.
pub fn node(pods: u32) -> ListReport {
    let mut report = small();
    for pod in 0..pods {
        let uid = format!("{:08x}-{:04x}", pod.wrapping_mul(2_654_435_761), pod);
        for n in 0..10 {
            let name = [
                "events",
                "config",
                "aws_conntrack",
                "ingress_map",
                "egress_map",
            ];
            let name = name[n as usize % 5];
            let id = 1_000 + pod * 10 + n;
            let path = format!("/sys/fs/bpf/pods/{uid}/{n}_{name}");
            let mut map = object(
                Kind::Map,
                id,
                name,
                "hash",
                vec![held(By::Pin, 1, pin(&path))],
            );
            map.facts.memory_bytes = Some(700_416);
            map.facts.charged_to = Some(format!("/kubepods.slice/pod{uid}"));
            map.state = State::OrphanPin;
            map.kept_by = vec![pin(&path)];
            report.objects.push(map);
        }
        for n in 0..4 {
            let id = 1_000 + pod * 4 + n;
            let path = format!("/sys/fs/bpf/pods/{uid}/prog_{n}");
            let mut prog = object(
                Kind::Prog,
                id,
                "handle_ingress",
                "sched_cls",
                vec![held(By::Pin, 1, pin(&path))],
            );
            prog.state = State::OrphanPin;
            prog.kept_by = vec![pin(&path)];
            report.objects.push(prog);
        }
    }
    report
}

/// `lastref why map:17` on [`small`].
pub fn why_conn_events() -> WhyReport {
    let path = "/sys/fs/bpf/tetragon/conn_events";
    let mut hard_linked = Pin {
        path: path.into(),
        mount_namespace: Some(4_026_532_300),
        enter_pid: Some(77),
        also: vec!["/sys/fs/bpf/tetragon/conn_events.old".into()],
        unlinked: false,
    };
    let mut map = conn_events();
    map.facts.references[0].holders = vec![Holder::Pin(hard_linked.clone())];
    map.facts.references.push(Reference {
        by: By::Fd,
        count: 1,
        holders: vec![worker(5_150, vec![9]), worker(5_151, vec![9, 11])],
    });
    map.facts.refcnt = Some(1_209);
    map.explained = 1_207;
    map.unexplained = Some(2);
    hard_linked.also.clear();
    WhyReport {
        schema: WhyReport::SCHEMA.into(),
        snapshot: small().snapshot,
        object: map,
        chains: vec![
            vec![agent((5..1_209).collect())],
            vec![Holder::Pin(hard_linked)],
            vec![
                object_ref(Kind::Prog, 5, "generic_kprobe_event_process_exec"),
                object_ref(Kind::Link, 3, ""),
                agent(vec![7]),
            ],
        ],
        chains_cut: false,
        to_release: vec![
            ReleaseStep {
                holder: pin(path),
                action: "rm /proc/77/root/sys/fs/bpf/tetragon/conn_events \
                         /proc/77/root/sys/fs/bpf/tetragon/conn_events.old"
                    .into(),
                frees: vec![],
                bytes: 0,
            },
            ReleaseStep {
                holder: agent(vec![]),
                action: "close descriptors 5-1208 in tetragon (pid 4242), or end it: systemctl \
                         stop tetragon.service"
                    .into(),
                frees: vec![
                    ObjectId {
                        kind: Kind::Map,
                        id: 17,
                    },
                    ObjectId {
                        kind: Kind::Prog,
                        id: 5,
                    },
                ],
                bytes: 8 << 20,
            },
        ],
        caveats: vec![
            "2 references are unexplained: the map may stay after these steps.".into(),
            "Ending tetragon also ends what else it does.".into(),
        ],
    }
}

/// A map that `processes` workers have open, twice each.
pub fn why_crowd(processes: u32) -> WhyReport {
    let mut report = why_conn_events();
    let references = (0..processes)
        .map(|n| held(By::Fd, 2, worker(10_000 + n, vec![4, 8])))
        .chain([held(By::Pin, 1, pin("/sys/fs/bpf/shared"))])
        .collect();
    report.object = object(Kind::Map, 17, "shared", "array", references);
    report.chains = (0..processes.min(100))
        .map(|n| vec![worker(10_000 + n, vec![4, 8])])
        .collect();
    report.chains_cut = true;
    report.to_release = vec![];
    report.caveats = vec![];
    report
}
