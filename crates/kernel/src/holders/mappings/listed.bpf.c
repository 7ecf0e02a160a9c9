// SPDX-License-Identifier: (BSD-2-Clause OR GPL-2.0-only)
/*
 * Memory mappings on kernels without an iterator over them (before v5.12,
 * 3a7b35b899de "bpf: Introduce task_vma bpf_iter").
 *
 * There, a process's mappings are a list, mm->mmap. `spaces` names all processes
 * with their mm, and `mappings_listed` goes through the lists of those that Rust
 * hands back, in runs as in ticks.h. The mmap lock cannot be taken
 * here: each element must belong to its mm, and at the end as many must have been
 * seen as the mm says it has. Else that is said (ROW_CUT, with the mm's index), and
 * Rust looks at that process again.
 */
#include "ticks.h"
#include "../carriers/carriers.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

#define PF_KTHREAD 0x00200000 /* borrows the mm that it works for */

SEC("iter/task")
int spaces(struct bpf_iter__task *ctx)
{
	struct task_struct *task = ctx->task;
	struct task_struct *leader;
	struct row_space r = {};

	if (!task || !task->mm || (task->flags & PF_KTHREAD))
		return 0;
	leader = task->group_leader;
	/* Threads share it. A main thread that has exited has none. */
	if (task != leader && leader->mm)
		return 0;
	r.row.kind = ROW_SPACE;
	r.row.size = sizeof(r);
	r.row.n = pid_in_our_namespace(leader);
	r.mm = (u64)task->mm;
	write_row(ctx->meta->seq, r);
	return 0;
}

#define SPACES 512
struct space { u64 mm; u32 pid; u32 pad; };
struct space listed_spaces[SPACES];

struct list_cursor {
	u64 vma;   /* next to look at; 0: the mm's first */
	u32 at;    /* index of the mm */
	u32 count; /* how many there are */
	u32 seen;  /* mappings of this one that were looked at */
	u32 named; /* the process of the last ROW_TASK: its index and one */
	u32 done;
	u32 pad;
};
struct list_cursor list_cursor;
/* The same during a run. */
struct list_cursor list_at;

/* The mask is for the verifier. */
#define THIS_SPACE listed_spaces[list_at.at & (SPACES - 1)]

static __always_inline void next_space(void)
{
	list_at.at++;
	list_at.vma = 0;
	list_at.seen = 0;
}

static __always_inline void put_changed(struct walk *w)
{
	struct row r = { .kind = ROW_CUT, .size = sizeof(r), .n = list_at.at };

	put_row(w, r);
}

static __always_inline void put_mapping(struct walk *w, struct file *file)
{
	struct row_file r = {};

	r.row.kind = ROW_MAPPING;
	r.row.size = sizeof(r);
	r.row.n = list_at.at;
	r.file = (u64)file;
	r.object = (u64)BPF_CORE_READ(file, private_data);
	put_row(w, r);
}

/* A ring of a perf event, an io_uring or a socket. */
static __always_inline void put_carrier(struct walk *w, u64 f_op, struct file *file)
{
	if (list_at.named != list_at.at + 1) {
		struct row_task r = {};

		r.row.kind = ROW_TASK;
		r.row.size = sizeof(r);
		r.row.n = THIS_SPACE.pid;
		r.tid = THIS_SPACE.pid;
		put_row(w, r);
		list_at.named = list_at.at + 1;
	}
	run.err |= write_carrier(w->seq, f_op, BPF_CORE_READ(file, private_data), ~0u, 0);
	run.written += CARRIER_MAX;
}

/* One step: one mapping. */
static __always_inline long list_step(u32 i, struct walk *w)
{
	struct vm_area_struct *vma = (void *)list_at.vma;
	struct mm_struct *mm;
	struct file *file;
	u64 f_op = 0;

	if (list_at.at >= list_at.count) {
		list_at.done = 1;
		return 1;
	}
	mm = (void *)THIS_SPACE.mm;
	if (!vma)
		vma = BPF_CORE_READ(mm, mmap);
	if (!vma || BPF_CORE_READ(vma, vm_mm) != mm || list_at.seen > (u32)BPF_CORE_READ(mm, map_count)) {
		put_changed(w);
		next_space();
		return run_is_full();
	}
	file = BPF_CORE_READ(vma, vm_file);
	if (file)
		f_op = (u64)BPF_CORE_READ(file, f_op);
	if (f_op && f_op == file_ops.map)
		put_mapping(w, file);
	else if (is_carrier(f_op))
		put_carrier(w, f_op, file);
	list_at.seen++;
	list_at.vma = (u64)BPF_CORE_READ(vma, vm_next);
	if (!list_at.vma) {
		if (list_at.seen != (u32)BPF_CORE_READ(mm, map_count))
			put_changed(w);
		next_space();
	}
	return run_is_full();
}

static __always_inline bool begin(struct walk *w)
{
	return true;
}

/* Kernels without `task_vma` have no bpf_loop() either. */
TICK_PROGRAM(mappings_listed, list_cursor, list_at, begin, PLAIN_LOOP(list_step, 32))
