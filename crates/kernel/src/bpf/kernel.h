// SPDX-License-Identifier: (BSD-2-Clause OR GPL-2.0-only)
/*
 * The kernel's structs, as far as we read them. No vmlinux.h: what stands here
 * is what we depend on, and CO-RE finds the offsets on the running kernel.
 *
 * Where kernels differ, a struct has the fields of all of them, with the kernel
 * commit that made the difference, and the code asks which exist. A flavour
 * (`name___form`) stands only where one field changed its type: for each
 * distinct struct, libbpf looks through all of the kernel's types, which takes
 * 0.5 to 1 ms. For the same reason the iterators' contexts, whose layout is
 * ABI, are not relocated.
 */
#ifndef LASTREF_KERNEL_H
#define LASTREF_KERNEL_H

#include <linux/bpf.h>
#include <stdbool.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>

typedef __u8 u8;
typedef __u16 u16;
typedef __u32 u32;
typedef __u64 u64;
typedef __s64 s64;

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

/* Types */

typedef struct { int counter; } atomic_t;
typedef struct { s64 counter; } atomic64_t;
typedef struct { atomic_t refs; } refcount_t;

struct list_head { struct list_head *next, *prev; };
struct hlist_node { struct hlist_node *next, **pprev; };
struct hlist_head { struct hlist_node *first; };
struct hlist_bl_node { struct hlist_bl_node *next, **pprev; };

/* Cgroups: who is charged */

struct kernfs_node {
	const char *name;
	struct kernfs_node *parent;
	struct kernfs_node *__parent; /* v6.15, 633488947ef6 "kernfs: Use RCU to access kernfs_node::parent" */
};
struct cgroup { struct kernfs_node *kn; };
struct cgroup_subsys_state { struct cgroup *cgroup; };
struct mem_cgroup { struct cgroup_subsys_state css; };
struct obj_cgroup { struct mem_cgroup *memcg; };

/* Processes and files */

struct pid_namespace;
struct upid { int nr; struct pid_namespace *ns; };
struct pid { unsigned int level; struct upid numbers[1]; };
struct files_struct { atomic_t count; };
struct task_struct {
	u32 pid, tgid;
	struct task_struct *group_leader;
	struct pid *thread_pid;
	struct files_struct *files;
};
struct file_operations { void *release; };
struct file_system_type;
struct dentry;
struct qstr { u32 len; const unsigned char *name; };
struct inode {
	unsigned short i_mode;
	unsigned long i_ino;
	struct super_block *i_sb;
	struct list_head i_sb_list;
	struct hlist_head i_dentry;
	void *i_private;
};
struct super_block {
	u32 s_dev;
	struct file_system_type *s_type;
	struct dentry *s_root;
	struct hlist_node s_instances;
	struct list_head s_inodes;
};
struct file_system_type {
	const char *name;
	struct file_system_type *next;
	struct hlist_head fs_supers;
};
struct dentry {
	struct hlist_bl_node d_hash;
	struct dentry *d_parent;
	struct inode *d_inode;
	struct qstr d_name;
	union { struct hlist_node d_alias; } d_u;
};
typedef struct { atomic64_t refcnt; } file_ref_t;
struct file {
	const struct file_operations *f_op;
	struct inode *f_inode;
	void *private_data;
	atomic64_t f_count;
	file_ref_t f_ref; /* v6.13, 90ee6ed776c0 "fs: port files to file_ref": the count less one */
};
struct vm_area_struct { struct file *vm_file; };
struct seq_file { void *private; };

/* BTF */

struct btf_type { u32 name_off; };
struct btf {
	struct btf_type **types;
	const char *strings;
	u32 nr_types;
	u32 data_size;
	refcount_t refcnt;
	u32 id;
	char name[56];
	bool kernel_btf;
};

/* Maps */

struct bpf_map {
	struct bpf_map *inner_map_meta;
	enum bpf_map_type map_type;
	u32 key_size, value_size, max_entries, map_flags, id;
	struct btf *btf;
	struct mem_cgroup *memcg; /* v5.11 to v5.19 */
	struct obj_cgroup *objcg; /* v6.0, 4201d9ab3e42 "bpf: reparent bpf maps on memcg offlining" */
	char name[BPF_OBJ_NAME_LEN];
	atomic64_t refcnt, usercnt;
};
struct bpf_array { struct bpf_map map; void *ptrs[0]; };
struct hlist_nulls_node { struct hlist_nulls_node *next; };
struct hlist_nulls_head { struct hlist_nulls_node *first; };
struct bucket { struct hlist_nulls_head head; };
struct bpf_htab {
	struct bpf_map map;
	struct bucket *buckets;
	atomic_t count;
	bool use_percpu_counter;
	u32 n_buckets, elem_size;
};
struct htab_elem { struct hlist_nulls_node hash_node; char key[0]; };
struct bpf_ringbuf { int nr_pages; };
struct bpf_ringbuf_map { struct bpf_map map; struct bpf_ringbuf *rb; };

