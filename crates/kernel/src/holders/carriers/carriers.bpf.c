// SPDX-License-Identifier: (BSD-2-Clause OR GPL-2.0-only)
/* Carriers in all descriptor tables, and what is in their queues and tables. */
#include "carriers.h"
#include "../../bpf/ticks.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

/*
 * Sockmaps put their state where others put theirs; the flag that tells (v5.19,
 * 2a0133723f9e) is missing before. A psock points back at its socket.
 */
static __always_inline u64 psock_of(struct sock *sk)
{
	u64 data = (u64)BPF_CORE_READ(sk, sk_user_data) & ~7ULL;
	struct sk_psock *psock = (void *)data;

	return data && BPF_CORE_READ(psock, sk) == sk ? data : 0;
}

/* Does one of the first messages carry files? Of a longer queue, maybe. */
static __always_inline bool may_carry_files(struct sock *sk)
{
	struct sk_buff *head = (void *)sk + bpf_core_field_offset(struct sock, sk_receive_queue);
	struct sk_buff *skb = BPF_CORE_READ(sk, sk_receive_queue.next);
	u32 i;

	for (i = 0; i < 8; i++) {
		u64 list = 0;

		if (!skb || skb == head)
			return false;
		bpf_probe_read_kernel(&list, sizeof(list),
				      (void *)skb + bpf_core_field_offset(struct sk_buff, cb) +
					      bpf_core_field_offset(struct unix_skb_parms, fp));
		if (list)
			return true;
		skb = BPF_CORE_READ(skb, next);
	}
	return true;
}

struct row_socket socket_row;
struct row_perf event_row;

__noinline bool read_socket(u64 sock)
{
	struct sock *sk = (void *)sock;
	struct row_socket r = {};
	struct socket *socket;
	bool found = false;

	r.sock = (u64)sk;
	r.family = BPF_CORE_READ(sk, __sk_common.skc_family);
	r.listening = BPF_CORE_READ(sk, __sk_common.skc_state) == TCP_LISTEN;
	r.filter = (u64)BPF_CORE_READ(sk, sk_filter);
	if (r.filter) {
		r.filter_prog = (u64)BPF_CORE_READ(sk, sk_filter, prog);
		found = true;
	}
	r.reuse = (u64)BPF_CORE_READ(sk, sk_reuseport_cb);
	if (r.reuse) {
		r.reuse_prog = (u64)BPF_CORE_READ(sk, sk_reuseport_cb, prog);
		found |= r.reuse_prog != 0;
	}
	r.psock = psock_of(sk);
	if (r.psock) {
		struct sk_psock *psock = (void *)r.psock;

		read_psock_progs(r.psock_progs, (void *)psock + bpf_core_field_offset(struct sk_psock, progs));
		found = true;
	}
	r.protocol = BPF_CORE_READ(sk, sk_protocol);
	if (r.family == AF_UNIX) {
		r.queued = BPF_CORE_READ(sk, sk_receive_queue.qlen) && (r.listening || may_carry_files(sk));
		found |= r.queued;
	} else if (r.family == AF_PACKET && bpf_core_type_exists(struct packet_sock)) {
		struct packet_fanout *fanout = BPF_CORE_READ((struct packet_sock *)sk, fanout);
		u32 type = fanout ? BPF_CORE_READ(fanout, type) : 0;

		if (type == PACKET_FANOUT_CBPF || type == PACKET_FANOUT_EBPF) {
			r.fanout = (u64)fanout;
			r.fanout_prog = (u64)BPF_CORE_READ(fanout, bpf_prog);
			found |= r.fanout_prog != 0;
		}
	} else if (r.family == AF_XDP) {
		found = true;
	} else if ((r.family == AF_INET || r.family == AF_INET6) && r.protocol == IPPROTO_TCP) {
		const struct tcp_congestion_ops *ops = BPF_CORE_READ((struct inet_connection_sock *)sk, icsk_ca_ops);

		if (is_struct_ops(ops)) {
			r.ca_ops = (u64)ops;
			found = true;
		}
	}
	r.row.kind = ROW_SOCKET;
	r.row.size = sizeof(r);
	r.type = BPF_CORE_READ(sk, sk_type);
	r.netns = BPF_CORE_READ(sk, __sk_common.skc_net.net, ns.inum);
	socket = BPF_CORE_READ(sk, sk_socket);
	if (socket)
		r.inode = BPF_CORE_READ(container_of(socket, struct socket_alloc, socket), vfs_inode.i_ino);
	socket_row = r;
	return found;
}

