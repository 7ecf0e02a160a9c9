// SPDX-License-Identifier: (BSD-2-Clause OR GPL-2.0-only)
/* Perf events: as links keep them, and as descriptors do. */
#ifndef LASTREF_EVENTS_H
#define LASTREF_EVENTS_H

#include "rows.h"

/*
 * What a perf event is on: a name, or a tracepoint whose first word points to it (the
 * flag that tells has another value in each kernel). Only an address has all of its
 * upper 16 bits set.
 */
static __always_inline const void *event_name(struct trace_event_call *call)
{
	const void *name = BPF_CORE_READ(call, name);
	u64 first = 0;

	bpf_probe_read_kernel(&first, sizeof(first), name);
	return first >= 0xffff000000000000ULL ? (const void *)first : name;
}

/* The event of a child, in its parent's list. That of a tracepoint runs by its parent's on old kernels, and has none. */
static __always_inline bool holds_program(struct list_head *node)
{
	return BPF_CORE_READ(container_of(node, struct perf_event, child_list), prog) != NULL;
}

#define CHILDREN_MAX 64
#define CHILDREN_MORE (~0u) /* than that: the walk `children` counts them */

/* Inherited events have a reference each (perf_event_alloc). */
u32 count_children(u64 event);

#endif
