//! What stands in the kernel, on a node that runs programs everywhere.

use crate::world::{agent, held, object, object_ref, pin, snapshot, worker};
use model::{
    Attachment, By, Holder, IoUring, Kind, ListReport, Object, Process, Reference, ReleaseStep,
    Socket, State, WhyReport,
};

const NETNS: u64 = 4_026_531_840;

pub fn attachment(target: &str, attach_type: &str) -> Holder {
    Holder::Attachment(Box::new(Attachment {
        target: target.into(),
        attach_type: Some(attach_type.into()),
        ..Attachment::default()
    }))
}

fn process(holder: Holder) -> Process {
    match holder {
        Holder::Process(process) => *process,
        other => panic!("{other:?}"),
    }
}

pub fn socket(inode: u64, family: &str, openers: Vec<Holder>) -> Holder {
    let open_by: Vec<Process> = openers.into_iter().map(process).collect();
    Holder::Socket(Box::new(Socket {
        inode: Some(inode),
        netns: Some(NETNS),
        family: Some(family.into()),
        processes: open_by.iter().map(|p| p.pid).collect(),
        open_by,
    }))
}

pub fn perf_event(target: &str, opener: Holder) -> Holder {
    match attachment(target, "perf_event") {
        Holder::Attachment(mut a) => {
            a.open_by = vec![process(opener)];
            Holder::Attachment(a)
        }
        other => other,
    }
}

pub fn io_uring(opener: Holder) -> Holder {
    let opener = process(opener);
    Holder::IoUring(Box::new(IoUring {
        pid: Some(opener.pid),
        fd: opener.fds.first().copied(),
        open_by: vec![opener],
    }))
}

fn by_kernel(mut object: Object, kept_by: Vec<Holder>) -> Object {
    object.state = State::HeldByKernel;
    object.kept_by = kept_by;
    object
}

fn in_use(mut object: Object, kept_by: Vec<Holder>) -> Object {
    object.kept_by = kept_by;
    object
}

/// One object for each sort of holder in the kernel.
pub fn everything() -> ListReport {
    let cgroup = attachment(
        "cgroup:/kubepods.slice/kubepods-burstable.slice/pod8a6b2c1e/app",
        "cgroup_inet_ingress",
    );
    let lo = attachment("dev:lo@netns:4026531840", "xdp");
    let eth = attachment("dev:eth0@netns:4026531840", "xdp");
    let listener = socket(48_211, "tcp", vec![worker(5_150, vec![9])]);
    let sockets = |number: u64| {
        let socket = |n| socket(60_000 + n, "packet", vec![agent(vec![10 + n as u32])]);
        (0..number)
            .map(|n| held(By::Socket, 1, socket(n)))
            .collect()
    };
    let objects = vec![
        by_kernel(
            object(
                Kind::Prog,
                10,
                "count_ingress",
                "cgroup_skb",
                vec![held(By::Attachment, 1, cgroup.clone())],
            ),
            vec![cgroup.clone()],
        ),
        by_kernel(
            object(
                Kind::Prog,
                11,
                "xdp_drop",
                "xdp",
                vec![
                    held(By::Attachment, 1, lo.clone()),
                    held(By::Attachment, 1, eth.clone()),
                    Reference {
                        by: By::Driver,
                        count: 3,
                        holders: vec![eth.clone(), lo.clone()],
                    },
                ],
            ),
            vec![eth, lo],
        ),
        in_use(
            object(
                Kind::Prog,
                12,
                "filter",
                "socket_filter",
                vec![held(By::Socket, 1, listener)],
            ),
            vec![worker(5_150, vec![9])],
        ),
        in_use(
            object(Kind::Prog, 13, "capture", "socket_filter", sockets(1_200)),
            vec![agent((10..1_210).collect())],
        ),
        in_use(
            object(
                Kind::Prog,
                14,
                "on_switch",
                "tracepoint",
                vec![held(
                    By::Attachment,
                    1,
                    perf_event("tracepoint:sched/sched_switch", agent(vec![7])),
                )],
            ),
            vec![agent(vec![7])],
        ),
        in_use(
            object(
                Kind::Map,
                20,
                "handed_over",
                "hash",
                vec![
                    held(By::InFlight, 1, socket(71, "unix", vec![agent(vec![5])])),
                    held(By::IoUring, 1, io_uring(worker(5_150, vec![4]))),
                ],
            ),
            vec![agent(vec![5]), worker(5_150, vec![4])],
        ),
        by_kernel(
            object(
                Kind::Map,
                21,
                "lost_message",
                "array",
                vec![held(By::InFlight, 1, socket(72, "unix", vec![]))],
            ),
            vec![socket(72, "unix", vec![])],
        ),
        by_kernel(
            object(
                Kind::Map,
                22,
                "cc",
                "struct_ops",
                vec![held(
                    By::StructOps,
                    1,
                    Holder::Kernel {
                        what: "registered as tcp_congestion_ops".into(),
                    },
                )],
            ),
            vec![],
        ),
        by_kernel(
            object(
                Kind::Map,
                23,
                "conntrack",
                "lru_hash",
                vec![held(
                    By::Prog,
                    1,
                    object_ref(Kind::Prog, 10, "count_ingress"),
                )],
            ),
            vec![cgroup],
        ),
        in_use(
            object(
                Kind::Link,
                30,
                "",
                "iter",
                vec![
                    held(By::Pin, 1, pin("/sys/fs/bpf/maps.debug")),
                    held(
                        By::Module,
                        1,
                        Holder::Module {
                            name: "bpf_preload".into(),
                        },
                    ),
                ],
            ),
            vec![pin("/sys/fs/bpf/maps.debug")],
        ),
    ];
    ListReport {
        schema: ListReport::SCHEMA.into(),
        snapshot: snapshot(),
        filters: vec![],
        objects,
    }
}

