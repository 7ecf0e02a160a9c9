// SPDX-License-Identifier: (BSD-2-Clause OR GPL-2.0-only)
/*
 * Programs that are attached to cgroups without a link, in every cgroup of the
 * default hierarchy. Effective programs, which descendants inherit, take no
 * reference (compute_effective_progs).
 */
#include "../../bpf/ticks.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

struct cgroup_cursor {
	u64 css;   /* now at this cgroup; 0: none left */
	u64 node;  /* next entry of the list of `item`; 0: its first */
	u32 item;  /* attach type, as the kernel numbers its lists */
	u32 named; /* its path was written */
	u32 way;   /* what the next step does */
	u32 begun;
	u32 done;
};
struct cgroup_cursor cgroup_cursor;
struct cgroup_cursor cgroup_at;

/* One at a time, without loops: the verifier follows each of those. */
enum way {
	TO_ROOT,  /* from where we are ourselves */
	SHOW,     /* the lists of a cgroup */
	BELOW,    /* to its first child */
	BESIDE,   /* to the next sibling, or up */
};

static __always_inline u32 list_count(void)
{
	return bpf_core_field_size(struct cgroup_bpf, effective) / sizeof(void *);
}

/* A pointer each, or two where they are a list_head. */
static __always_inline u32 head_size(void)
{
	return bpf_core_field_size(struct cgroup_bpf, progs) / list_count();
}

static __always_inline void *head_of(struct cgroup *cgroup, u32 item)
{
	return (void *)cgroup + bpf_core_field_offset(struct cgroup, bpf.progs) + item * head_size();
}

static __always_inline void enter(u64 css)
{
	/* A list that points to itself was changed under us. */
	if (css == cgroup_at.css)
		run.cut = 1;
	cgroup_at.css = css;
	cgroup_at.item = 0;
	cgroup_at.node = 0;
	cgroup_at.named = 0;
	cgroup_at.way = SHOW;
}

static __always_inline void to_root(void)
{
	struct cgroup_subsys_state *css = (void *)cgroup_at.css;
	u64 parent = (u64)BPF_CORE_READ(css, parent);

	if (parent)
		cgroup_at.css = parent;
	else
		cgroup_at.way = SHOW;
}

static __always_inline void go_below(void)
{
	struct cgroup_subsys_state *css = (void *)cgroup_at.css;
	struct list_head *children = (void *)css + bpf_core_field_offset(struct cgroup_subsys_state, children);
	struct list_head *first = BPF_CORE_READ(css, children.next);

	if (first && first != children)
		enter((u64)container_of(first, struct cgroup_subsys_state, sibling));
	else
		cgroup_at.way = BESIDE;
}

static __always_inline void go_beside(void)
{
	struct cgroup_subsys_state *css = (void *)cgroup_at.css;
	struct cgroup_subsys_state *parent = BPF_CORE_READ(css, parent);
	struct list_head *siblings, *next;

	if (!parent) {
		cgroup_at.css = 0;
		return;
	}
	siblings = (void *)parent + bpf_core_field_offset(struct cgroup_subsys_state, children);
	next = BPF_CORE_READ(css, sibling.next);
	if (next && next != siblings)
		enter((u64)container_of(next, struct cgroup_subsys_state, sibling));
	else
		cgroup_at.css = (u64)parent;
}

static __always_inline void put_hold(struct walk *w, struct cgroup *cgroup, u64 prog)
{
	struct row_hold r = {};

	if (!cgroup_at.named) {
		put_cgroup(w, cgroup);
		cgroup_at.named = 1;
	}
	r.row.kind = ROW_HOLD;
	r.row.size = sizeof(r);
	r.row.n = HOLD_CGROUP;
	r.object = prog;
	r.holder = (u64)cgroup;
	r.place = cgroup_at.item;
	r.count = 1;
	put_row(w, r);
}

/*
 * What points back points to `next` of the entry before: pprev of a hlist_node itself,
 * and prev of a list_head, which begins with it.
 */
static __always_inline bool is_listed(u64 node)
{
	u64 back = 0, next = 0;

	bpf_probe_read_kernel(&back, sizeof(back), (void *)node + sizeof(u64));
	bpf_probe_read_kernel(&next, sizeof(next), (void *)back);
	return next == node;
}

/* Shows one entry of a list, or finds out that there is none. */
static __always_inline void show(struct walk *w)
{
	struct cgroup_subsys_state *css = (void *)cgroup_at.css;
	struct cgroup *cgroup = BPF_CORE_READ(css, cgroup);
	struct bpf_prog_list *entry;
	u64 head, node = cgroup_at.node;

	if (cgroup_at.item >= list_count()) {
		cgroup_at.way = BELOW;
		return;
	}
	head = (u64)head_of(cgroup, cgroup_at.item);
	if (!node)
		bpf_probe_read_kernel(&node, sizeof(node), (void *)head);
	/* An empty list_head points to itself. */
	if (!node || node == head) {
		cgroup_at.node = 0;
		cgroup_at.item++;
		return;
	}
	/* Entries are freed without a grace period (__cgroup_bpf_detach). */
	if (!is_listed(node)) {
		run.cut = 1;
		return;
	}
	entry = container_of((struct hlist_node *)node, struct bpf_prog_list, node);
	/* A link accounts for its program itself. */
	if (!BPF_CORE_READ(entry, link)) {
		u64 prog = (u64)BPF_CORE_READ(entry, prog);

		if (prog)
			put_hold(w, cgroup, prog);
	}
	/* hlist_node and list_head both begin with `next`. */
	if (bpf_probe_read_kernel(&node, sizeof(node), (void *)node))
		node = 0;
	if (node && node == cgroup_at.node)
		run.cut = 1;
	cgroup_at.node = node;
	if (!node || node == head) {
		cgroup_at.node = 0;
		cgroup_at.item++;
	}
}

static long cgroup_step(u32 i, struct walk *w)
{
	if (!cgroup_at.css) {
		cgroup_at.done = 1;
		return 1;
	}
	switch (cgroup_at.way) {
	case TO_ROOT:
		to_root();
		break;
	case SHOW:
		show(w);
		break;
	case BELOW:
		go_below();
		break;
	default:
		go_beside();
		break;
	}
	return run.cut || run_is_full();
}

static __always_inline bool still_there(void)
{
	struct cgroup_subsys_state *css = (void *)cgroup_at.css;
	struct list_head *next, *self;

	/* The root has no siblings. */
	if (!css || !BPF_CORE_READ(css, parent))
		return true;
	self = (void *)css + bpf_core_field_offset(struct cgroup_subsys_state, sibling);
	next = BPF_CORE_READ(css, sibling.next);
	return next && BPF_CORE_READ(next, prev) == self;
}

static __always_inline bool begin(struct walk *w)
{
	if (!cgroup_at.begun) {
		struct task_struct *task = (void *)bpf_get_current_task();
		struct cgroup *cgroup = BPF_CORE_READ(task, cgroups, dfl_cgrp);

		cgroup_at.begun = 1;
		cgroup_at.way = TO_ROOT;
		cgroup_at.css = (u64)cgroup + bpf_core_field_offset(struct cgroup, self);
	} else if (!still_there()) {
		run.cut = 1;
	}
	/* Another run may have written another path in between. */
	last.cgroup = 0;
	return !run.cut;
}

TICK_WALK(cgroups, cgroup_cursor, cgroup_at, begin, cgroup_step, 16384, 32)
