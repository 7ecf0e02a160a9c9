// SPDX-License-Identifier: (BSD-2-Clause OR GPL-2.0-only)
/*
 * Every inode of every bpffs, whoever has it mounted, and every name it has.
 *
 * bpffs instances are found by the list of registered file systems, which
 * begins at any that was registered earlier (sockfs is: core_initcall against
 * fs_initcall), then by the instances' super blocks. So it does not matter what
 * is mounted where we are. The kernel's locks on these lists
 * (sb_lock, s_inode_list_lock) cannot be taken here. So each run makes a bounded
 * number of steps under the RCU read lock that an iterator holds, remembers
 * where it stopped, and the next run first checks that this place is still in
 * its list. If it is not, it says so (ROW_CUT) and stops: the account will not
 * settle, and a further pass is made.
 */
#include "rows.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

/* Runs of cursor walks: an iterator over this array calls its program once per element. */
#define TICKS 4096
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, TICKS);
	__type(key, u32);
	__type(value, u8);
} ticks SEC(".maps");

struct pin_cursor {
	u64 fs_type; /* in: any file system registered before bpf. Then bpf's. */
	u64 sb;      /* now in this super block; 0: none left */
	u64 inode;   /* next to show; 0: the list's first */
	u64 dentry;  /* next name to show of it; 0: the inode itself comes first */
	u32 begun;
	u32 done;
};
struct pin_cursor pin_cursor;

/*
 * The state of one run. Not on the stack: the verifier would follow every value
 * that `written` can take, and a callback's iterations would never look alike.
 */
struct pin_run {
	struct pin_cursor at;
	u32 written;
	u32 stop;
	s64 err;
};
struct pin_run pin_run;

/* What bpf_loop() hands to a step. */
struct pin_walk {
	struct seq_file *seq;
};

#define WRITE_MAX (16 * 1024) /* of the 32 KiB that an iterator's buffer has */

static long find_bpffs(u32 i, struct pin_walk *w)
{
	struct file_system_type *type = (void *)pin_run.at.fs_type;
	char name[4] = {};

	if (!type)
		return 1;
	bpf_probe_read_kernel_str(name, sizeof(name), BPF_CORE_READ(type, name));
	if (name[0] == 'b' && name[1] == 'p' && name[2] == 'f' && name[3] == 0)
		return 1;
	pin_run.at.fs_type = (u64)BPF_CORE_READ(type, next);
	return 0;
}

static __always_inline u64 super_block_of(struct hlist_node *node)
{
	return node ? (u64)container_of(node, struct super_block, s_instances) : 0;
}

static __always_inline void write_super_block(struct pin_walk *w, struct super_block *sb)
{
	struct row_super_block r = {};

	r.row.kind = ROW_SUPER_BLOCK;
	r.row.size = sizeof(r);
	r.root = (u64)BPF_CORE_READ(sb, s_root);
	r.dev = BPF_CORE_READ(sb, s_dev);
	pin_run.err |= write_row(w->seq, r);
	pin_run.written += sizeof(r);
}

static __always_inline void write_inode(struct pin_walk *w, struct inode *inode)
{
	struct row_inode r = {};

	r.row.kind = ROW_INODE;
	r.row.size = sizeof(r);
	r.row.n = BPF_CORE_READ(inode, i_mode);
	r.object = (u64)BPF_CORE_READ(inode, i_private);
	r.ino = BPF_CORE_READ(inode, i_ino);
	pin_run.err |= write_row(w->seq, r);
	pin_run.written += sizeof(r);
}

static __always_inline void write_dentry(struct pin_walk *w, struct dentry *dentry)
{
	struct row_dentry r = {};

	r.row.kind = ROW_DENTRY;
	r.row.size = sizeof(r);
	r.row.n = !BPF_CORE_READ(dentry, d_hash.pprev);
	r.dentry = (u64)dentry;
	r.parent = (u64)BPF_CORE_READ(dentry, d_parent);
	pin_run.err |= write_row(w->seq, r);
	pin_run.err |= write_text(w->seq, TEXT_DENTRY, r.dentry, BPF_CORE_READ(dentry, d_name.name));
	/* As much as a name can take: what is counted must never be less than what is written. */
	pin_run.written += sizeof(r) + sizeof(struct text_buffer);
}

static __always_inline u64 dentry_of(struct hlist_node *alias)
{
	return alias ? (u64)container_of(alias, struct dentry, d_u.d_alias) : 0;
}

static __always_inline void next_inode(struct pin_walk *w, struct list_head *node)
{
	struct super_block *sb = (void *)pin_run.at.sb;
	struct list_head *head = (void *)sb + bpf_core_field_offset(struct super_block, s_inodes);

	pin_run.at.dentry = 0;
	/* An empty list, its end, or an entry that was removed (list_del_init). */
	if (!node || node == head) {
		pin_run.at.inode = 0;
		pin_run.at.sb = super_block_of(BPF_CORE_READ(sb, s_instances.next));
		if (pin_run.at.sb)
			write_super_block(w, (void *)pin_run.at.sb);
		return;
	}
	pin_run.at.inode = (u64)container_of(node, struct inode, i_sb_list);
}