/* Programs */

struct bpf_prog_aux {
	atomic64_t refcnt;
	u32 used_map_cnt, id;
	struct bpf_prog *dst_prog;
	struct bpf_map **used_maps;
	char name[BPF_OBJ_NAME_LEN];
	struct btf *btf, *attach_btf;
	struct bpf_func_info *func_info;
	u32 func_info_cnt;
	const char *attach_func_name;
};
struct bpf_prog {
	u16 pages;
	enum bpf_prog_type type;
	u8 tag[BPF_TAG_SIZE];
	struct bpf_prog_aux *aux;
};

/* Links */

struct bpf_link {
	atomic64_t refcnt;
	u32 id;
	enum bpf_link_type type;
	struct bpf_prog *prog;
	/* v6.17, b725441f02c2 "bpf: Add attach_type field to bpf_link"; before, each kind had it */
	enum bpf_attach_type attach_type;
};

struct tracepoint { const char *name; };
struct bpf_raw_event_map { struct tracepoint *tp; };
struct bpf_raw_tp_link { struct bpf_link link; struct bpf_raw_event_map *btp; };
struct bpf_tramp_link { struct bpf_link link; };
struct bpf_tracing_link {
	struct bpf_tramp_link link;
	struct bpf_prog *tgt_prog;
	enum bpf_attach_type attach_type;
};
struct bpf_cgroup_link { struct bpf_link link; struct cgroup *cgroup; enum bpf_attach_type type; };
struct bpf_iter_aux_info { struct bpf_map *map; };
struct bpf_iter_reg { const char *target; };
struct bpf_iter_target_info { const struct bpf_iter_reg *reg_info; };
struct bpf_iter_link {
	struct bpf_link link;
	struct bpf_iter_aux_info aux;
	struct bpf_iter_target_info *tinfo;
};
struct bpf_iter_priv_data {
	struct bpf_iter_target_info *tinfo;
	struct bpf_prog *prog;
	u8 target_private[0];
};
struct ns_common { unsigned int inum; };
struct net { struct ns_common ns; };
typedef struct { struct net *net; } possible_net_t;
struct net_device { char name[16]; int ifindex; possible_net_t nd_net; };
struct bpf_netns_link { struct bpf_link link; struct net *net; enum bpf_attach_type type; };
struct bpf_xdp_link { struct bpf_link link; struct net_device *dev; };
struct tcx_link { struct bpf_link link; struct net_device *dev; u32 location; };
struct netkit_link { struct bpf_link link; struct net_device *dev; u32 location; };
struct bpf_struct_ops_link { struct bpf_link link; struct bpf_map *map; };
struct sockmap_link { struct bpf_link link; struct bpf_map *map; enum bpf_attach_type attach_type; };
struct nf_hook_ops { u8 pf; unsigned int hooknum; int priority; };
struct bpf_nf_link { struct bpf_link link; struct nf_hook_ops hook_ops; struct net *net; u32 dead; };
struct bpf_kprobe_multi_link { struct bpf_link link; u32 cnt; };
struct path { struct dentry *dentry; };
struct bpf_uprobe_multi_link { struct path path; struct bpf_link link; u32 cnt; };

/* Perf events, as perf links keep them */

struct trace_event_class { const char *system; };
struct trace_event_call {
	struct trace_event_class *class;
	union { const char *name; struct tracepoint *tp; };
};
struct perf_event_attr___kernel { u32 type; };
struct perf_event {
	struct perf_event_attr___kernel attr;
	struct trace_event_call *tp_event;
	struct bpf_prog *prog;
};
struct bpf_perf_link { struct bpf_link link; struct file *perf_file; };

#pragma clang attribute pop

/* Iterator contexts: ABI, so not relocated. Each member takes 8 bytes. */

struct bpf_iter_meta { struct seq_file *seq; };
struct bpf_iter__bpf_map { struct bpf_iter_meta *meta; struct bpf_map *map; };
struct bpf_iter__bpf_prog { struct bpf_iter_meta *meta; struct bpf_prog *prog; };
struct bpf_iter__bpf_link { struct bpf_iter_meta *meta; struct bpf_link *link; };
struct bpf_iter__task_file {
	struct bpf_iter_meta *meta;
	struct task_struct *task;
	u32 fd __attribute__((aligned(8)));
	struct file *file __attribute__((aligned(8)));
};
struct bpf_iter__task_vma {
	struct bpf_iter_meta *meta;
	struct task_struct *task;
	struct vm_area_struct *vma;
};
struct bpf_iter__bpf_map_elem {
	struct bpf_iter_meta *meta;
	struct bpf_map *map;
	void *key;
	void *value;
};


#endif
