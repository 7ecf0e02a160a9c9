// SPDX-License-Identifier: (BSD-2-Clause OR GPL-2.0-only)
/*
 * Every map, program and link, with its reference count.
 *
 * The iterator itself holds a reference on the element it shows
 * (bpf_map_get_curr_or_next and its like in kernel/bpf/syscall.c); Rust
 * subtracts it. usercnt is not touched.
 */
#include "../holders/carriers/events.h"
#include "../holders/files/files.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

/* v6.6 and later; resolved through BTF, so it costs no walk over kallsyms. */
extern s64 bpf_map_sum_elem_count(const struct bpf_map *map) __ksym __weak;

static __always_inline struct cgroup *charged(struct bpf_map *map)
{
	struct mem_cgroup *memcg = NULL;

	if (bpf_core_field_exists(map->objcg))
		memcg = BPF_CORE_READ(map, objcg, memcg);
	else if (bpf_core_field_exists(map->memcg))
		memcg = BPF_CORE_READ(map, memcg);
	return memcg ? BPF_CORE_READ(memcg, css.cgroup) : NULL;
}

static __always_inline bool is_hash(u32 type)
{
	return type == BPF_MAP_TYPE_HASH || type == BPF_MAP_TYPE_PERCPU_HASH ||
	       type == BPF_MAP_TYPE_LRU_HASH || type == BPF_MAP_TYPE_LRU_PERCPU_HASH ||
	       type == BPF_MAP_TYPE_HASH_OF_MAPS;
}

/* v6.1 (86fe28f7692d); before, `count` is the number. */
static __always_inline bool has_percpu_counter(struct bpf_htab *htab)
{
	return bpf_core_field_exists(htab->use_percpu_counter) && BPF_CORE_READ(htab, use_percpu_counter);
}

/* Where timers and work queues lie in a value. */
static __always_inline void read_timers(struct bpf_map *map, struct row_map *r)
{
	struct btf_record *record;

	r->timer_off = -1;
	r->wq_off = -1;
	if (bpf_core_field_exists(map->timer_off)) {
		r->timer_off = map->timer_off;
		return;
	}
	if (!bpf_core_field_exists(map->record))
		return;
	record = BPF_CORE_READ(map, record);
	/* No record at all, or an error pointer. */
	if (!record || (u64)record >= (u64)-4095)
		return;
	if (bpf_core_field_exists(record->timer_off))
		r->timer_off = BPF_CORE_READ(record, timer_off);
	if (bpf_core_field_exists(record->wq_off))
		r->wq_off = BPF_CORE_READ(record, wq_off);
}

/*
 * Before b671c2067a04 "bpf: Retire the struct_ops map kvalue->refcnt" (v6.4, and stable
 * 6.1, which has `rcu` from then on), who uses a struct_ops counts in the value instead.
 */
static __always_inline bool users_hold_struct_ops(void)
{
	struct bpf_struct_ops_map *map = NULL;

	return bpf_core_type_exists(struct bpf_struct_ops_map) &&
	       (bpf_core_field_exists(map->rcu) || bpf_core_field_exists(map->kvalue.common));
}

