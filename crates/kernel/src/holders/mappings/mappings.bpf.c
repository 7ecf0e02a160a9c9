// SPDX-License-Identifier: (BSD-2-Clause OR GPL-2.0-only)
/*
 * Memory mappings of maps. Takes each process's mmap lock in turn, so it runs
 * only when an account has a remainder that a mapping could explain.
 */
#include "../files/files.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

SEC("iter/task_vma")
int mappings(struct bpf_iter__task_vma *ctx)
{
	struct seq_file *seq = ctx->meta->seq;
	struct task_struct *task = ctx->task;
	struct vm_area_struct *vma = ctx->vma;
	struct row_file r = {};
	struct file *file;
	long err;

	if (!task || !vma)
		return 0;
	file = vma->vm_file;
	if (!file || (u64)file->f_op != file_ops.map)
		return 0;
	err = write_task(seq, task);
	r.row.kind = ROW_MAPPING;
	r.row.size = sizeof(r);
	r.row.n = ~0u;
	r.file = (u64)file;
	r.object = (u64)file->private_data;
	err |= write_row(seq, r);
	if (!err)
		task_written(task);
	return 0;
}
