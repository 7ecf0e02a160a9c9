// SPDX-License-Identifier: (BSD-2-Clause OR GPL-2.0-only)
/* How a file is recognised as one of BPF's, and whose it is. */
#ifndef LASTREF_FILES_H
#define LASTREF_FILES_H

#include "rows.h"

/* Learned from descriptors of our own (calibration); never from kallsyms. */
struct file_ops {
	u64 map, prog, link, btf, iter;
	/*
	 * Links that can be polled have another table since v6.11
	 * (bpf_link_fops_poll), with the same release function. 0: not learned.
	 */
	u64 link_release;
	u64 socket, perf, uring; /* carriers; 0: none of ours could be made */
	u32 level; /* of our pid namespace: pids are written as it sees them */
};
extern struct file_ops file_ops;

/* By its table of operations; 0: none of BPF's, or that of a link that can be polled. */
static __always_inline u32 kind_of_table(u64 f_op)
{
	if (f_op == file_ops.map)
		return ROW_MAP_FILE;
	if (f_op == file_ops.prog)
		return ROW_PROG_FILE;
	if (f_op == file_ops.link)
		return ROW_LINK_FILE;
	if (f_op == file_ops.btf)
		return ROW_BTF_FILE;
	if (f_op == file_ops.iter)
		return ROW_ITER_FILE;
	return 0;
}

static __always_inline u32 kind_of_release(u64 release)
{
	return file_ops.link_release && release == file_ops.link_release ? ROW_LINK_FILE : 0;
}

/* Of a file that an iterator holds; others are read by bpf_probe_read_kernel(). */
static __always_inline u32 bpf_file_kind(struct file *file)
{
	return kind_of_table((u64)file->f_op) ?: kind_of_release((u64)file->f_op->release);
}

/* The program that an open iterator runs, and the first word of its private data. */
static __always_inline void read_iterator(struct seq_file *open, u64 *prog, u64 *map)
{
	void *private = BPF_CORE_READ(open, private);

	*prog = (u64)BPF_CORE_READ(container_of(private, struct bpf_iter_priv_data, target_private), prog);
	bpf_probe_read_kernel(map, sizeof(*map), private);
}

static __always_inline u32 pid_in_our_namespace(struct task_struct *task)
{
	struct pid *pid = BPF_CORE_READ(task, thread_pid);
	int nr = 0;

	if (!pid || BPF_CORE_READ(pid, level) < file_ops.level)
		return 0;
	bpf_probe_read_kernel(&nr, sizeof(nr),
			      (void *)pid + bpf_core_field_offset(struct pid, numbers) +
				      file_ops.level * bpf_core_type_size(struct upid));
	return nr;
}

/* Before v5.11 the iterator itself held a reference on the table that it walks. */
static __always_inline bool is_shared_table(struct files_struct *files)
{
	struct bpf_iter_seq_task_file_info *info = NULL;

	return files->count.counter > (bpf_core_field_exists(info->files) ? 2 : 1);
}

#define PF_EXITING 0x4

/* A main thread that has exited is not moved with the others (cgroup_migrate_add_task). */
static __always_inline void read_who(struct who *who, struct task_struct *leader, struct task_struct *task)
{
	struct css_set *css_set = leader->flags & PF_EXITING ? task->cgroups : leader->cgroups;

	who->start = leader->start_boottime;
	who->exec = leader->self_exec_id;
	who->css_set = (u64)css_set;
	who->cgroup = BPF_CORE_READ(css_set, dfl_cgrp, kn, id);
	BPF_CORE_READ_STR_INTO(&who->comm, leader, comm);
}

/* Names the task, unless the row before was its too. */
static __always_inline long write_task(struct seq_file *seq, struct task_struct *task)
{
	struct task_struct *leader;
	struct row_task r = {};

	if (task->pid == last.pid && task->tgid == last.tgid && (u64)task->files == last.files)
		return 0;
	leader = task->group_leader;
	r.row.kind = ROW_TASK;
	r.row.size = sizeof(r);
	r.row.n = pid_in_our_namespace(leader);
	r.files = (u64)task->files;
	r.tid = pid_in_our_namespace(task);
	/* A main thread that has exited has no table (exit_files): what its threads share was the process's. */
	r.shared = is_shared_table(task->files);
	r.own_table = task != leader && leader->files && task->files != leader->files;
	read_who(&r.who, leader, task);
	return write_row(seq, r);
}

static __always_inline void task_written(struct task_struct *task)
{
	last.pid = task->pid;
	last.tgid = task->tgid;
	last.files = (u64)task->files;
}

#endif