__noinline bool read_event(u64 event)
{
	struct perf_event *e = (void *)event;
	struct row_perf r = {};

	r.prog = (u64)BPF_CORE_READ(e, prog);
	r.row.kind = ROW_PERF;
	r.row.size = sizeof(r);
	r.event = event;
	r.children = r.prog ? count_children(event) : 0;
	r.perf_type = BPF_CORE_READ(e, attr.type);
	r.perf_config = BPF_CORE_READ(e, attr.config);
	event_row = r;
	return r.prog != 0;
}

SEC("iter/task_file")
int carriers(struct bpf_iter__task_file *ctx)
{
	struct seq_file *seq = ctx->meta->seq;
	struct task_struct *task = ctx->task;
	struct file *file = ctx->file;
	u64 f_op;
	long err;

	if (!task || !file)
		return 0;
	f_op = (u64)file->f_op;
	if (!is_carrier(f_op))
		return 0;
	err = write_task(seq, task);
	err |= write_carrier(seq, f_op, BPF_CORE_READ(file, private_data), ctx->fd, 0);
	if (!err)
		task_written(task);
	return 0;
}

#define REGISTERED_MAX 16 /* IO_RINGFD_REG_MAX */

static __always_inline void write_registered(struct seq_file *seq, struct io_uring_task *own)
{
	u32 i;

	for (i = 0; i < REGISTERED_MAX; i++) {
		struct file *file = NULL;

		bpf_probe_read_kernel(&file, sizeof(file),
				      (void *)own + bpf_core_field_offset(struct io_uring_task, registered_rings) +
					      i * sizeof(file));
		if (file && (u64)BPF_CORE_READ(file, f_op) == file_ops.uring)
			write_uring(seq, BPF_CORE_READ(file, private_data), ~0u, 0);
	}
}

/*
 * A task may register rings for itself (IORING_REGISTER_RING_FDS, or at once by
 * IORING_SETUP_REGISTERED_FD_ONLY): their files need no descriptor and no mapping.
 */
SEC("iter/task")
int rings(struct bpf_iter__task *ctx)
{
	struct seq_file *seq = ctx->meta->seq;
	struct task_struct *task = ctx->task;
	struct io_uring_task *own = NULL;
	struct row_task r = {};

	if (!task)
		return 0;
	if (bpf_core_field_exists(own->registered_rings)) {
		own = BPF_CORE_READ(task, io_uring);
		if (!own)
			return 0;
		/* Each thread has its own, whatever table of descriptors it has. */
		r.row.kind = ROW_TASK;
		r.row.size = sizeof(r);
		r.row.n = pid_in_our_namespace(BPF_CORE_READ(task, group_leader));
		r.tid = r.row.n;
		write_row(seq, r);
		write_registered(seq, own);
	}
	return 0;
}

struct content_cursor {
	u64 carrier; /* a socket, or a ring */
	u64 skb;     /* next message; 0: the first */
	u64 at;      /* next file of the message, or place in the ring's table */
	u64 count;   /* of places in the table; of a queue, messages that may still come */
	u32 ring;    /* 1: an io_uring */
	u32 begun;
	u32 done;
};
struct content_cursor content_cursor;
struct content_cursor content_at;

static __always_inline void put_carried(struct walk *w, u64 file)
{
	if (!file)
		return;
	run.err |= write_carried(w->seq, (struct file *)file, content_at.carrier);
	run.written += CARRIER_MAX;
}

/* As many may come into a queue while it is looked at. */
#define MORE_MESSAGES 1024

