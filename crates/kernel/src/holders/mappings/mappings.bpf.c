// SPDX-License-Identifier: (BSD-2-Clause OR GPL-2.0-only)
/*
 * Memory mappings of maps, and of rings of perf events and io_urings. Takes each process's mmap lock in turn, so it runs
 * only when an account has a remainder that a mapping could explain.
 */
#include "../carriers/carriers.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

SEC("iter/task_vma")
int mappings(struct bpf_iter__task_vma *ctx)
{
	struct seq_file *seq = ctx->meta->seq;
	struct task_struct *task = ctx->task;
	struct vm_area_struct *vma = ctx->vma;
	struct row_file r = {};
	struct file *file;
	u64 f_op;
	long err;

	if (!task || !vma)
		return 0;
	file = vma->vm_file;
	if (!file)
		return 0;
	f_op = (u64)file->f_op;
	if (f_op != file_ops.map && !is_carrier(f_op))
		return 0;
	err = write_task(seq, task);
	if (f_op != file_ops.map) {
		err |= write_carrier(seq, f_op, BPF_CORE_READ(file, private_data), ~0u, 0);
	} else {
		r.row.kind = ROW_MAPPING;
		r.row.size = sizeof(r);
		r.row.n = ~0u;
		r.file = (u64)file;
		r.object = (u64)file->private_data;
		err |= write_row(seq, r);
	}
	if (!err)
		task_written(task);
	return 0;
}