SEC("iter/bpf_map")
int maps(struct bpf_iter__bpf_map *ctx)
{
	struct seq_file *seq = ctx->meta->seq;
	struct bpf_map *map = ctx->map;
	struct btf *btf, *inner_btf;
	struct cgroup *cgroup;
	struct row_map r = {};
	long err;

	if (!map)
		return 0;
	/* First, as the verifier goes through this once for every shape that `r` can have by then. */
	cgroup = charged(map);
	btf = BPF_CORE_READ(map, btf);
	inner_btf = BPF_CORE_READ(map, inner_map_meta, btf);
	err = write_cgroup(seq, cgroup);
	err |= write_btf(seq, btf);
	err |= write_btf(seq, inner_btf);

	r.row.kind = ROW_MAP;
	r.row.size = sizeof(r);
	r.row.n = map->id;
	r.map = (u64)map;
	r.refcnt = map->refcnt.counter;
	r.usercnt = map->usercnt.counter;
	r.btf = (u64)btf;
	r.inner_btf = (u64)inner_btf;
	r.cgroup = (u64)cgroup;
	r.entries = -1;
	r.type = map->map_type;
	r.key_size = map->key_size;
	r.value_size = map->value_size;
	r.max_entries = map->max_entries;
	r.flags = map->map_flags;
	read_timers(map, &r);
	if (is_hash(r.type)) {
		struct bpf_htab *htab = (struct bpf_htab *)map;

		r.buckets = BPF_CORE_READ(htab, n_buckets);
		r.elem_size = BPF_CORE_READ(htab, elem_size);
		if (bpf_ksym_exists(bpf_map_sum_elem_count))
			r.entries = bpf_map_sum_elem_count(map);
		else if ((r.flags & BPF_F_NO_PREALLOC) && !has_percpu_counter(htab))
			r.entries = BPF_CORE_READ(htab, count.counter);
		r.struct_size = bpf_core_type_size(struct bpf_htab);
		r.bucket_size = bpf_core_type_size(struct bucket);
	} else if (r.type == BPF_MAP_TYPE_RINGBUF || r.type == 31 /* BPF_MAP_TYPE_USER_RINGBUF */) {
		r.pages = BPF_CORE_READ((struct bpf_ringbuf_map *)map, rb, nr_pages);
		r.struct_size = bpf_core_type_size(struct bpf_ringbuf_map);
	} else {
		r.struct_size = bpf_core_type_size(struct bpf_array);
	}
	if (r.type == 26 /* BPF_MAP_TYPE_STRUCT_OPS */ && users_hold_struct_ops())
		r.kdata = (u64)map + bpf_core_field_offset(struct bpf_struct_ops_map, kvalue) +
			  bpf_core_field_offset(struct bpf_struct_ops_value, data);
	bpf_probe_read_kernel(r.name, sizeof(r.name), map->name);

	err |= write_row(seq, r);
	if (!err) {
		if (cgroup)
			last.cgroup = (u64)cgroup;
		if (btf)
			last.btf = (u64)btf;
	}
	return 0;
}

/*
 * Far more than the verifier's MAX_USED_MAPS, as BPF_PROG_BIND_MAP adds any number. With the
 * BTF, it is as much as a run of a program can write.
 */
#define USED_MAPS_MAX 2048
struct {
	struct row row;
	u64 maps[USED_MAPS_MAX];
} used_maps;

static __always_inline long write_used_maps(struct seq_file *seq, struct bpf_prog_aux *aux, u32 count)
{
	u32 bytes;

	if (!count)
		return 0;
	if (count > USED_MAPS_MAX)
		count = USED_MAPS_MAX;
	bytes = count * sizeof(u64);
	if (bpf_probe_read_kernel(used_maps.maps, bytes, BPF_CORE_READ(aux, used_maps)))
		return 0;
	used_maps.row.kind = ROW_USED_MAPS;
	used_maps.row.size = sizeof(struct row) + bytes;
	used_maps.row.n = count;
	return bpf_seq_write(seq, &used_maps, sizeof(struct row) + bytes);
}

#define USED_BTFS_MAX 64 /* MAX_USED_BTFS of the verifier; a power of two */
struct row_btf used_btfs[USED_BTFS_MAX];

/* These are not inlined: each round of the loop costs the verifier what stands in it. */
__noinline u32 read_used_btf(u64 pair, u32 i)
{
	if (bpf_core_type_exists(struct btf_mod_pair)) {
		read_btf((u64)BPF_CORE_READ((struct btf_mod_pair *)pair, btf));
		btf_row.row.kind = ROW_USED_BTF;
		used_btfs[i & (USED_BTFS_MAX - 1)] = btf_row;
	}
	return i;
}

/* How many were read. */
__noinline u32 read_used_btfs(u64 address)
{
	struct bpf_prog_aux *aux = (void *)address;
	u32 i, count = 0;
	u64 pair;

	if (bpf_core_field_exists(aux->used_btfs)) {
		count = BPF_CORE_READ(aux, used_btf_cnt);
		pair = (u64)BPF_CORE_READ(aux, used_btfs);
		for (i = 0; i < USED_BTFS_MAX; i++) {
			if (i >= count)
				return i;
			read_used_btf(pair, i);
			pair += bpf_core_type_size(struct btf_mod_pair);
		}
		return USED_BTFS_MAX;
	}
	return 0;
}

