// SPDX-License-Identifier: (BSD-2-Clause OR GPL-2.0-only)
/*
 * What the walks write, as a stream of rows. Rust has these structs by
 * generation, from the BTF of `struct rows` below (see shared.bpf.c).
 *
 * One run of an iterator program writes either all its rows or, where the
 * kernel's buffer is full, none: bpf_seq_read() then drops them and runs the
 * program again for the same element. State that outlives a run may therefore
 * change only after the last row of that run was written.
 */
#ifndef LASTREF_ROWS_H
#define LASTREF_ROWS_H

#include "kernel.h"

enum row_kind {
	ROW_MAP = 1,
	ROW_PROG,
	ROW_USED_MAPS,
	ROW_LINK,
	ROW_BTF,
	ROW_TEXT,
	ROW_TASK,
	ROW_MAP_FILE,
	ROW_PROG_FILE,
	ROW_LINK_FILE,
	ROW_BTF_FILE,
	ROW_ITER_FILE,
	ROW_CALIBRATION,
	ROW_SUPER_BLOCK,
	ROW_INODE,
	ROW_DENTRY,
	ROW_SLOT,
	ROW_MAPPING,
	ROW_CUT,
	ROW_HOLD,
	ROW_SOCKET,
	ROW_PERF,
	ROW_URING,
	ROW_CARRIED,
	ROW_SPACE,
	ROW_NET, /* a network namespace: its head alone, `row.n` is its inode number */
	ROW_USED_BTF, /* a BTF that the program in the row before uses besides its own: as ROW_BTF */
};

/* Every row begins with this. `size` counts the whole row, a multiple of 8. */
struct row {
	u16 kind;
	u16 size;
	u32 n; /* what it is, the kind says */
};

/* A map. `row.n` is its id. */
struct row_map {
	struct row row;
	u64 map;
	u64 refcnt;
	u64 usercnt;
	u64 btf;
	u64 inner_btf; /* of inner_map_meta, which holds a reference of its own */
	u64 cgroup;    /* charged: key of ROW_TEXT rows */
	u64 kdata;     /* struct_ops: what it registers */
	s64 entries;   /* -1: the kernel keeps no number */
	u32 type;
	u32 key_size;
	u32 value_size;
	u32 max_entries;
	u32 flags;
	u32 buckets;   /* hashes: n_buckets */
	u32 elem_size; /* hashes */
	u32 pages;     /* ring buffers: nr_pages */
	u32 struct_size; /* of the kernel's struct for this type */
	u32 bucket_size; /* hashes */
	s32 timer_off;   /* of a bpf_timer in the value; negative: none */
	s32 wq_off;      /* of a bpf_wq */
	char name[BPF_OBJ_NAME_LEN];
};

/* A program. `row.n` is its id. */
struct row_prog {
	struct row row;
	u64 prog;
	u64 refcnt;
	u64 btf;
	u64 target; /* aux->dst_prog */
	u32 type;
	u32 pages;
	u32 used_maps;
	u32 attach_type; /* expected_attach_type */
	u8 tag[BPF_TAG_SIZE];
	char name[BPF_OBJ_NAME_LEN];
};

/* The maps that the program in the row before uses. `row.n` is their number. */
struct row_used_maps {
	struct row row;
	u64 maps[1];
};

/* A link. `row.n` is its id. */
struct row_link {
	struct row row;
	u64 link;
	u64 refcnt;
	u64 prog;
	u64 event;      /* perf */
	u64 event_prog; /* perf: event->prog, with a reference of its own */
	u64 perf_config;
	u64 map;    /* iterator on a map, struct_ops, sockmap */
	u64 target; /* tracing on a program */
	u64 cgroup; /* key of ROW_TEXT rows */
	u32 type;
	u32 attach_type; /* ~0: the kernel does not say */
	u32 netns;       /* inode number */
	u32 ifindex;
	u32 perf_type;
	u32 hook; /* netfilter: pf << 16 | hooknum; multi links: their count */
	u32 children; /* perf: inherited events, each with a reference of its own; or CHILDREN_MORE */
	u8 detached;
	u8 pad[3];
};

/* A BTF object. `row.n` is its id. */
struct row_btf {
	struct row row;
	u64 btf;
	u32 refcnt;
	u32 data_size;
	u32 kernel_btf;
	u32 pad;
	char name[56];
};

enum text_kind {
	TEXT_PROG_NAME = 1, /* of: the program */
	TEXT_LINK_TARGET,   /* of: the link */
	TEXT_LINK_GROUP,    /* of: the link */
	TEXT_CGROUP,        /* of: the cgroup; leaf first, one row a component */
	TEXT_DENTRY,        /* of: the dentry */
	TEXT_DEVICE,        /* of: the network device */
	TEXT_EVENT,         /* of: the perf event */
	TEXT_EVENT_GROUP,   /* of: the perf event */
};