/// `why` of a program that stands in many places at once.
pub fn why_everywhere() -> WhyReport {
    let cgroup = attachment(
        "cgroup:/system.slice/tetragon.service",
        "cgroup_inet_ingress",
    );
    let eth = attachment("dev:eth0@netns:4026531840", "xdp");
    let lo = attachment("dev:lo@netns:4026531840", "xdp");
    let listener = socket(
        48_211,
        "tcp",
        vec![worker(5_150, vec![9]), worker(5_151, vec![9])],
    );
    let draining = match socket(48_300, "tcp", vec![]) {
        Holder::Socket(mut s) => {
            s.inode = None;
            Holder::Socket(s)
        }
        other => other,
    };
    let event = perf_event("tracepoint:sched/sched_switch", agent(vec![7]));
    let mut pids = socket(48_400, "udp", vec![]);
    if let Holder::Socket(socket) = &mut pids {
        socket.processes = vec![31, 32, 33, 40];
    }
    let references = vec![
        held(By::Attachment, 1, cgroup.clone()),
        held(By::Attachment, 1, event.clone()),
        Reference {
            by: By::Driver,
            count: 2,
            holders: vec![eth, lo],
        },
        Reference {
            by: By::Socket,
            count: 1,
            holders: vec![listener.clone(), draining.clone(), pids],
        },
        Reference {
            by: By::Fd,
            count: 1,
            holders: vec![agent(vec![6]), socket(71, "unix", vec![agent(vec![5])])],
        },
        held(By::IoUring, 1, io_uring(worker(5_150, vec![4]))),
        held(By::MapEntry, 3, object_ref(Kind::Map, 40, "redirects")),
        held(By::Timer, 12, object_ref(Kind::Map, 41, "sessions")),
        held(
            By::Module,
            1,
            Holder::Module {
                name: "bpf_preload".into(),
            },
        ),
    ];
    let step = |holder: Holder, action: &str| ReleaseStep {
        holder,
        action: action.into(),
        frees: vec![],
        bytes: 0,
    };
    WhyReport {
        schema: WhyReport::SCHEMA.into(),
        snapshot: snapshot(),
        object: object(Kind::Prog, 5, "everywhere", "socket_filter", references),
        chains: vec![
            vec![cgroup.clone()],
            vec![event, agent(vec![7])],
            vec![listener.clone(), worker(5_150, vec![9])],
            vec![listener.clone(), worker(5_151, vec![9])],
            vec![draining],
            vec![io_uring(worker(5_150, vec![4])), worker(5_150, vec![4])],
        ],
        chains_cut: false,
        to_release: vec![
            step(
                cgroup,
                "bpftool cgroup detach /sys/fs/cgroup/system.slice/tetragon.service ingress id 5",
            ),
            step(
                worker(5_150, vec![9]),
                "make worker (pid 5150) close socket:[48211] (fd 9) or detach prog:5 (setsockopt \
                 SO_DETACH_BPF); unregister its fixed files (IORING_UNREGISTER_FILES) or close \
                 the ring (fd 4); or end it",
            ),
        ],
        caveats: vec![
            "A socket without an inode holds prog:5, but no process has it open: it may be in \
             flight itself, or closed and still draining."
                .into(),
        ],
    }
}
