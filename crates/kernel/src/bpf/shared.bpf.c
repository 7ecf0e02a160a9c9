// SPDX-License-Identifier: (BSD-2-Clause OR GPL-2.0-only)
/* What all walks share: the row types for the generator, and one buffer. */
#include "ticks.h"
#include "../holders/carriers/events.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

/* Not const: a .rodata section would be one more map, and libbpf would try out binding it. */
struct rows row_types;

struct text_buffer text_buffer;
struct last_written last;
struct walk_run run;

/* Runs of walks over lists: an iterator over this array calls its program once per element. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, TICKS);
	__type(key, u32);
	__type(value, u8);
} ticks SEC(".maps");

struct row_btf btf_row;

__noinline u32 read_btf(u64 address)
{
	struct btf *btf = (void *)address;
	struct row_btf r = {};

	r.row.kind = ROW_BTF;
	r.row.size = sizeof(r);
	r.row.n = BPF_CORE_READ(btf, id);
	r.btf = address;
	r.refcnt = BPF_CORE_READ(btf, refcnt.refs.counter);
	r.data_size = BPF_CORE_READ(btf, data_size);
	if (bpf_core_field_exists(btf->kernel_btf)) {
		r.kernel_btf = BPF_CORE_READ(btf, kernel_btf);
		BPF_CORE_READ_STR_INTO(&r.name, btf, name);
	}
	btf_row = r;
	return r.row.n;
}

__noinline u32 count_children(u64 event)
{
	struct perf_event *parent = (void *)event;
	struct list_head *head = (void *)parent + bpf_core_field_offset(struct perf_event, child_list);
	struct list_head *node = BPF_CORE_READ(parent, child_list.next);
	u32 i, count = 0;

	for (i = 0; i < CHILDREN_MAX; i++) {
		if (!node || node == head)
			return count;
		if (holds_program(node))
			count++;
		node = BPF_CORE_READ(node, next);
	}
	return CHILDREN_MORE;
}
