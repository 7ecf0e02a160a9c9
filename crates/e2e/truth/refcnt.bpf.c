// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * The independent truth: one iterator per kind of object, which prints what the
 * kernel's counters say. It shares no line with lastref's own walks, so that a
 * mistake there cannot hide here.
 *
 * `bpftool iter pin` takes one program per object file, therefore one of
 * TRUTH_MAP, TRUTH_PROG, TRUTH_LINK, TRUTH_LINK_FILE and TRUTH_FILE is defined by the build.
 * While an iterator shows a map, program or link it holds one reference on it
 * (bpf_map_get_curr_or_next() and its siblings): the reader subtracts that one.
 */
typedef signed char __s8;
typedef unsigned char __u8;
typedef short __s16;
typedef unsigned short __u16;
typedef int __s32;
typedef unsigned int __u32;
typedef long long __s64;
typedef unsigned long long __u64;
typedef __u16 __be16;
typedef __u32 __be32;
typedef __u32 __wsum;

#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

typedef struct {
	int counter;
} atomic_t;

typedef struct {
	__s64 counter;
} atomic64_t;

typedef struct {
	atomic_t refs;
} refcount_t;

struct seq_file;

struct bpf_iter_meta {
	struct seq_file *seq;
};

struct btf {
	__u32 id;
	refcount_t refcnt;
};

struct bpf_map {
	__u32 id;
	char name[16];
	struct btf *btf;
	atomic64_t refcnt;
	atomic64_t usercnt;
};

struct bpf_prog_aux {
	atomic64_t refcnt;
	__u32 id;
	char name[16];
	struct btf *btf;
};

struct bpf_prog {
	struct bpf_prog_aux *aux;
};

struct bpf_link {
	atomic64_t refcnt;
	__u32 id;
};

struct task_struct {
	int tgid;
};

struct file {
	void *private_data;
};

struct bpf_iter__bpf_map {
	struct bpf_iter_meta *meta;
	struct bpf_map *map;
};

struct bpf_iter__bpf_prog {
	struct bpf_iter_meta *meta;
	struct bpf_prog *prog;
};

struct bpf_iter__bpf_link {
	struct bpf_iter_meta *meta;
	struct bpf_link *link;
};

struct bpf_iter__task_file {
	struct bpf_iter_meta *meta;
	struct task_struct *task;
	__u32 fd;
	struct file *file;
};

#pragma clang attribute pop

#ifdef TRUTH_MAP
/* id refcnt usercnt btf-id btf-refcnt name */
SEC("iter/bpf_map")
int truth_map(struct bpf_iter__bpf_map *ctx)
{
	struct bpf_map *map = ctx->map;
	struct btf *btf;
	__u32 btf_id = 0, btf_refcnt = 0;

	if (!map)
		return 0;
	btf = map->btf;
	if (btf) {
		btf_id = btf->id;
		btf_refcnt = btf->refcnt.refs.counter;
	}
	BPF_SEQ_PRINTF(ctx->meta->seq, "%u %lld %lld %u %u %s\n", map->id, map->refcnt.counter,
		       map->usercnt.counter, btf_id, btf_refcnt, map->name);
	return 0;
}
#endif

#ifdef TRUTH_PROG
/* id refcnt btf-id btf-refcnt name */
SEC("iter/bpf_prog")
int truth_prog(struct bpf_iter__bpf_prog *ctx)
{
	struct bpf_prog *prog = ctx->prog;
	struct bpf_prog_aux *aux;
	struct btf *btf;
	__u32 btf_id = 0, btf_refcnt = 0;

	if (!prog)
		return 0;
	aux = prog->aux;
	btf = aux->btf;
	if (btf) {
		btf_id = btf->id;
		btf_refcnt = btf->refcnt.refs.counter;
	}
	BPF_SEQ_PRINTF(ctx->meta->seq, "%u %lld %u %u %s\n", aux->id, aux->refcnt.counter, btf_id,
		       btf_refcnt, aux->name);
	return 0;
}
#endif

#ifdef TRUTH_LINK
/* id refcnt */
SEC("iter/bpf_link")
int truth_link(struct bpf_iter__bpf_link *ctx)
{
	struct bpf_link *link = ctx->link;

	if (!link)
		return 0;
	BPF_SEQ_PRINTF(ctx->meta->seq, "%u %lld\n", link->id, link->refcnt.counter);
	return 0;
}
#endif

#ifdef TRUTH_LINK_FILE
/*
 * tgid fd id refcnt, of every open file as if it were a link: before 5.19 no
 * iterator shows links. The reader opens all links, and asks for its own descriptors.
 */
SEC("iter/task_file")
int truth_link_file(struct bpf_iter__task_file *ctx)
{
	struct task_struct *task = ctx->task;
	struct file *file = ctx->file;
	struct bpf_link *link;

	if (!task || !file)
		return 0;
	link = file->private_data;
	if (!link)
		return 0;
	BPF_SEQ_PRINTF(ctx->meta->seq, "%d %u %u %llu\n", task->tgid, ctx->fd,
		       BPF_CORE_READ(link, id), BPF_CORE_READ(link, refcnt.counter));
	return 0;
}
#endif

#ifdef TRUTH_FILE
/*
 * tgid fd btf-id btf-refcnt, of every open file as if it were BTF: no iterator
 * shows BTF. The reader asks only for descriptors that it knows to be BTF.
 */
SEC("iter/task_file")
int truth_file(struct bpf_iter__task_file *ctx)
{
	struct task_struct *task = ctx->task;
	struct file *file = ctx->file;
	struct btf *btf;

	if (!task || !file)
		return 0;
	btf = file->private_data;
	if (!btf)
		return 0;
	BPF_SEQ_PRINTF(ctx->meta->seq, "%d %u %u %u\n", task->tgid, ctx->fd,
		       BPF_CORE_READ(btf, id), BPF_CORE_READ(btf, refcnt.refs.counter));
	return 0;
}
#endif

char LICENSE[] SEC("license") = "Dual BSD/GPL";
