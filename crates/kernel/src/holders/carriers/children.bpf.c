// SPDX-License-Identifier: (BSD-2-Clause OR GPL-2.0-only)
/* Events that children inherited of one perf event, where these are more than CHILDREN_MAX. */
#include "../../bpf/ticks.h"
#include "events.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

struct child_cursor {
	u64 event; /* the parent */
	u64 node;  /* next to look at; 0: the first */
	u32 count; /* of those that hold a program */
	u32 done;
};
struct child_cursor child_cursor;
struct child_cursor child_at;

static long child_step(u32 i, struct walk *w)
{
	struct perf_event *parent = (void *)child_at.event;
	struct list_head *head = (void *)parent + bpf_core_field_offset(struct perf_event, child_list);
	struct list_head *next, *node = (void *)child_at.node;

	if (!node)
		node = BPF_CORE_READ(parent, child_list.next);
	if (!node || node == head) {
		child_at.done = 1;
		return 1;
	}
	if (holds_program(node))
		child_at.count++;
	next = BPF_CORE_READ(node, next);
	/* Out of the list it points to itself (perf_event_exit_event). */
	if (!next || next == node)
		run.cut = 1;
	child_at.node = (u64)next;
	return run.cut;
}

static __always_inline bool begin(struct walk *w)
{
	struct list_head *next, *node = (void *)child_at.node;

	if (node) {
		next = BPF_CORE_READ(node, next);
		if (!next || BPF_CORE_READ(next, prev) != node)
			run.cut = 1;
	}
	return !run.cut;
}

TICK_WALK(children, child_cursor, child_at, begin, child_step, 4096, 32)