/* One step: shows one inode, or one name of it. */
static long pin_step(u32 i, struct pin_walk *w)
{
	struct super_block *sb = (void *)pin_run.at.sb;
	struct inode *inode = (void *)pin_run.at.inode;
	struct dentry *dentry = (void *)pin_run.at.dentry;

	if (!sb) {
		pin_run.at.done = 1;
		return 1;
	}
	if (!inode) {
		next_inode(w, BPF_CORE_READ(sb, s_inodes.next));
	} else if (!dentry) {
		write_inode(w, inode);
		pin_run.at.dentry = dentry_of(BPF_CORE_READ(inode, i_dentry.first));
		if (!pin_run.at.dentry)
			next_inode(w, BPF_CORE_READ(inode, i_sb_list.next));
	} else {
		write_dentry(w, dentry);
		pin_run.at.dentry = dentry_of(BPF_CORE_READ(dentry, d_u.d_alias.next));
		if (!pin_run.at.dentry || pin_run.at.dentry == (u64)dentry)
			next_inode(w, BPF_CORE_READ(inode, i_sb_list.next));
	}
	/* A list that points to itself was changed under us. */
	if (pin_run.at.inode == (u64)inode && inode && !pin_run.at.dentry) {
		pin_run.stop = 1;
		return 1;
	}
	return pin_run.err || pin_run.written > WRITE_MAX;
}

/* Is the place we stopped at still where it was? */
static __always_inline bool still_there(void)
{
	struct super_block *sb = (void *)pin_run.at.sb;
	struct inode *inode = (void *)pin_run.at.inode;
	struct dentry *dentry = (void *)pin_run.at.dentry;
	struct list_head *next, *self;
	u64 fs_type = pin_run.at.fs_type;

	if (!sb)
		return true;
	/* An unmounted one is out of the list (hlist_del_init), or something else by now. */
	if ((u64)BPF_CORE_READ(sb, s_type) != fs_type || !BPF_CORE_READ(sb, s_instances.pprev))
		return false;
	if (!inode)
		return true;
	if (BPF_CORE_READ(inode, i_sb) != sb)
		return false;
	if (dentry && BPF_CORE_READ(dentry, d_inode) != inode)
		return false;
	self = (void *)inode + bpf_core_field_offset(struct inode, i_sb_list);
	next = BPF_CORE_READ(inode, i_sb_list.next);
	return next && next != self && BPF_CORE_READ(next, prev) == self;
}

static __always_inline void begin_run(void)
{
	pin_run.at = pin_cursor;
	pin_run.written = 0;
	pin_run.stop = 0;
	pin_run.err = 0;
}

/* The file system is found: its first super block. */
static __always_inline void first_super_block(struct pin_walk *w)
{
	/* A local: inside BPF_CORE_READ, our own struct would be relocated too. */
	struct file_system_type *bpffs = (void *)pin_run.at.fs_type;

	pin_run.at.begun = 1;
	if (bpffs)
		pin_run.at.sb = super_block_of(BPF_CORE_READ(bpffs, fs_supers.first));
	if (pin_run.at.sb)
		write_super_block(w, (void *)pin_run.at.sb);
}

static __always_inline void end_run(struct pin_walk *w)
{
	if (pin_run.stop) {
		struct row r = { .kind = ROW_CUT, .size = sizeof(r) };

		pin_run.at.done = 1;
		pin_run.err |= write_row(w->seq, r);
	}
	if (!pin_run.err)
		pin_cursor = pin_run.at;
}

SEC("iter/bpf_map_elem")
int pins(struct bpf_iter__bpf_map_elem *ctx)
{
	struct pin_walk w = { .seq = ctx->meta->seq };

	/* The last call comes without an element. */
	if (!ctx->key || pin_cursor.done)
		return 0;
	begin_run();
	if (!pin_run.at.begun) {
		bpf_loop(256, find_bpffs, &w, 0);
		first_super_block(&w);
	} else if (!still_there()) {
		pin_run.stop = 1;
	}
	if (!pin_run.stop)
		bpf_loop(512, pin_step, &w, 0);
	end_run(&w);
	return 0;
}

/* The same for kernels before 5.17, which have no bpf_loop(): fewer steps a run. */
SEC("iter/bpf_map_elem")
int pins_plain(struct bpf_iter__bpf_map_elem *ctx)
{
	struct pin_walk w = { .seq = ctx->meta->seq };
	u32 i;

	if (!ctx->key || pin_cursor.done)
		return 0;
	begin_run();
	if (!pin_run.at.begun) {
		for (i = 0; i < 128; i++)
			if (find_bpffs(i, &w))
				break;
		first_super_block(&w);
	} else if (!still_there()) {
		pin_run.stop = 1;
	}
	for (i = 0; i < 24 && !pin_run.stop; i++)
		if (pin_step(i, &w))
			break;
	end_run(&w);
	return 0;
}
