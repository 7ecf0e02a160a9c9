// SPDX-License-Identifier: (BSD-2-Clause OR GPL-2.0-only)
/*
 * What network namespaces and devices hold: XDP programs, tcx and netkit
 * programs, flow dissectors, default congestion controls. All namespaces are found by their list
 * (net_namespace_list), entered or not, and whoever keeps them.
 */
#include "../../bpf/ticks.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

struct net_cursor {
	u64 first; /* our own namespace: the list is a ring */
	u64 net;   /* now in this one; 0: none left */
	u64 dev;   /* next device to show; 0: the namespace itself comes first */
	u32 item;  /* what of it comes next: see dev_step */
	u32 named; /* its name was written */
	u32 begun;
	u32 done;
};
struct net_cursor net_cursor;
struct net_cursor net_at;

#define CLONE_NEWNET 0x40000000

/* The ring goes through the list's head, which is no namespace. */
static __always_inline bool is_net(struct net *net)
{
	struct net *first = (void *)net_at.first;

	return BPF_CORE_READ(net, ns.ops) == BPF_CORE_READ(first, ns.ops);
}

static __always_inline void put_hold(struct walk *w, u32 what, u64 object, u64 link, u32 place)
{
	struct net_device *dev = (void *)net_at.dev;
	struct net *net = (void *)net_at.net;
	struct row_hold r = {};

	if (dev && !net_at.named) {
		put_text(w, TEXT_DEVICE, (u64)dev, dev->name);
		net_at.named = 1;
	}
	r.row.kind = ROW_HOLD;
	r.row.size = sizeof(r);
	r.row.n = what;
	r.object = object;
	r.holder = dev ? (u64)dev : (u64)net;
	r.link = link;
	r.netns = BPF_CORE_READ(net, ns.inum);
	r.place = place;
	r.count = 1;
	put_row(w, r);
}

static __always_inline void next_net(void)
{
	struct net *net = (void *)net_at.net;
	int i;

	net_at.dev = 0;
	/* At most one step of the two is over the head. */
	for (i = 0; i < 2; i++) {
		struct list_head *next = BPF_CORE_READ(net, list.next);

		net = next ? container_of(next, struct net, list) : NULL;
		if (!net || (u64)net == net_at.first || (u64)net == net_at.net) {
			net_at.net = 0;
			return;
		}
		if (is_net(net)) {
			net_at.net = (u64)net;
			return;
		}
	}
	net_at.net = 0;
}

static __always_inline void enter_dev(struct list_head *node)
{
	struct net *net = (void *)net_at.net;
	struct list_head *head = (void *)net + bpf_core_field_offset(struct net, dev_base_head);

	net_at.item = 0;
	net_at.named = 0;
	if (!node || node == head)
		next_net();
	else
		net_at.dev = (u64)container_of(node, struct net_device, dev_list);
}

/* Nobody holds it any more, and it is about to leave the list. */
static __always_inline bool is_dying(struct net *net)
{
	if (bpf_core_field_exists(net->ns.__ns_ref))
		return !BPF_CORE_READ(net, ns.__ns_ref.refs.counter);
	if (bpf_core_field_exists(net->ns.count))
		return !BPF_CORE_READ(net, ns.count.refs.counter);
	return !BPF_CORE_READ(net, count.refs.counter);
}

static __always_inline void show_net(struct walk *w)
{
	struct net *net = (void *)net_at.net;
	struct row r = { .kind = ROW_NET, .size = sizeof(r), .n = BPF_CORE_READ(net, ns.inum) };
	const struct tcp_congestion_ops *ops;
	u64 progs[2] = {};
	u32 i;

	if (!is_dying(net))
		put_row(w, r);
	bpf_probe_read_kernel(progs, sizeof(progs), (void *)net + bpf_core_field_offset(struct net, bpf.progs));
	/* Links have their programs elsewhere (bpf.links). */
	for (i = 0; i < 2; i++)
		if (progs[i])
			put_hold(w, HOLD_NETNS, progs[i], 0, i);
	/* Of sockets to come; a new namespace has that of the first (tcp_sk_init). */
	ops = BPF_CORE_READ(net, ipv4.tcp_congestion_control);
	if (ops && is_struct_ops(ops))
		put_hold(w, HOLD_CONGESTION, (u64)ops, 0, 0);
	enter_dev(BPF_CORE_READ(net, dev_base_head.next));
}

/* Modes: generic, driver, offloaded (enum bpf_xdp_mode). */
static __always_inline void show_xdp(struct walk *w)
{
	struct net_device *dev = (void *)net_at.dev;
	struct bpf_xdp_entity all[3] = {};
	u32 i;

	bpf_probe_read_kernel(all, sizeof(all), (void *)dev + bpf_core_field_offset(struct net_device, xdp_state));
	for (i = 0; i < 3; i++) {
		if (all[i].link) {
			struct bpf_link *link = (void *)all[i].link;

			put_hold(w, HOLD_XDP, (u64)BPF_CORE_READ(link, prog), (u64)link, i);
		} else if (all[i].prog) {
			put_hold(w, HOLD_XDP, (u64)all[i].prog, 0, i);
		}
	}
}