#define TEXT_MAX 256

/* A string. `row.n` is a text_kind; `len` is at most TEXT_MAX. */
struct row_text {
	struct row row;
	u64 of;
	u32 len;
	u32 pad;
};

/*
 * What tells a process from another and from what it was before: while all of it is the
 * same, so are its start, executable, name and cgroups.
 */
struct who {
	u64 start;    /* of the main thread, in nanoseconds since boot */
	u64 exec;     /* number of its execs, and of those it came from */
	u64 css_set;  /* address: another in any other cgroup, of any hierarchy */
	u64 cgroup;   /* id of the one in the unified hierarchy, which is not used again */
	char comm[16];
};

/* The rows that follow are of this task, until the next. `row.n` is its tgid. */
struct row_task {
	struct row row;
	u64 files; /* its descriptor table */
	u32 tid;
	u8 own_table; /* it is not the main thread, and has a table of its own */
	u8 shared;    /* others have the same table: threads, or by CLONE_FILES */
	u8 pad[2];
	struct who who; /* its process; all zero where the walk does not say */
};

/*
 * A descriptor. `row.n` is its number. Its row ends before `file` where nobody
 * else has that file: no other descriptor, mapping or message in flight.
 */
struct row_file {
	struct row row;
	u64 object;
	u64 file;
	u64 refs; /* of descriptor tables, mappings, messages in flight, calls under way */
};

/* An iterator file: the program it runs and the map it may walk. */
struct row_iter_file {
	struct row row;
	u64 file;
	u64 prog;
	u64 map; /* first word of its private data: a map only if a map has that address */
};

/* A descriptor of our own. `row.n` is its number. */
struct row_calibration {
	struct row row;
	u64 f_op;
	u64 release;
	u64 private_data;
	u64 fs_type;
	u32 level; /* of our pid namespace */
	u32 pad;
};

/* A bpffs. */
struct row_super_block {
	struct row row;
	u64 root; /* dentry */
	u32 dev;  /* MKDEV of the kernel: major << 20 | minor */
	u32 pad;
};

/* An inode of the bpffs in the row before. `row.n` is its mode. */
struct row_inode {
	struct row row;
	u64 object; /* i_private */
	u64 ino;
};

/* A name of the inode in the row before; a text row follows. `row.n`: unhashed. */
struct row_dentry {
	struct row row;
	u64 dentry;
	u64 parent;
};

/* Slots of a map that holds objects. `row.n` is how many. */
struct row_slot {
	struct row row;
	u64 holder;
	u64 object;
};

/* What holds, in rows of ROW_HOLD. */
enum hold {
	HOLD_CGROUP = 1,     /* holder: the cgroup; place: list of its attach type */
	HOLD_XDP,            /* holder: the device; place: enum bpf_xdp_mode */
	HOLD_TCX_INGRESS,    /* holder: the device */
	HOLD_TCX_EGRESS,
	HOLD_NETKIT_PRIMARY,
	HOLD_NETKIT_PEER,
	HOLD_NETNS,          /* holder: the namespace; place: enum netns_bpf_attach_type */
	HOLD_ENTRY,          /* holder: the map; a devmap's or cpumap's entry, or a sockmap's own program */
	HOLD_XSK,            /* holder: the socket; object: the xskmap */
	HOLD_TIMER,          /* holder: the map */
	HOLD_MEMBER,         /* holder: the struct_ops map; link: the link without id that has it */
	HOLD_CONGESTION,     /* object: kdata of a struct_ops map; holder: the namespace */
	HOLD_REGISTERED,     /* object: a struct_ops map that is registered, maybe by a link; holder: its kdata */
};

/* A reference on an object that something outside of BPF's own structs has. `row.n` is an enum hold. */
struct row_hold {
	struct row row;
	u64 object;
	u64 holder;
	u64 link;  /* the link that made it, if one did */
	u32 netns; /* inode number */
	u32 place;
	u64 count;
};

/*
 * A socket with anything of BPF, or with messages waiting. `row.n` is the descriptor
 * if `via` is 0: then it stands in the table of the task before.
 */
struct row_socket {
	struct row row;
	u64 sock;
	u64 via;   /* the socket in whose queue it is, the ring or map that has it */
	u64 inode; /* 0: it has none */
	u64 filter, filter_prog;
	u64 reuse, reuse_prog;
	u64 fanout, fanout_prog;
	u64 psock, psock_progs[4];
	u64 ca_ops; /* congestion control, if a struct_ops map provides it */
	u32 netns;
	u16 family, type, protocol;
	u8 listening;
	u8 queued;  /* messages or connections wait in its queue: look into it */
	u32 pad;
};

