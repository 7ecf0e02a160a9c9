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
typedef __s32 s32;
typedef __s64 s64;

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

/* Types */

typedef struct { int counter; } atomic_t;
typedef struct { s64 counter; } atomic64_t;
typedef struct { atomic_t refs; } refcount_t;

struct list_head { struct list_head *next, *prev; };
struct callback_head { struct callback_head *next; };
struct hlist_node { struct hlist_node *next, **pprev; };
struct hlist_head { struct hlist_node *first; };
struct hlist_bl_node { struct hlist_bl_node *next, **pprev; };

/* Cgroups: who is charged */

struct kernfs_node {
	const char *name;
	struct kernfs_node *parent;
	u64 id; /* v5.5, 67c0496e87d1 "kernfs: convert kernfs_node->id from union kernfs_node_id to u64" */
	struct kernfs_node *__parent; /* v6.15, 633488947ef6 "kernfs: Use RCU to access kernfs_node::parent" */
};
struct cgroup;
struct cgroup_subsys_state {
	struct cgroup *cgroup;
	struct list_head sibling, children;
	struct cgroup_subsys_state *parent;
};
struct cgroup_bpf {
	struct bpf_prog_array *effective[1];
	/* hlist_head since v6.0 (00442143a2ab "bpf: convert cgroup_bpf.progs to hlist"), list_head before */
	struct hlist_head progs[1];
};
struct cgroup {
	struct cgroup_subsys_state self;
	struct kernfs_node *kn;
	struct cgroup_bpf bpf;
};
struct css_set { struct cgroup *dfl_cgrp; };
struct mem_cgroup { struct cgroup_subsys_state css; };
struct obj_cgroup { struct mem_cgroup *memcg; };

/* Processes and files */