static __always_inline void ring_step(struct walk *w)
{
	struct io_ring_ctx *ring = (void *)content_at.carrier;
	u64 file = 0, i = content_at.at;

	/* The table may be another by now, and a shorter one. */
	if (i >= content_at.count || i >= fixed_files(ring)) {
		content_at.done = 1;
		return;
	}
	if (bpf_core_field_exists(ring->file_table.data)) {
		struct io_rsrc_node **nodes = BPF_CORE_READ(ring, file_table.data.nodes);
		struct io_rsrc_node *node = NULL;

		bpf_probe_read_kernel(&node, sizeof(node), nodes + i);
		if (node)
			file = BPF_CORE_READ(node, file_ptr);
	} else {
		void *files = BPF_CORE_READ(ring, file_table.files);

		bpf_probe_read_kernel(&file, sizeof(file), files + i * bpf_core_type_size(struct io_fixed_file));
	}
	/* The lowest bits are flags (FFS_MASK). */
	file &= ~7ULL;
	put_carried(w, file);
	content_at.at = i + 1;
}

/* The message at the cursor; false if there is none. */
static __always_inline struct sk_buff *message(struct sock *sk)
{
	struct sk_buff *head = (void *)sk + bpf_core_field_offset(struct sock, sk_receive_queue);
	struct sk_buff *skb = (void *)content_at.skb;

	if (!skb)
		skb = BPF_CORE_READ(sk, sk_receive_queue.next);
	return skb == head ? NULL : skb;
}

static __always_inline void next_message(struct sk_buff *skb)
{
	struct sk_buff *next = BPF_CORE_READ(skb, next);

	content_at.at = 0;
	content_at.skb = (u64)next;
	/*
	 * Out of the queue it points nowhere (__skb_unlink), or into another one, whose
	 * head is not ours: then there are more than there were.
	 */
	if (!next || next == skb || !content_at.count)
		run.cut = 1;
	else
		content_at.count--;
}

static __always_inline void queue_step(struct walk *w)
{
	struct sock *sk = (void *)content_at.carrier;
	struct sk_buff *skb = message(sk);
	struct scm_fp_list *list = NULL;
	u64 file = 0, i = content_at.at;

	if (!skb) {
		content_at.done = 1;
		return;
	}
	content_at.skb = (u64)skb;
	/* A connection that waits to be accepted comes as a message of its socket. */
	if (BPF_CORE_READ(sk, __sk_common.skc_state) == TCP_LISTEN) {
		run.err |= write_socket(w->seq, BPF_CORE_READ(skb, sk), ~0u, content_at.carrier, true);
		run.written += sizeof(struct row_socket);
		next_message(skb);
		return;
	}
	bpf_probe_read_kernel(&list, sizeof(list),
			      (void *)skb + bpf_core_field_offset(struct sk_buff, cb) +
				      bpf_core_field_offset(struct unix_skb_parms, fp));
	if (!list || i >= 253 || (short)i >= BPF_CORE_READ(list, count)) {
		next_message(skb);
		return;
	}
	bpf_probe_read_kernel(&file, sizeof(file),
			      (void *)list + bpf_core_field_offset(struct scm_fp_list, fp) + i * 8);
	put_carried(w, file);
	content_at.at = i + 1;
}

static long content_step(u32 i, struct walk *w)
{
	if (content_at.ring)
		ring_step(w);
	else
		queue_step(w);
	return content_at.done || run.cut || run_is_full();
}

/* A message that was received meanwhile is out of the queue. */
static __always_inline bool begin(struct walk *w)
{
	struct sk_buff *skb, *next, *self;

	skb = (void *)content_at.skb;
	if (!content_at.ring && !content_at.begun) {
		struct sock *sk = (void *)content_at.carrier;

		content_at.count = BPF_CORE_READ(sk, sk_receive_queue.qlen) + MORE_MESSAGES;
	} else if (!content_at.ring && skb) {
		/* sk_buff begins with next and prev, as the queue's head does. */
		next = BPF_CORE_READ(skb, next);
		self = next ? BPF_CORE_READ(next, prev) : NULL;
		if (self != skb)
			run.cut = 1;
	}
	content_at.begun = 1;
	return !run.cut;
}

TICK_WALK(contents, content_cursor, content_at, begin, content_step, 2048, 8)