/* Slot `i` of a list of programs; false at its end. */
static __always_inline bool show_mprog(struct walk *w, struct bpf_mprog_entry *entry, u32 what, u32 i)
{
	struct bpf_mprog_bundle *bundle;
	u64 prog = 0, link = 0;

	if (!entry || i >= 64)
		return false;
	bpf_probe_read_kernel(&prog, sizeof(prog),
			      (void *)entry + bpf_core_field_offset(struct bpf_mprog_entry, fp_items) + i * 8);
	if (!prog)
		return false;
	bundle = BPF_CORE_READ(entry, parent);
	bpf_probe_read_kernel(&link, sizeof(link),
			      (void *)bundle + bpf_core_field_offset(struct bpf_mprog_bundle, cp_items) + i * 8);
	/* A link accounts for its program itself. */
	if (!link)
		put_hold(w, what, prog, 0, i);
	return true;
}

static __always_inline struct netkit *netkit_of(struct net_device *dev)
{
	char kind[8] = {};

	if (!bpf_core_type_exists(struct netkit))
		return NULL;
	bpf_probe_read_kernel_str(kind, sizeof(kind), BPF_CORE_READ(dev, rtnl_link_ops, kind));
	if (kind[0] != 'n' || kind[1] != 'e' || kind[2] != 't' || kind[3] != 'k' || kind[4] != 'i' ||
	    kind[5] != 't' || kind[6])
		return NULL;
	if (bpf_core_field_exists(dev->priv))
		return (void *)dev + bpf_core_field_offset(struct net_device, priv);
	return (void *)dev + ((bpf_core_type_size(struct net_device) + 31) & ~31u);
}

/* Items of a device: 0 is XDP, then three lists of 64 each. */
#define INGRESS 1
#define EGRESS (INGRESS + 64)
#define NETKIT (EGRESS + 64)
#define END (NETKIT + 64)

static __always_inline void dev_step(struct walk *w)
{
	struct net_device *dev = (void *)net_at.dev;
	u32 item = net_at.item;
	bool more = false;

	if (item == 0) {
		show_xdp(w);
		/* tcx and netkit came together with bpf_mprog. */
		net_at.item = bpf_core_field_exists(dev->tcx_ingress) ? INGRESS : END;
		return;
	}
	if (item < EGRESS) {
		if (bpf_core_field_exists(dev->tcx_ingress))
			more = show_mprog(w, BPF_CORE_READ(dev, tcx_ingress), HOLD_TCX_INGRESS, item - INGRESS);
		net_at.item = more ? item + 1 : EGRESS;
	} else if (item < NETKIT) {
		if (bpf_core_field_exists(dev->tcx_egress))
			more = show_mprog(w, BPF_CORE_READ(dev, tcx_egress), HOLD_TCX_EGRESS, item - EGRESS);
		net_at.item = more ? item + 1 : NETKIT;
	} else if (item < END) {
		struct netkit *nk = netkit_of(dev);

		if (nk) {
			u32 what = BPF_CORE_READ(nk, primary) ? HOLD_NETKIT_PRIMARY : HOLD_NETKIT_PEER;

			more = show_mprog(w, BPF_CORE_READ(nk, active), what, item - NETKIT);
		}
		net_at.item = more ? item + 1 : END;
	} else {
		enter_dev(BPF_CORE_READ(dev, dev_list.next));
		/* A list that points to itself was changed under us. */
		if (net_at.dev == (u64)dev)
			run.cut = 1;
	}
}

static long net_step(u32 i, struct walk *w)
{
	if (!net_at.net) {
		net_at.done = 1;
		return 1;
	}
	if (net_at.dev)
		dev_step(w);
	else
		show_net(w);
	return run.cut || run_is_full();
}

static __always_inline bool still_there(void)
{
	struct net_device *dev = (void *)net_at.dev;
	struct net *net = (void *)net_at.net;
	struct list_head *next, *self;

	if (!net)
		return true;
	if (!is_net(net))
		return false;
	self = (void *)net + bpf_core_field_offset(struct net, list);
	next = BPF_CORE_READ(net, list.next);
	if (!next || BPF_CORE_READ(next, prev) != self)
		return false;
	if (!dev)
		return true;
	self = (void *)dev + bpf_core_field_offset(struct net_device, dev_list);
	next = BPF_CORE_READ(dev, dev_list.next);
	return BPF_CORE_READ(dev, nd_net.net) == net && next && BPF_CORE_READ(next, prev) == self;
}

static __always_inline bool begin(struct walk *w)
{
	if (!net_at.begun) {
		struct task_struct *task = (void *)bpf_get_current_task();

		net_at.begun = 1;
		net_at.first = (u64)BPF_CORE_READ(task, nsproxy, net_ns);
		net_at.net = net_at.first;
	} else if (!still_there()) {
		run.cut = 1;
	}
	return !run.cut;
}

TICK_WALK(nets, net_cursor, net_at, begin, net_step, 2048, 16)