/*
 * BTF that the program's instructions name, or its loader did (fd_array_cnt of BPF_PROG_LOAD):
 * a reference each, also where it is the program's own (__add_used_btf).
 */
static __always_inline long write_used_btfs(struct seq_file *seq, struct bpf_prog *prog)
{
	u32 count = read_used_btfs((u64)BPF_CORE_READ(prog, aux));

	if (!count || count > USED_BTFS_MAX)
		return 0;
	return bpf_seq_write(seq, used_btfs, count * sizeof(used_btfs[0]));
}

/* The kernel's own name field stops at 15 bytes; BTF has the function's. */
static __always_inline long write_full_name(struct seq_file *seq, struct bpf_prog *prog, struct btf *btf)
{
	struct bpf_func_info *info = BPF_CORE_READ(prog, aux, func_info);
	struct btf_type *type = NULL;
	struct btf_type **types;
	u32 id = 0;

	if (!btf || !info || !BPF_CORE_READ(prog, aux, func_info_cnt))
		return 0;
	/* UAPI: its layout does not move. */
	bpf_probe_read_kernel(&id, sizeof(id), &info->type_id);
	if (id >= BPF_CORE_READ(btf, nr_types))
		return 0;
	types = BPF_CORE_READ(btf, types);
	bpf_probe_read_kernel(&type, sizeof(type), types + id);
	if (!type)
		return 0;
	return write_text(seq, TEXT_PROG_NAME, (u64)prog,
			  BPF_CORE_READ(btf, strings) + BPF_CORE_READ(type, name_off));
}

SEC("iter/bpf_prog")
int progs(struct bpf_iter__bpf_prog *ctx)
{
	struct seq_file *seq = ctx->meta->seq;
	struct bpf_prog *prog = ctx->prog;
	struct bpf_prog_aux *aux;
	struct row_prog r = {};
	struct btf *btf;
	long err;

	if (!prog)
		return 0;
	aux = prog->aux;
	btf = BPF_CORE_READ(aux, btf);
	r.row.kind = ROW_PROG;
	r.row.size = sizeof(r);
	r.row.n = aux->id;
	r.prog = (u64)prog;
	r.refcnt = aux->refcnt.counter;
	r.btf = (u64)btf;
	r.target = (u64)aux->dst_prog;
	r.type = prog->type;
	r.pages = prog->pages;
	r.used_maps = aux->used_map_cnt;
	r.attach_type = prog->expected_attach_type;
	bpf_probe_read_kernel(r.tag, sizeof(r.tag), prog->tag);
	bpf_probe_read_kernel(r.name, sizeof(r.name), aux->name);

	err = write_btf(seq, btf);
	err |= write_row(seq, r);
	err |= write_used_maps(seq, aux, r.used_maps);
	err |= write_used_btfs(seq, prog);
	if (r.name[BPF_OBJ_NAME_LEN - 2])
		err |= write_full_name(seq, prog, btf);
	if (!err && btf)
		last.btf = (u64)btf;
	return 0;
}

static __always_inline long write_device(struct seq_file *seq, struct row_link *r, struct net_device *dev)
{
	/* The device went away and took the attachment along. */
	if (!dev) {
		r->detached = 1;
		return 0;
	}
	r->ifindex = BPF_CORE_READ(dev, ifindex);
	r->netns = BPF_CORE_READ(dev, nd_net.net, ns.inum);
	return write_text(seq, TEXT_LINK_TARGET, r->link, dev->name);
}

/* A perf link's event: a tracepoint, a kprobe or uprobe of the perf kind, or a counter. */
static __always_inline long write_perf(struct seq_file *seq, struct row_link *r,
					struct bpf_perf_link *link)
{
	struct file *file = BPF_CORE_READ(link, perf_file);
	struct perf_event *event;
	struct trace_event_call *call;
	long err;

	if (!file) {
		r->detached = 1;
		return 0;
	}
	event = BPF_CORE_READ(file, private_data);
	r->event = (u64)event;
	r->perf_type = BPF_CORE_READ(event, attr.type);
	r->perf_config = BPF_CORE_READ(event, attr.config);
	r->event_prog = (u64)BPF_CORE_READ(event, prog);
	r->children = count_children((u64)event);
	call = BPF_CORE_READ(event, tp_event);
	if (!call)
		return 0;
	err = write_text(seq, TEXT_LINK_GROUP, r->link, BPF_CORE_READ(call, class, system));
	err |= write_text(seq, TEXT_LINK_TARGET, r->link, event_name(call));
	return err;
}

