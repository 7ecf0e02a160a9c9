// SPDX-License-Identifier: (BSD-2-Clause OR GPL-2.0-only)
/*
 * A command and all that it starts: which processes these are, and what stood in their descriptor
 * tables when they ended.
 *
 * Both hooks are off the path of system calls: a fork and an exit have them, nothing else has.
 */
#include "tree.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

struct file_ops file_ops;
/* For the generator. */
struct tree_row tree_row_type;
/* While it is set, what this process (as our pid namespace sees it) forks is the root of the tree. */
u32 armed;
/* Rows for which there was no room, and processes. */
u64 lost;

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 8 << 20);
} rows SEC(".maps");

/* Thread group ids of the initial pid namespace. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 65536);
	__type(key, u32);
	__type(value, u8);
} tree SEC(".maps");

SEC("tp_btf/sched_process_fork")
int forked(u64 *ctx)
{
	struct task_struct *parent = (void *)ctx[0], *child = (void *)ctx[1];
	u32 from = parent->tgid, to = child->tgid;
	u8 one = 1;

	/* A thread. */
	if (from == to)
		return 0;
	if (!bpf_map_lookup_elem(&tree, &from) &&
	    (!armed || pid_in_our_namespace(parent->group_leader) != armed))
		return 0;
	if (bpf_map_update_elem(&tree, &to, &one, BPF_ANY))
		__sync_fetch_and_add(&lost, 1);
	return 0;
}

struct table {
	struct file **fd;
	u32 pid;
	u32 max;
	u64 start;
	bool may_map;
};

#define MAP_TYPE_ARENA 33 /* v6.9, 317460317a02 "bpf: Introduce bpf_arena." */
#define FORKED_NO_EXEC 0x40 /* PF_FORKNOEXEC: descriptors and mappings may be those of its parent */

/* Its memory is still there where the hook comes before exit_mm(), since v6.16. */
static __always_inline bool has_mappings_of_its_own(struct task_struct *task)
{
	return BPF_CORE_READ(task, mm) && !(BPF_CORE_READ(task, flags) & FORKED_NO_EXEC);
}

static __always_inline bool can_be_mapped(struct bpf_map *map)
{
	u32 type = BPF_CORE_READ(map, map_type);

	return type == BPF_MAP_TYPE_RINGBUF || type == BPF_MAP_TYPE_USER_RINGBUF ||
	       type == MAP_TYPE_ARENA || BPF_CORE_READ(map, map_flags) & BPF_F_MMAPABLE;
}

static __always_inline void put(struct tree_row *r)
{
	if (bpf_ringbuf_output(&rows, r, sizeof(*r), 0))
		__sync_fetch_and_add(&lost, 1);
}

/* A function of its own for the verifier: where there is no bpf_loop() it would follow each turn into it. */
__noinline int put_descriptor(u64 array, u32 fd, u32 pid, u64 start, u32 may_map)
{
	struct tree_row r = {};
	struct file *file = NULL;
	void *object;

	if (bpf_probe_read_kernel(&file, sizeof(file), (struct file **)array + fd) || !file)
		return 0;
	r.kind = kind_of_table((u64)BPF_CORE_READ(file, f_op)) ?:
		 kind_of_release((u64)BPF_CORE_READ(file, f_op, release));
	object = BPF_CORE_READ(file, private_data);
	if (r.kind == ROW_MAP_FILE) {
		struct bpf_map *map = object;

		r.id = BPF_CORE_READ(map, id);
		r.type = BPF_CORE_READ(map, map_type);
		r.cut = may_map && can_be_mapped(map);
		BPF_CORE_READ_INTO(&r.name, map, name);
	} else if (r.kind == ROW_PROG_FILE) {
		struct bpf_prog *prog = object;

		r.id = BPF_CORE_READ(prog, aux, id);
		r.type = BPF_CORE_READ(prog, type);
		BPF_CORE_READ_INTO(&r.name, prog, aux, name);
	} else if (r.kind == ROW_LINK_FILE) {
		struct bpf_link *link = object;

		r.id = BPF_CORE_READ(link, id);
		r.type = BPF_CORE_READ(link, type);
	} else if (r.kind == ROW_BTF_FILE) {
		r.id = BPF_CORE_READ((struct btf *)object, id);
	} else {
		return 0;
	}
	r.pid = pid;
	r.fd = fd;
	r.file = (u64)file;
	r.start = start;
	if (bpf_core_field_exists(file->f_ref))
		r.refs = BPF_CORE_READ(file, f_ref.refcnt.counter) + 1;
	else
		r.refs = BPF_CORE_READ(file, f_count.counter);
	put(&r);
	return 0;
}