struct pid_namespace;
struct upid { int nr; struct pid_namespace *ns; };
struct pid { unsigned int level; struct upid numbers[1]; };
struct file;
struct fdtable { u32 max_fds; struct file **fd; };
struct files_struct { atomic_t count; struct fdtable *fdt; };
/* `files` until v5.11, 66ed594409a1 "bpf/task_iter: In task_file_seq_get_next use task_lookup_next_fd_rcu" */
struct bpf_iter_seq_task_file_info { struct files_struct *files; };
struct signal_struct { atomic_t live; int nr_threads; };
struct task_struct {
	u32 pid, tgid, flags;
	u64 start_boottime; /* v5.5, cf25e24db61c "time: Rename tsk->real_start_time to ->start_boottime" */
	u64 self_exec_id;   /* v5.7, d1e7fd6462ca "signal: Extend exec_id to 64bits" */
	char comm[16];
	struct signal_struct *signal;
	struct mm_struct *mm;
	struct task_struct *group_leader;
	struct pid *thread_pid;
	struct files_struct *files;
	struct nsproxy *nsproxy;
	struct css_set *cgroups;
	struct io_uring_task *io_uring;
};
struct nsproxy { struct net *net_ns; };
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
struct vm_area_struct {
	struct file *vm_file;
	struct mm_struct *vm_mm;
	struct vm_area_struct *vm_next; /* until v6.1, 763ecb035029 "mm: remove the vma linked list" */
};
struct mm_struct {
	struct vm_area_struct *mmap; /* until v6.1, the same */
	int map_count;
};
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
	char name[56]; /* v5.11, 5329722057d4 "bpf: Assign ID to vmlinux BTF" */
	bool kernel_btf; /* v5.11, the same */
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
	int timer_off;             /* v5.15 to v6.1 */
	struct btf_record *record; /* v6.2, aa3496accc41 "bpf: Refactor kptr_off_tab into btf_record" */
};
struct btf_field_kptr { struct btf *btf; };
struct btf_field { struct btf_field_kptr kptr; u32 type; };
struct btf_record { u32 cnt; int timer_off, wq_off; struct btf_field fields[0]; };
struct bpf_array { struct bpf_map map; u32 elem_size; void *ptrs[0]; };
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
struct bpf_dtab_netdev { struct hlist_node index_hlist; struct bpf_prog *xdp_prog; };
struct bpf_dtab {
	struct bpf_map map;
	struct bpf_dtab_netdev **netdev_map;
	struct hlist_head *dev_index_head;
	u32 n_buckets;
};
struct bpf_cpu_map_entry { struct bpf_prog *prog; };
struct bpf_cpu_map { struct bpf_map map; struct bpf_cpu_map_entry **cpu_map; };
struct xdp_sock;
struct xsk_map { struct bpf_map map; struct xdp_sock *xsk_map[0]; };
struct sk_psock_progs {
	struct bpf_prog *msg_parser;
	struct bpf_prog *stream_verdict; /* v5.13, a7ba4558e69a "sock_map: Introduce BPF_SK_SKB_VERDICT"; three programs before */
	struct bpf_link *msg_parser_link; /* v6.10, 699c23f02c65 "bpf: Add bpf_link support for sk_msg and sk_skb progs" */
};
struct bpf_stab { struct bpf_map map; struct sock **sks; struct sk_psock_progs progs; };
struct bpf_shtab_bucket { struct hlist_head head; };
struct bpf_shtab_elem { struct sock *sk; struct hlist_node node; };
struct bpf_shtab {
	struct bpf_map map;
	struct bpf_shtab_bucket *buckets;
	u32 buckets_num;
	struct sk_psock_progs progs;
};
struct bpf_event_entry { struct file *perf_file; };
enum bpf_struct_ops_state { BPF_STRUCT_OPS_STATE_INIT, BPF_STRUCT_OPS_STATE_INUSE };
struct bpf_struct_ops_common_value { enum bpf_struct_ops_state state; };
struct bpf_struct_ops_value {
	refcount_t refcnt;
	enum bpf_struct_ops_state state; /* in `common` since v6.9, 612d087d4ba5 "bpf: validate value_type" */
	struct bpf_struct_ops_common_value common;
	char data[0];
};
struct bpf_struct_ops_map {
	struct bpf_map map;
	struct callback_head rcu;
	struct bpf_link **links; /* v5.18, f7e0beaf39d3 "bpf, x86: Generate trampolines from bpf_tramp_links" */
	struct bpf_prog **progs; /* before */
	u32 links_cnt;
	u32 funcs_cnt;
	struct bpf_struct_ops_value kvalue;
};
struct bpf_async_cb { struct bpf_prog *prog; };
struct bpf_hrtimer {
	struct bpf_async_cb cb; /* v6.10, 56b4a177ae63 "bpf: replace bpf_timer_init with a generic helper" */
	struct bpf_prog *prog;  /* before */
};
struct bpf_ringbuf { int nr_pages; };
struct bpf_ringbuf_map { struct bpf_map map; struct bpf_ringbuf *rb; };

/* Programs */