static __always_inline u32 attach_type(struct bpf_link *link, u32 type)
{
	if (bpf_core_field_exists(link->attach_type))
		return BPF_CORE_READ(link, attach_type);
	switch (type) {
	case 2: /* BPF_LINK_TYPE_TRACING */
		return BPF_CORE_READ((struct bpf_tracing_link *)link, attach_type);
	case 3: /* BPF_LINK_TYPE_CGROUP */
		if (bpf_core_type_exists(struct bpf_cgroup_link))
			return BPF_CORE_READ((struct bpf_cgroup_link *)link, type);
		break;
	case 5: /* BPF_LINK_TYPE_NETNS */
		if (bpf_core_type_exists(struct bpf_netns_link))
			return BPF_CORE_READ((struct bpf_netns_link *)link, type);
		break;
	case 11: /* BPF_LINK_TYPE_TCX */
		if (bpf_core_type_exists(struct tcx_link))
			return BPF_CORE_READ((struct tcx_link *)link, location);
		break;
	case 13: /* BPF_LINK_TYPE_NETKIT */
		if (bpf_core_type_exists(struct netkit_link))
			return BPF_CORE_READ((struct netkit_link *)link, location);
		break;
	case 14: /* BPF_LINK_TYPE_SOCKMAP */
		if (bpf_core_type_exists(struct sockmap_link))
			return BPF_CORE_READ((struct sockmap_link *)link, attach_type);
		break;
	}
	return ~0u;
}

