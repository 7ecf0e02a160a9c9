// SPDX-License-Identifier: (BSD-2-Clause OR GPL-2.0-only)
/*
 * Every inode of every bpffs, whoever has it mounted, and every name it has.
 *
 * bpffs instances are found by the list of registered file systems, which
 * begins at any that was registered earlier (sockfs is: core_initcall against
 * fs_initcall), then by the instances' super blocks. So it does not matter what
 * is mounted where we are.
 */
#include "../../bpf/ticks.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

struct pin_cursor {
	u64 fs_type; /* in: any file system registered before bpf. Then bpf's. */
	u64 sb;      /* now in this super block; 0: none left */
	u64 inode;   /* next to show; 0: the list's first */
	u64 dentry;  /* next name to show of it; 0: the inode itself comes first */
	u32 begun;
	u32 done;
};
struct pin_cursor pin_cursor;
struct pin_cursor pin_at;

static long find_bpffs(u32 i, struct walk *w)
{
	struct file_system_type *type = (void *)pin_at.fs_type;
	union {
		char bytes[4];
		u32 word;
	} name = {}, bpf = { .bytes = "bpf" };

	if (!type)
		return 1;
	bpf_probe_read_kernel_str(name.bytes, sizeof(name.bytes), BPF_CORE_READ(type, name));
	/* As one word, since the verifier goes through every branch of every round. */
	if (name.word == bpf.word)
		return 1;
	pin_at.fs_type = (u64)BPF_CORE_READ(type, next);
	return 0;
}

static __always_inline u64 super_block_of(struct hlist_node *node)
{
	return node ? (u64)container_of(node, struct super_block, s_instances) : 0;
}

static __always_inline void write_super_block(struct walk *w, struct super_block *sb)
{
	struct row_super_block r = {};

	r.row.kind = ROW_SUPER_BLOCK;
	r.row.size = sizeof(r);
	r.root = (u64)BPF_CORE_READ(sb, s_root);
	r.dev = BPF_CORE_READ(sb, s_dev);
	put_row(w, r);
}

static __always_inline void write_inode(struct walk *w, struct inode *inode)
{
	struct row_inode r = {};

	r.row.kind = ROW_INODE;
	r.row.size = sizeof(r);
	r.row.n = BPF_CORE_READ(inode, i_mode);
	r.object = (u64)BPF_CORE_READ(inode, i_private);
	r.ino = BPF_CORE_READ(inode, i_ino);
	put_row(w, r);
}

static __always_inline void write_dentry(struct walk *w, struct dentry *dentry)
{
	struct row_dentry r = {};

	r.row.kind = ROW_DENTRY;
	r.row.size = sizeof(r);
	r.row.n = !BPF_CORE_READ(dentry, d_hash.pprev);
	r.dentry = (u64)dentry;
	r.parent = (u64)BPF_CORE_READ(dentry, d_parent);
	put_row(w, r);
	put_text(w, TEXT_DENTRY, r.dentry, BPF_CORE_READ(dentry, d_name.name));
}

static __always_inline u64 dentry_of(struct hlist_node *alias)
{
	return alias ? (u64)container_of(alias, struct dentry, d_u.d_alias) : 0;
}

static __always_inline void next_inode(struct walk *w, struct list_head *node)
{
	struct super_block *sb = (void *)pin_at.sb;
	struct list_head *head = (void *)sb + bpf_core_field_offset(struct super_block, s_inodes);

	pin_at.dentry = 0;
	/* An empty list, its end, or an entry that was removed (list_del_init). */
	if (!node || node == head) {
		pin_at.inode = 0;
		pin_at.sb = super_block_of(BPF_CORE_READ(sb, s_instances.next));
		/* One that was just unmounted is the last of nothing (hlist_del_init). */
		if (!pin_at.sb && !BPF_CORE_READ(sb, s_instances.pprev))
			run.cut = 1;
		if (pin_at.sb)
			write_super_block(w, (void *)pin_at.sb);
		return;
	}
	pin_at.inode = (u64)container_of(node, struct inode, i_sb_list);
}

/* One step: shows one inode, or one name of it. */
static long pin_step(u32 i, struct walk *w)
{
	struct super_block *sb = (void *)pin_at.sb;
	struct inode *inode = (void *)pin_at.inode;
	struct dentry *dentry = (void *)pin_at.dentry;
	struct list_head *next;

	if (!sb) {
		pin_at.done = 1;
		return 1;
	}
	if (!inode) {
		next = BPF_CORE_READ(sb, s_inodes.next);
	} else {
		next = BPF_CORE_READ(inode, i_sb_list.next);
		if (!dentry) {
			write_inode(w, inode);
			pin_at.dentry = dentry_of(BPF_CORE_READ(inode, i_dentry.first));
		} else {
			write_dentry(w, dentry);
			pin_at.dentry = dentry_of(BPF_CORE_READ(dentry, d_u.d_alias.next));
			if (pin_at.dentry == (u64)dentry)
				pin_at.dentry = 0;
		}
	}
	if (!pin_at.dentry)
		next_inode(w, next);
	/* A list that points to itself was changed under us. */
	if (pin_at.inode == (u64)inode && inode && !pin_at.dentry)
		run.cut = 1;
	return run.cut || run_is_full();
}

/* Is the place we stopped at still where it was? */
static __always_inline bool still_there(void)
{
	struct super_block *sb = (void *)pin_at.sb;
	struct inode *inode = (void *)pin_at.inode;
	struct dentry *dentry = (void *)pin_at.dentry;
	struct list_head *next, *self;
	u64 fs_type = pin_at.fs_type;

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

/* The file system is found: its first super block. */
static __always_inline void first_super_block(struct walk *w)
{
	/* A local: inside BPF_CORE_READ, our own struct would be relocated too. */
	struct file_system_type *bpffs = (void *)pin_at.fs_type;

	pin_at.begun = 1;
	if (bpffs)
		pin_at.sb = super_block_of(BPF_CORE_READ(bpffs, fs_supers.first));
	if (pin_at.sb)
		write_super_block(w, (void *)pin_at.sb);
}

static __always_inline bool begin(struct walk *w)
{
	u32 i;

	if (!pin_at.begun) {
		/* More than any kernel has file systems before bpf. */
		for (i = 0; i < 128; i++)
			if (find_bpffs(i, w))
				break;
		first_super_block(w);
	} else if (!still_there()) {
		run.cut = 1;
	}
	return !run.cut;
}

TICK_WALK(pins, pin_cursor, pin_at, begin, pin_step, 512, 24)