struct btf_mod_pair { struct btf *btf; };
struct bpf_prog_aux {
	atomic64_t refcnt;
	u32 used_map_cnt, used_btf_cnt, id;
	struct bpf_prog *dst_prog;
	struct bpf_map **used_maps;
	struct btf_mod_pair *used_btfs; /* v5.12, 541c3bad8dc5 "bpf: Support BPF ksym variables in kernel modules" */
	char name[BPF_OBJ_NAME_LEN];
	struct btf *btf, *attach_btf;
	struct bpf_func_info *func_info;
	u32 func_info_cnt;
	const char *attach_func_name;
};
struct bpf_prog {
	u16 pages;
	enum bpf_prog_type type;
	enum bpf_attach_type expected_attach_type;
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
struct bpf_prog_list { struct hlist_node node; struct bpf_prog *prog; struct bpf_cgroup_link *link; };
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
struct proc_ns_operations;
/* The count: in struct net, since 5.11 here, since 6.18 with another name. */
struct ns_common {
	const struct proc_ns_operations *ops;
	unsigned int inum;
	refcount_t count;
	refcount_t __ns_ref;
};
struct netns_bpf { struct bpf_prog *progs[2]; };
struct netns_ipv4 { const struct tcp_congestion_ops *tcp_congestion_control; };
struct net {
	refcount_t count;
	struct list_head list;
	struct ns_common ns;
	struct list_head dev_base_head;
	struct netns_ipv4 ipv4;
	struct netns_bpf bpf;
};
typedef struct { struct net *net; } possible_net_t;
struct bpf_xdp_entity { struct bpf_prog *prog; struct bpf_xdp_link *link; };
struct rtnl_link_ops { const char *kind; };
struct net_device {
	char name[16];
	int ifindex;
	possible_net_t nd_net;
	struct list_head dev_list;
	struct bpf_xdp_entity xdp_state[3];
	struct bpf_mprog_entry *tcx_ingress, *tcx_egress; /* v6.6, e420bed02507 "bpf: Add fd-based tcx" */
	const struct rtnl_link_ops *rtnl_link_ops;
	u8 priv[0]; /* netdev_priv(): where there is no such field, behind the struct, aligned to 32 */
};
struct bpf_mprog_fp { struct bpf_prog *prog; };
struct bpf_mprog_cp { struct bpf_link *link; };
struct bpf_mprog_bundle;
struct bpf_mprog_entry { struct bpf_mprog_fp fp_items[64]; struct bpf_mprog_bundle *parent; };
struct bpf_mprog_bundle { struct bpf_mprog_cp cp_items[64]; };
struct netkit { struct bpf_mprog_entry *active; bool primary; }; /* v6.7, 35dfaad7188c */
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

/* Sockets */

struct hlist_nulls_node;
struct sock_common {
	unsigned short skc_family;
	unsigned char skc_state;
	possible_net_t skc_net;
};
struct sk_buff_head { struct sk_buff *next, *prev; u32 qlen; };
struct sock {
	struct sock_common __sk_common;
	struct sk_buff_head sk_receive_queue;
	struct sk_filter *sk_filter;
	struct socket *sk_socket;
	u16 sk_type, sk_protocol;
	void *sk_user_data;
	struct sock_reuseport *sk_reuseport_cb;
};
struct socket { struct sock *sk; };
struct socket_alloc { struct socket socket; struct inode vfs_inode; };
struct sk_filter { struct bpf_prog *prog; };
struct sock_reuseport { struct bpf_prog *prog; };
struct sk_psock { struct sock *sk; struct sk_psock_progs progs; };
struct packet_fanout { u8 type; struct bpf_prog *bpf_prog; };
struct packet_sock { struct sock sk; struct packet_fanout *fanout; };
struct module;
struct tcp_congestion_ops { struct module *owner; };
struct inet_connection_sock { const struct tcp_congestion_ops *icsk_ca_ops; };
struct sk_buff { struct sk_buff *next, *prev; struct sock *sk; char cb[48]; };
struct scm_fp_list { short count; struct file *fp[253]; };
struct unix_skb_parms { struct scm_fp_list *fp; };

/* io_uring's fixed files */

struct io_fixed_file { unsigned long file_ptr; };
struct io_rsrc_node { unsigned long file_ptr; };
struct io_rsrc_data { unsigned int nr; struct io_rsrc_node **nodes; };
struct io_file_table {
	struct io_fixed_file *files; /* to v6.12 */
	struct io_rsrc_data data;    /* v6.13, 3597f2786b68 "io_uring/rsrc: unify file and buffer resource tables" */
};
/* v5.18, e7a6c00dc77a "io_uring: add support for registering ring file descriptors" */
struct io_uring_task { struct file *registered_rings[16]; };
struct io_ring_ctx { struct io_file_table file_table; unsigned int nr_user_files; };

/* Perf events, as perf links keep them */

struct trace_event_class { const char *system; };
struct trace_event_call {
	struct trace_event_class *class;
	union { const char *name; struct tracepoint *tp; };
};
struct perf_event_attr___kernel { u32 type; u64 config; };
struct perf_event {
	struct perf_event_attr___kernel attr;
	struct trace_event_call *tp_event;
	struct bpf_prog *prog;
	struct list_head child_list;
};
struct bpf_perf_link { struct bpf_link link; struct file *perf_file; };

#pragma clang attribute pop

/* Iterator contexts: ABI, so not relocated. Each member takes 8 bytes. */

struct bpf_iter_meta { struct seq_file *seq; };
struct bpf_iter__bpf_map { struct bpf_iter_meta *meta; struct bpf_map *map; };
struct bpf_iter__bpf_prog { struct bpf_iter_meta *meta; struct bpf_prog *prog; };
struct bpf_iter__bpf_link { struct bpf_iter_meta *meta; struct bpf_link *link; };
struct bpf_iter__task { struct bpf_iter_meta *meta; struct task_struct *task; };
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