/* A perf event with a program; the rest as with sockets. */
struct row_perf {
	struct row row;
	u64 event;
	u64 via;
	u64 prog;
	u64 perf_config;
	u32 children; /* inherited events, each with a reference of its own; or CHILDREN_MORE */
	u32 perf_type;
};

/* An io_uring; the rest as with sockets. */
struct row_uring {
	struct row row;
	u64 ring;
	u64 via;
	u64 files; /* size of its table of fixed files */
};

/* A file on a BPF object that a queue or a ring has. `row.n` is ROW_MAP_FILE … */
struct row_carried {
	struct row row;
	u64 file;
	u64 object;
	u64 map; /* iterators: see row_iter_file */
	u64 via;
};

/* A process's memory. `row.n` is its tgid. */
struct row_space {
	struct row row;
	u64 mm;
};

/* All of them, for the generator. */
struct rows {
	enum row_kind kind;
	enum text_kind text_kind;
	struct row_map map;
	struct row_prog prog;
	struct row_used_maps used_maps;
	struct row_link link;
	struct row_btf btf;
	struct row_text text;
	struct row_task task;
	struct row_file file;
	struct row_iter_file iter_file;
	struct row_calibration calibration;
	struct row_super_block super_block;
	struct row_inode inode;
	struct row_dentry dentry;
	struct row_slot slot;
	enum hold hold_kind;
	struct row_hold hold;
	struct row_socket socket;
	struct row_perf perf;
	struct row_uring uring;
	struct row_carried carried;
	struct row_space space;
};

/* Writing */

struct text_buffer {
	struct row_text head;
	char bytes[TEXT_MAX];
};
/* 512 bytes of stack do not hold it. One iterator of ours runs at a time. */
extern struct text_buffer text_buffer;

/* BPF_MODULE_OWNER, of what a struct_ops map provides; POISON_POINTER_DELTA takes only the upper half. */
static __always_inline bool is_struct_ops(const struct tcp_congestion_ops *ops)
{
	return ((u64)BPF_CORE_READ(ops, owner) & 0xffffffff) == 0xeb9f << 2;
}

#define write_row(seq, value) bpf_seq_write(seq, &(value), sizeof(value))

/* Writes the string at `from` as a text row. No string, no row. */
static __always_inline long write_text(struct seq_file *seq, u32 what, u64 of, const void *from)
{
	struct text_buffer *b = &text_buffer;
	long n;
	u32 size;

	n = bpf_probe_read_kernel_str(b->bytes, TEXT_MAX, from);
	if (n <= 1 || n > TEXT_MAX)
		return 0;
	size = (sizeof(b->head) + n + 7) & ~7u;
	if (size > sizeof(*b))
		return 0;
	b->head.row.kind = ROW_TEXT;
	b->head.row.size = size;
	b->head.row.n = what;
	b->head.of = of;
	b->head.len = n - 1;
	return bpf_seq_write(seq, b, size);
}

/* Addresses of what was written last: neighbours often share it. */
struct last_written {
	u64 btf;
	u64 cgroup;
	u64 files;
	u32 pid;
	u32 tgid;
};
extern struct last_written last;

/*
 * Into the row below. Not inlined: the verifier looks at it once. It takes an address, which is
 * what BPF_CORE_READ() gives, and no pointer whose type the verifier knows.
 */
u32 read_btf(u64 address);
extern struct row_btf btf_row;

static __always_inline long write_btf(struct seq_file *seq, struct btf *btf)
{
	if (!btf || (u64)btf == last.btf)
		return 0;
	read_btf((u64)btf);
	return write_row(seq, btf_row);
}

#define CGROUP_DEPTH 24

/* Writes the cgroup's path, leaf first. */
static __always_inline long write_cgroup(struct seq_file *seq, struct cgroup *cgroup)
{
	struct kernfs_node *kn;
	long err = 0;
	int i;

	if (!cgroup || (u64)cgroup == last.cgroup)
		return 0;
	kn = BPF_CORE_READ(cgroup, kn);
	for (i = 0; i < CGROUP_DEPTH && kn; i++) {
		struct kernfs_node *parent;

		if (bpf_core_field_exists(kn->__parent))
			parent = BPF_CORE_READ(kn, __parent);
		else
			parent = BPF_CORE_READ(kn, parent);
		/* The root has no name. */
		if (parent)
			err |= write_text(seq, TEXT_CGROUP, (u64)cgroup, BPF_CORE_READ(kn, name));
		kn = parent;
	}
	return err;
}

#endif
