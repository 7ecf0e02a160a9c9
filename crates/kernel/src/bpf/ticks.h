// SPDX-License-Identifier: (BSD-2-Clause OR GPL-2.0-only)
/*
 * Walks over lists and tables in kernel memory, in bounded runs.
 *
 * An iterator over an array of our own (`ticks`) calls the program once per
 * element; each call is a run. It goes on where the one before stopped (a cursor
 * in a global), makes a bounded number of steps, and remembers where it is.
 * The kernel's locks on what is walked cannot be taken here: a run works under the
 * RCU read lock that the iterator holds, and begins by checking that its place is
 * still in its list. If it is not, it says so (ROW_CUT) and the walk is over: the
 * account will not settle, and a further pass is made.
 */
#ifndef LASTREF_TICKS_H
#define LASTREF_TICKS_H

#include "rows.h"

#define TICKS 4096

/*
 * The state of one run. Not on the stack: the verifier would follow every value
 * that `written` can take, and a callback's iterations would never look alike.
 */
struct walk_run {
	u32 written; /* never less than what was written */
	u32 cut;
	s64 err;
};
extern struct walk_run run;

/* What bpf_loop() hands to a step. */
struct walk {
	struct seq_file *seq;
};

#define WRITE_MAX (16 * 1024) /* of the 32 KiB that an iterator's buffer has */

#define put_row(w, value) (run.written += sizeof(value), run.err |= write_row((w)->seq, value))

/* A text takes a row of any length: the longest is counted. */
static __always_inline void put_text(struct walk *w, u32 what, u64 of, const void *from)
{
	run.err |= write_text(w->seq, what, of, from);
	run.written += sizeof(struct text_buffer);
}

static __always_inline void put_cgroup(struct walk *w, struct cgroup *cgroup)
{
	run.err |= write_cgroup(w->seq, cgroup);
	/* Names of cgroups are mostly short, and 24 long ones fit into what is kept free. */
	run.written += 1024;
}

/* Is there no room for another row? */
static __always_inline long run_is_full(void)
{
	return run.err || run.written > WRITE_MAX;
}

static __always_inline void begin_run(void)
{
	run.written = 0;
	run.cut = 0;
	run.err = 0;
}

/* The place where the walk stopped is not in its list any more. */
static __always_inline void put_cut(struct walk *w)
{
	struct row r = { .kind = ROW_CUT, .size = sizeof(r) };

	put_row(w, r);
}

/* `bpf_loop()` is there since v5.17 (e6f2dd0f8067). */
#define KERNEL_LOOP(step, steps) bpf_loop(steps, step, &w, 0)

/* The verifier follows each step of it. */
#define PLAIN_LOOP(step, steps)           \
	for (u32 i = 0; i < (steps); i++) \
		if (step(i, &w))          \
			break

/*
 * The program of a walk: a call is a run. It works on a copy of the cursor, `at`, which `begin`
 * gets ready; false where there is nothing to step through. If a row did not fit, the kernel
 * drops this run's rows and calls again: then the cursor stays where it was.
 */
#define TICK_PROGRAM(name, cursor, at, begin, loop)                      \
	SEC("iter/bpf_map_elem")                                         \
	int name(struct bpf_iter__bpf_map_elem *ctx)                     \
	{                                                                \
		struct walk w = { .seq = ctx->meta->seq };               \
                                                                         \
		/* The last call comes without an element. */            \
		if (!ctx->key || cursor.done)                            \
			return 0;                                        \
		begin_run();                                             \
		at = cursor;                                             \
		if (begin(&w)) {                                         \
			loop;                                            \
		}                                                        \
		if (run.cut) {                                           \
			at.done = 1;                                     \
			put_cut(&w);                                     \
		}                                                        \
		if (!run.err)                                            \
			cursor = at;                                     \
		return 0;                                                \
	}

/* Two programs for one walk: the second is for kernels without bpf_loop(). */
#define TICK_WALK(name, cursor, at, begin, step, steps, plain_steps)          \
	TICK_PROGRAM(name, cursor, at, begin, KERNEL_LOOP(step, steps))       \
	TICK_PROGRAM(name##_plain, cursor, at, begin, PLAIN_LOOP(step, plain_steps))

#endif
