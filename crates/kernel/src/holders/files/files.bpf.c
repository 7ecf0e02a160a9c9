// SPDX-License-Identifier: (BSD-2-Clause OR GPL-2.0-only)
/*
 * Every descriptor on a BPF object, in every descriptor table.
 *
 * The hot walk: it sees all open files of the host. It compares one pointer,
 * writes 16 bytes, and leaves ids and counts to the object walks.
 */
#include "files.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

struct file_ops file_ops;
/* Write what our own descriptors look like, instead. */
bool calibrating;

static __always_inline long write_calibration(struct seq_file *seq, struct task_struct *task, u32 fd,
					      struct file *file)
{
	struct row_calibration r = {};

	if (task->tgid != bpf_get_current_pid_tgid() >> 32)
		return 0;
	r.row.kind = ROW_CALIBRATION;
	r.row.size = sizeof(r);
	r.row.n = fd;
	r.f_op = (u64)file->f_op;
	r.release = (u64)BPF_CORE_READ(file, f_op, release);
	r.private_data = (u64)file->private_data;
	r.fs_type = (u64)BPF_CORE_READ(file, f_inode, i_sb, s_type);
	r.level = BPF_CORE_READ(task, thread_pid, level);
	return write_row(seq, r);
}

/* References on the file without the iterator's own. One is the table's. */
static __always_inline u64 refs_of(struct file *file)
{
	if (bpf_core_field_exists(file->f_ref))
		return file->f_ref.refcnt.counter;
	return file->f_count.counter - 1;
}

SEC("iter/task_file")
int files(struct bpf_iter__task_file *ctx)
{
	struct seq_file *seq = ctx->meta->seq;
	struct task_struct *task = ctx->task;
	struct file *file = ctx->file;
	struct row_file r;
	u32 kind;
	long err;

	if (!task || !file)
		return 0;
	if (calibrating) {
		write_calibration(seq, task, ctx->fd, file);
		return 0;
	}
	kind = bpf_file_kind(file);
	if (!kind)
		return 0;

	err = write_task(seq, task);
	if (kind == ROW_ITER_FILE) {
		struct row_iter_file i = {};

		i.row.kind = kind;
		i.row.size = sizeof(i);
		i.row.n = ctx->fd;
		i.file = (u64)file;
		read_iterator(file->private_data, &i.prog, &i.map);
		err |= write_row(seq, i);
	} else {
		r.row.kind = kind;
		r.row.n = ctx->fd;
		r.object = (u64)file->private_data;
		if (kind == ROW_BTF_FILE)
			err |= write_btf(seq, BPF_CORE_READ(file, private_data));
		r.refs = refs_of(file);
		if (r.refs != 1) {
			r.row.size = sizeof(r);
			r.file = (u64)file;
			err |= bpf_seq_write(seq, &r, sizeof(r));
		} else {
			r.row.size = offsetof(struct row_file, file);
			err |= bpf_seq_write(seq, &r, offsetof(struct row_file, file));
		}
	}
	if (!err)
		task_written(task);
	return 0;
}