static long descriptor(u32 fd, struct table *table)
{
	if (fd >= table->max)
		return 1;
	put_descriptor((u64)table->fd, fd, table->pid, table->start, table->may_map);
	return 0;
}

enum ending {
	GOES_ON,
	THREAD, /* one with a table of its own, and the process goes on */
	PROCESS,
};

/*
 * What ends with this task of the tree. Its descriptors are still there (do_exit: exit_files comes
 * later). A table that other processes have too (CLONE_FILES) does not end with this one.
 */
static __always_inline enum ending ending(struct task_struct *task, struct table *table)
{
	u32 tgid = task->tgid;
	struct files_struct *files = BPF_CORE_READ(task, files), *leaders;
	int users = BPF_CORE_READ(files, count.counter);
	enum ending ending = PROCESS;
	struct fdtable *fdt;

	if (BPF_CORE_READ(task, signal, live.counter)) {
		leaders = BPF_CORE_READ(task, group_leader, files);
		if (!files || !leaders || files == leaders || users != 1 ||
		    !bpf_map_lookup_elem(&tree, &tgid))
			return GOES_ON;
		ending = THREAD;
	} else if (bpf_map_delete_elem(&tree, &tgid)) {
		/* Of threads that end together each sees this; the one that took the process out goes on. */
		return GOES_ON;
	}
	table->may_map = has_mappings_of_its_own(task);
	table->pid = pid_in_our_namespace(task->group_leader);
	table->start = BPF_CORE_READ(task, group_leader, start_boottime);
	if (files && users <= BPF_CORE_READ(task, signal, nr_threads)) {
		fdt = BPF_CORE_READ(files, fdt);
		table->fd = BPF_CORE_READ(fdt, fd);
		table->max = BPF_CORE_READ(fdt, max_fds);
	}
	return ending;
}

static __always_inline void ended(struct task_struct *task, struct table *table, u32 read)
{
	struct tree_row r = {};

	r.kind = TREE_ENDED;
	r.pid = table->pid;
	r.start = table->start;
	r.cut = table->max > read ? TREE_CUT : 0;
	if (BPF_CORE_READ(task, flags) & FORKED_NO_EXEC)
		r.cut |= TREE_FORKED;
	BPF_CORE_READ_INTO(&r.name, task, group_leader, comm);
	put(&r);
}

#define MOST (1 << 20)
#define MOST_PLAIN 512

SEC("tp_btf/sched_process_exit")
int exited(u64 *ctx)
{
	struct task_struct *task = (void *)ctx[0];
	struct table table = {};
	enum ending what = ending(task, &table);

	if (what == GOES_ON)
		return 0;
	bpf_loop(table.max < MOST ? table.max : MOST, descriptor, &table, 0);
	if (what == PROCESS)
		ended(task, &table, MOST);
	return 0;
}

/* Before v5.17 there is no bpf_loop(). */
SEC("tp_btf/sched_process_exit")
int exited_plain(u64 *ctx)
{
	struct task_struct *task = (void *)ctx[0];
	struct table table = {};
	enum ending what = ending(task, &table);
	u32 fd;

	if (what == GOES_ON)
		return 0;
	for (fd = 0; fd < MOST_PLAIN; fd++)
		if (descriptor(fd, &table))
			break;
	if (what == PROCESS)
		ended(task, &table, MOST_PLAIN);
	return 0;
}