static __always_inline void write_link(struct seq_file *seq, struct bpf_link *link)
{
	struct cgroup *cgroup = NULL;
	struct row_link r = {};
	long err = 0;
	void *p;

	r.row.kind = ROW_LINK;
	r.row.size = sizeof(r);
	r.row.n = BPF_CORE_READ(link, id);
	r.link = (u64)link;
	r.refcnt = BPF_CORE_READ(link, refcnt.counter);
	r.prog = (u64)BPF_CORE_READ(link, prog);
	r.type = BPF_CORE_READ(link, type);
	r.attach_type = attach_type(link, r.type);

	switch (r.type) {
	case 1: /* BPF_LINK_TYPE_RAW_TRACEPOINT */
		err = write_text(seq, TEXT_LINK_TARGET, r.link,
				 BPF_CORE_READ((struct bpf_raw_tp_link *)link, btp, tp, name));
		break;
	case 2: /* BPF_LINK_TYPE_TRACING */
		r.target = (u64)BPF_CORE_READ((struct bpf_tracing_link *)link, tgt_prog);
		err = write_text(seq, TEXT_LINK_TARGET, r.link,
				 BPF_CORE_READ(link, prog, aux, attach_func_name));
		break;
	case 3: /* BPF_LINK_TYPE_CGROUP */
		if (!bpf_core_type_exists(struct bpf_cgroup_link))
			break;
		cgroup = BPF_CORE_READ((struct bpf_cgroup_link *)link, cgroup);
		r.detached = !cgroup;
		r.cgroup = (u64)cgroup;
		err = write_cgroup(seq, cgroup);
		break;
	case 4: /* BPF_LINK_TYPE_ITER */
		r.map = (u64)BPF_CORE_READ((struct bpf_iter_link *)link, aux.map);
		err = write_text(seq, TEXT_LINK_TARGET, r.link,
				 BPF_CORE_READ((struct bpf_iter_link *)link, tinfo, reg_info, target));
		break;
	case 5: /* BPF_LINK_TYPE_NETNS */
		if (!bpf_core_type_exists(struct bpf_netns_link))
			break;
		p = BPF_CORE_READ((struct bpf_netns_link *)link, net);
		r.detached = !p;
		r.netns = p ? BPF_CORE_READ((struct net *)p, ns.inum) : 0;
		break;
	case 6: /* BPF_LINK_TYPE_XDP */
		if (bpf_core_type_exists(struct bpf_xdp_link))
			err = write_device(seq, &r, BPF_CORE_READ((struct bpf_xdp_link *)link, dev));
		break;
	case 7: /* BPF_LINK_TYPE_PERF_EVENT */
		if (bpf_core_type_exists(struct bpf_perf_link))
			err = write_perf(seq, &r, (struct bpf_perf_link *)link);
		break;
	case 8: /* BPF_LINK_TYPE_KPROBE_MULTI */
		if (bpf_core_type_exists(struct bpf_kprobe_multi_link))
			r.hook = BPF_CORE_READ((struct bpf_kprobe_multi_link *)link, cnt);
		break;
	case 9: /* BPF_LINK_TYPE_STRUCT_OPS */
		if (bpf_core_type_exists(struct bpf_struct_ops_link)) {
			r.map = (u64)BPF_CORE_READ((struct bpf_struct_ops_link *)link, map);
			r.detached = !r.map;
		}
		break;
	case 10: /* BPF_LINK_TYPE_NETFILTER */
		if (bpf_core_type_exists(struct bpf_nf_link)) {
			struct bpf_nf_link *nf = (struct bpf_nf_link *)link;

			r.hook = BPF_CORE_READ(nf, hook_ops.pf) << 16 | BPF_CORE_READ(nf, hook_ops.hooknum);
			r.detached = BPF_CORE_READ(nf, dead) != 0;
			/* bpf_nf_link_release() let the namespace go. */
			if (!r.detached)
				r.netns = BPF_CORE_READ(nf, net, ns.inum);
		}
		break;
	case 11: /* BPF_LINK_TYPE_TCX */
		if (bpf_core_type_exists(struct tcx_link))
			err = write_device(seq, &r, BPF_CORE_READ((struct tcx_link *)link, dev));
		break;
	case 12: /* BPF_LINK_TYPE_UPROBE_MULTI */
		if (bpf_core_type_exists(struct bpf_uprobe_multi_link)) {
			struct bpf_uprobe_multi_link *multi = container_of(link, struct bpf_uprobe_multi_link, link);

			r.hook = BPF_CORE_READ(multi, cnt);
			err = write_text(seq, TEXT_LINK_TARGET, r.link,
					 BPF_CORE_READ(multi, path.dentry, d_name.name));
		}
		break;
	case 13: /* BPF_LINK_TYPE_NETKIT */
		if (bpf_core_type_exists(struct netkit_link))
			err = write_device(seq, &r, BPF_CORE_READ((struct netkit_link *)link, dev));
		break;
	case 14: /* BPF_LINK_TYPE_SOCKMAP */
		if (bpf_core_type_exists(struct sockmap_link)) {
			r.map = (u64)BPF_CORE_READ((struct sockmap_link *)link, map);
			r.detached = !r.map;
		}
		break;
	}
	err |= write_row(seq, r);
	if (!err && cgroup)
		last.cgroup = (u64)cgroup;
}

SEC("iter/bpf_link")
int links(struct bpf_iter__bpf_link *ctx)
{
	if (ctx->link)
		write_link(ctx->meta->seq, ctx->link);
	return 0;
}

/*
 * Kernels before v5.19 have no iterator over links. There, Rust opens one link at
 * a time by its id, has this program read what is behind that descriptor of ours,
 * and closes it. It runs as an iterator over a map of one element, which is
 * quicker than one over descriptors, as that would see those of the whole host.
 */
u32 link_fd;

SEC("iter/bpf_map_elem")
int link_by_fd(struct bpf_iter__bpf_map_elem *ctx)
{
	struct task_struct *task = (void *)bpf_get_current_task();
	struct fdtable *table;
	struct file **at, *file = NULL;
	u32 fd = link_fd;

	/* The last call comes without an element. */
	if (!ctx->key)
		return 0;
	/* The iterator is read under the RCU read lock, which keeps the table. */
	table = BPF_CORE_READ(task, files, fdt);
	if (fd >= BPF_CORE_READ(table, max_fds))
		return 0;
	at = BPF_CORE_READ(table, fd);
	bpf_probe_read_kernel(&file, sizeof(file), at + fd);
	if (file && (u64)BPF_CORE_READ(file, f_op) == file_ops.link)
		write_link(ctx->meta->seq, BPF_CORE_READ(file, private_data));
	return 0;
}
