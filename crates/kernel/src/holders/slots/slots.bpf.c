// SPDX-License-Identifier: (BSD-2-Clause OR GPL-2.0-only)
/*
 * What stands in the slots of maps that hold objects: arrays and hashes of
 * maps, and program arrays. Rust names the maps one at a time; ticks are as in
 * the walk of pins.
 *
 * Each run works under the RCU read lock. It first reads the map's id again:
 * a map that is being freed has id 0 (bpf_map_free_id).
 */
#include "rows.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

struct slot_cursor {
	u64 map;
	u32 id;
	u32 hash;    /* 1: walk buckets, not an array */
	u32 slots;   /* how many slots or buckets there are */
	u32 at;      /* next slot or bucket */
	u32 skip;    /* elements of that bucket that were shown already */
	u32 key_size;
	u32 done;
};
struct slot_cursor slot_cursor;

/* The state of one run; not on the stack, as in the walk of pins. */
struct slot_run {
	struct slot_cursor at;
	u64 node;    /* in a bucket: the next element; 0: the bucket's head */
	u32 passed;  /* in a bucket: elements before it */
	u32 written;
	s64 err;
};
struct slot_run slot_run;

/* What bpf_loop() hands to a step. */
struct slot_walk {
	struct seq_file *seq;
};

#define WRITE_MAX (16 * 1024)
#define STEPS 16384

static __always_inline void write_slot(struct slot_walk *w, u64 object)
{
	struct row_slot r = {};

	r.row.kind = ROW_SLOT;
	r.row.size = sizeof(r);
	r.row.n = 1;
	r.holder = slot_run.at.map;
	r.object = object;
	slot_run.err |= write_row(w->seq, r);
	slot_run.written += sizeof(r);
}

static long array_step(u32 i, struct slot_walk *w)
{
	struct bpf_array *array = (void *)slot_run.at.map;
	u64 object = 0;

	if (slot_run.at.at >= slot_run.at.slots) {
		slot_run.at.done = 1;
		return 1;
	}
	bpf_probe_read_kernel(&object, sizeof(object),
			      (void *)array + bpf_core_field_offset(struct bpf_array, ptrs) +
				      (u64)slot_run.at.at * sizeof(object));
	if (object)
		write_slot(w, object);
	slot_run.at.at++;
	return slot_run.err || slot_run.written > WRITE_MAX;
}

/* One step: enters a bucket, or looks at one element of it. */
static long hash_step(u32 i, struct slot_walk *w)
{
	struct bpf_htab *htab = (void *)slot_run.at.map;
	u64 object = 0, node = 0;

	if (slot_run.at.at >= slot_run.at.slots) {
		slot_run.at.done = 1;
		return 1;
	}
	if (!slot_run.node) {
		struct bucket *bucket = (void *)BPF_CORE_READ(htab, buckets) +
					(u64)slot_run.at.at * bpf_core_type_size(struct bucket);

		node = (u64)BPF_CORE_READ(bucket, head.first);
		slot_run.passed = 0;
	} else {
		struct htab_elem *elem = (void *)slot_run.node;

		if (slot_run.passed >= slot_run.at.skip) {
			/* The value, a pointer, follows the key (fd_htab_map_get_ptr, htab_elem_value). */
			bpf_probe_read_kernel(&object, sizeof(object),
					      (void *)elem + bpf_core_field_offset(struct htab_elem, key) +
						      ((slot_run.at.key_size + 7) & ~7u));
			if (object)
				write_slot(w, object);
			slot_run.at.skip++;
		}
		slot_run.passed++;
		node = (u64)BPF_CORE_READ(elem, hash_node.next);
	}
	/* An odd pointer ends a hlist_nulls list. */
	if (!node || (node & 1)) {
		slot_run.node = 0;
		slot_run.at.at++;
		slot_run.at.skip = 0;
	} else {
		slot_run.node = node;
	}
	return slot_run.err || slot_run.written > WRITE_MAX;
}

/* False where the map is gone; then that is written, and the walk is over. */
static __always_inline bool begin_run(struct slot_walk *w)
{
	struct bpf_map *map;

	slot_run.at = slot_cursor;
	slot_run.node = 0;
	slot_run.written = 0;
	slot_run.err = 0;
	map = (void *)slot_run.at.map;
	if (BPF_CORE_READ(map, id) != slot_run.at.id) {
		struct row r = { .kind = ROW_CUT, .size = sizeof(r) };

		slot_run.at.done = 1;
		slot_run.err |= write_row(w->seq, r);
		return false;
	}
	return true;
}

static __always_inline void end_run(void)
{
	if (!slot_run.err)
		slot_cursor = slot_run.at;
}

SEC("iter/bpf_map_elem")
int slots(struct bpf_iter__bpf_map_elem *ctx)
{
	struct slot_walk w = { .seq = ctx->meta->seq };

	if (!ctx->key || slot_cursor.done)
		return 0;
	if (begin_run(&w)) {
		if (slot_run.at.hash)
			bpf_loop(STEPS, hash_step, &w, 0);
		else
			bpf_loop(STEPS, array_step, &w, 0);
	}
	end_run();
	return 0;
}

/* The same for kernels before 5.17, which have no bpf_loop(): fewer steps a run. */
SEC("iter/bpf_map_elem")
int slots_plain(struct bpf_iter__bpf_map_elem *ctx)
{
	struct slot_walk w = { .seq = ctx->meta->seq };
	u32 i;

	if (!ctx->key || slot_cursor.done)
		return 0;
	if (begin_run(&w)) {
		for (i = 0; i < 64; i++)
			if (slot_run.at.hash ? hash_step(i, &w) : array_step(i, &w))
				break;
	}
	end_run();
	return 0;
}
