// SPDX-License-Identifier: (BSD-2-Clause OR GPL-2.0-only)
/*
 * Carriers: files that are not BPF's, and hold BPF objects all the same. Sockets
 * (programs attached to them, descriptors in flight), perf events, io_urings.
 *
 * What is read here may be freed meanwhile; every pointer is followed by
 * bpf_probe_read_kernel().
 */
#ifndef LASTREF_CARRIERS_H
#define LASTREF_CARRIERS_H

#include "../files/files.h"
#include "events.h"

#define AF_UNIX 1
#define AF_INET 2
#define AF_INET6 10
#define AF_PACKET 17
#define AF_XDP 44
#define IPPROTO_TCP 6
#define TCP_LISTEN 10
#define PACKET_FANOUT_CBPF 6
#define PACKET_FANOUT_EBPF 7

/* What write_carrier() or write_carried() may write, at most. */
#define CARRIER_MAX (sizeof(struct row_socket) + 2 * sizeof(struct text_buffer))

static __always_inline bool is_carrier(u64 f_op)
{
	return f_op && (f_op == file_ops.socket || f_op == file_ops.perf || f_op == file_ops.uring);
}

/*
 * What a socket or an event holds, into the row below; false if that is nothing. Not
 * inlined: the verifier looks at them once, not at every place that calls them.
 */
bool read_socket(u64 sock);
bool read_event(u64 event);
extern struct row_socket socket_row;
extern struct row_perf event_row;

static __always_inline void read_psock_progs(u64 *progs, void *from)
{
	if (bpf_core_field_exists(((struct sk_psock_progs *)0)->stream_verdict))
		bpf_probe_read_kernel(progs, 4 * sizeof(u64), from);
	else
		bpf_probe_read_kernel(progs, 3 * sizeof(u64), from);
}

/* Writes the socket if it holds anything, or is to be looked into, or `always`. */
static __always_inline long write_socket(struct seq_file *seq, struct sock *sk, u32 fd, u64 via, bool always)
{
	if (!sk || (!read_socket((u64)sk) && !always))
		return 0;
	socket_row.row.n = fd;
	socket_row.via = via;
	return bpf_seq_write(seq, &socket_row, sizeof(socket_row));
}

/* A perf event, if a program is attached to it. */
static __always_inline long write_perf_event(struct seq_file *seq, struct perf_event *event, u32 fd, u64 via)
{
	struct trace_event_call *call;
	long err = 0;

	if (!read_event((u64)event))
		return 0;
	event_row.row.n = fd;
	event_row.via = via;
	call = BPF_CORE_READ(event, tp_event);
	if (call) {
		err = write_text(seq, TEXT_EVENT_GROUP, (u64)event, BPF_CORE_READ(call, class, system));
		err |= write_text(seq, TEXT_EVENT, (u64)event, event_name(call));
	}
	return err | bpf_seq_write(seq, &event_row, sizeof(event_row));
}

/* The size of a ring's table. */
static __always_inline u64 fixed_files(struct io_ring_ctx *ring)
{
	if (bpf_core_field_exists(ring->file_table.data))
		return BPF_CORE_READ(ring, file_table.data.nr);
	return BPF_CORE_READ(ring, nr_user_files);
}

static __always_inline long write_uring(struct seq_file *seq, struct io_ring_ctx *ring, u32 fd, u64 via)
{
	struct row_uring r = {};

	r.files = fixed_files(ring);
	if (!r.files)
		return 0;
	r.row.kind = ROW_URING;
	r.row.size = sizeof(r);
	r.row.n = fd;
	r.ring = (u64)ring;
	r.via = via;
	return write_row(seq, r);
}

/* A carrier's own content. */
static __always_inline long write_carrier(struct seq_file *seq, u64 f_op, void *private, u32 fd, u64 via)
{
	if (f_op == file_ops.socket)
		return write_socket(seq, BPF_CORE_READ((struct socket *)private, sk), fd, via, false);
	if (f_op == file_ops.perf)
		return write_perf_event(seq, private, fd, via);
	return write_uring(seq, private, fd, via);
}

/* A file that a queue or a ring has. */
static __always_inline long write_carried(struct seq_file *seq, struct file *file, u64 via)
{
	u64 f_op = (u64)BPF_CORE_READ(file, f_op);
	void *private = BPF_CORE_READ(file, private_data);
	struct row_carried r = {};
	u32 kind;
	long err = 0;

	if (!f_op)
		return 0;
	if (is_carrier(f_op))
		return write_carrier(seq, f_op, private, ~0u, via);
	kind = kind_of_table(f_op) ?: kind_of_release((u64)BPF_CORE_READ((struct file_operations *)f_op, release));
	if (!kind)
		return 0;
	r.row.kind = ROW_CARRIED;
	r.row.size = sizeof(r);
	r.row.n = kind;
	r.file = (u64)file;
	r.object = (u64)private;
	r.via = via;
	if (kind == ROW_ITER_FILE) {
		read_iterator(private, &r.object, &r.map);
	} else if (kind == ROW_BTF_FILE) {
		err = write_btf(seq, private);
	}
	return err | write_row(seq, r);
}

#endif
