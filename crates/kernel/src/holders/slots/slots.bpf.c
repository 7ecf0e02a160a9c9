// SPDX-License-Identifier: (BSD-2-Clause OR GPL-2.0-only)
/*
 * What stands in maps: objects in the slots of arrays and hashes of maps and of
 * program arrays; programs, sockets and perf events in the entries of others;
 * timers in the values of elements; the programs of struct_ops maps. Rust names the
 * maps one at a time.
 *
 * A run first reads the map's id again: a map that is being freed has id 0
 * (bpf_map_free_id), and what stands in it is going with it.
 */
#include "../carriers/carriers.h"
#include "../../bpf/ticks.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

struct slot_cursor {
	u64 map;
	u32 id;
	u32 type;
	u32 slots;   /* how many slots or buckets there are */
	u32 at;      /* next slot or bucket */
	u32 skip;    /* elements of that bucket that were shown already */
	u32 most;    /* elements that the map can have */
	u32 key_size;
	s32 fields[2]; /* of a timer, of a work queue in the value; negative: none */
	u32 begun;
	u32 done;
};
struct slot_cursor slot_cursor;
struct slot_cursor slot_at;

/* Of one run: */
u64 slot_base;   /* the table's first slot or bucket */
u64 slot_node;   /* in a bucket: the next element; 0: the bucket's head */
u32 slot_passed; /* in a bucket: elements before it */

static __always_inline void put_hold(struct walk *w, u32 what, u64 object, u64 holder, u64 link)
{
	struct row_hold r = {};

	r.row.kind = ROW_HOLD;
	r.row.size = sizeof(r);
	r.row.n = what;
	r.object = object;
	r.holder = holder;
	r.link = link;
	r.place = slot_at.at;
	r.count = 1;
	put_row(w, r);
}

static __always_inline void put_slot(struct walk *w, u64 object)
{
	struct row_slot r = {};

	r.row.kind = ROW_SLOT;
	r.row.size = sizeof(r);
	r.row.n = 1;
	r.holder = slot_at.map;
	r.object = object;
	put_row(w, r);
}

static __always_inline void put_socket(struct walk *w, struct sock *sk)
{
	run.err |= write_socket(w->seq, sk, ~0u, slot_at.map, true);
	run.written += sizeof(struct row_socket);
}

/* A callback's program, of each timer or work queue in a value. */
static __always_inline void put_timers(struct walk *w, void *value)
{
	u32 i;

	if (!bpf_core_type_exists(struct bpf_hrtimer)) /* v5.15, b00628b1c7d5 "bpf: Introduce bpf timers" */
		return;
	for (i = 0; i < 2; i++) {
		s32 offset = slot_at.fields[i];
		struct bpf_hrtimer *timer = NULL;
		u64 prog;

		if (offset < 0)
			continue;
		/* struct bpf_timer_kern and bpf_async_kern begin with the pointer. */
		bpf_probe_read_kernel(&timer, sizeof(timer), value + offset);
		if (!timer)
			continue;
		if (bpf_core_field_exists(timer->prog))
			prog = (u64)BPF_CORE_READ(timer, prog);
		else
			prog = (u64)BPF_CORE_READ((struct bpf_async_cb *)timer, prog);
		if (prog)
			put_hold(w, HOLD_TIMER, prog, slot_at.map, 0);
	}
}

/* What a slot's word points to. */
static __always_inline void put_entry(struct walk *w, u64 entry)
{
	u64 prog = 0;

	switch (slot_at.type) {
	case BPF_MAP_TYPE_DEVMAP:
	case 25: /* BPF_MAP_TYPE_DEVMAP_HASH */
		prog = (u64)BPF_CORE_READ((struct bpf_dtab_netdev *)entry, xdp_prog);
		break;
	case BPF_MAP_TYPE_CPUMAP:
		prog = (u64)BPF_CORE_READ((struct bpf_cpu_map_entry *)entry, prog);
		break;
	case BPF_MAP_TYPE_XSKMAP:
		/* xdp_sock begins with its sock. */
		put_socket(w, (struct sock *)entry);
		put_hold(w, HOLD_XSK, slot_at.map, entry, 0);
		return;
	case BPF_MAP_TYPE_SOCKMAP:
	case BPF_MAP_TYPE_SOCKHASH:
		put_socket(w, (struct sock *)entry);
		return;
	case BPF_MAP_TYPE_PERF_EVENT_ARRAY: {
		struct file *file = BPF_CORE_READ((struct bpf_event_entry *)entry, perf_file);

		if (file) {
			run.err |= write_perf_event(w->seq, BPF_CORE_READ(file, private_data), ~0u, slot_at.map);
			run.written += CARRIER_MAX;
		}
		return;
	}
	case 26: { /* BPF_MAP_TYPE_STRUCT_OPS */
		struct bpf_struct_ops_map *map = (void *)slot_at.map;

		if (bpf_core_field_exists(map->links))
			put_hold(w, HOLD_MEMBER, (u64)BPF_CORE_READ((struct bpf_link *)entry, prog), slot_at.map, entry);
		else
			put_hold(w, HOLD_MEMBER, entry, slot_at.map, 0);
		return;
	}
	default:
		put_slot(w, entry);
		return;
	}
	if (prog)
		put_hold(w, HOLD_ENTRY, prog, slot_at.map, 0);
}

static __always_inline bool is_htab(u32 type)
{
	return type == BPF_MAP_TYPE_HASH_OF_MAPS || type == BPF_MAP_TYPE_HASH || type == BPF_MAP_TYPE_LRU_HASH;
}

static __always_inline bool is_table_of_lists(u32 type)
{
	return type == 25 /* BPF_MAP_TYPE_DEVMAP_HASH */ || type == BPF_MAP_TYPE_SOCKHASH;
}

static __always_inline void array_step(struct walk *w)
{
	struct bpf_array *array = (void *)slot_at.map;
	u64 entry = 0;

	if (slot_at.type == BPF_MAP_TYPE_ARRAY) {
		put_timers(w, (void *)slot_base + (u64)slot_at.at * BPF_CORE_READ(array, elem_size));
	} else {
		bpf_probe_read_kernel(&entry, sizeof(entry), (void *)slot_base + (u64)slot_at.at * 8);
		if (entry)
			put_entry(w, entry);
	}
	slot_at.at++;
}

/* A hlist's element, and the word that it holds. */
static __always_inline u64 listed(u64 node)
{
	struct hlist_node *at = (void *)node;

	if (slot_at.type == BPF_MAP_TYPE_SOCKHASH)
		return (u64)BPF_CORE_READ(container_of(at, struct bpf_shtab_elem, node), sk);
	return (u64)container_of(at, struct bpf_dtab_netdev, index_hlist);
}

static __always_inline void show_element(struct walk *w, u64 node)
{
	struct htab_elem *elem = (void *)node;
	void *value;
	u64 object = 0;

	if (is_table_of_lists(slot_at.type)) {
		object = listed(node);
		if (object)
			put_entry(w, object);
		return;
	}
	/* The value follows the key (htab_elem_value). */
	value = (void *)elem + bpf_core_field_offset(struct htab_elem, key) + ((slot_at.key_size + 7) & ~7u);
	if (slot_at.type != BPF_MAP_TYPE_HASH_OF_MAPS) {
		put_timers(w, value);
		return;
	}
	bpf_probe_read_kernel(&object, sizeof(object), value);
	if (object)
		put_slot(w, object);
}

/* One step: enters a bucket, or looks at one element of it. */
static __always_inline void bucket_step(struct walk *w)
{
	u64 node = 0;
	u32 size = bpf_core_type_size(struct bucket);

	if (slot_at.type == BPF_MAP_TYPE_SOCKHASH)
		size = bpf_core_type_size(struct bpf_shtab_bucket);
	else if (slot_at.type == 25)
		size = sizeof(struct hlist_head);
	if (!slot_node) {
		bpf_probe_read_kernel(&node, sizeof(node), (void *)slot_base + (u64)slot_at.at * size);
		slot_passed = 0;
	} else {
		if (slot_passed >= slot_at.skip) {
			show_element(w, slot_node);
			slot_at.skip++;
		}
		slot_passed++;
		/* hlist_node and hlist_nulls_node both begin with `next`. */
		bpf_probe_read_kernel(&node, sizeof(node), (void *)slot_node);
	}
	/*
	 * An odd pointer ends a hlist_nulls list, and says which: an element may stand in
	 * another bucket by now, where it led us. A list in a ring has no end at all.
	 */
	if ((node & 1) && node >> 1 != slot_at.at)
		run.cut = 1;
	if (slot_passed > slot_at.most)
		run.cut = 1;
	if (!node || (node & 1)) {
		slot_node = 0;
		slot_at.at++;
		slot_at.skip = 0;
	} else {
		slot_node = node;
	}
}

static long slot_step(u32 i, struct walk *w)
{
	if (slot_at.at >= slot_at.slots) {
		slot_at.done = 1;
		return 1;
	}
	if (is_htab(slot_at.type) || is_table_of_lists(slot_at.type))
		bucket_step(w);
	else
		array_step(w);
	if (run.cut)
		return 1;
	/* Elements may move while no run looks: better between two buckets than within one. */
	return run_is_full() && (run.err || !slot_node || run.written > WRITE_MAX + WRITE_MAX / 2);
}

static __always_inline u64 find_base(void)
{
	struct bpf_map *map = (void *)slot_at.map;

	switch (slot_at.type) {
	case BPF_MAP_TYPE_HASH:
	case BPF_MAP_TYPE_LRU_HASH:
	case BPF_MAP_TYPE_HASH_OF_MAPS:
		return (u64)BPF_CORE_READ((struct bpf_htab *)map, buckets);
	case BPF_MAP_TYPE_DEVMAP:
		return (u64)BPF_CORE_READ((struct bpf_dtab *)map, netdev_map);
	case 25: /* BPF_MAP_TYPE_DEVMAP_HASH */
		return (u64)BPF_CORE_READ((struct bpf_dtab *)map, dev_index_head);
	case BPF_MAP_TYPE_CPUMAP:
		return (u64)BPF_CORE_READ((struct bpf_cpu_map *)map, cpu_map);
	case BPF_MAP_TYPE_XSKMAP:
		if (!bpf_core_type_exists(struct xsk_map))
			return 0;
		return (u64)map + bpf_core_field_offset(struct xsk_map, xsk_map);
	case BPF_MAP_TYPE_SOCKMAP:
		return (u64)BPF_CORE_READ((struct bpf_stab *)map, sks);
	case BPF_MAP_TYPE_SOCKHASH:
		return (u64)BPF_CORE_READ((struct bpf_shtab *)map, buckets);
	case 26: { /* BPF_MAP_TYPE_STRUCT_OPS */
		struct bpf_struct_ops_map *ops = (void *)map;

		if (bpf_core_field_exists(ops->links))
			return (u64)BPF_CORE_READ(ops, links);
		if (bpf_core_field_exists(ops->progs))
			return (u64)BPF_CORE_READ(ops, progs);
		return 0;
	}
	default:
		return (u64)map + bpf_core_field_offset(struct bpf_array, ptrs);
	}
}

/* How many slots only the kernel knows. */
static __always_inline u32 count_slots(void)
{
	struct bpf_map *map = (void *)slot_at.map;

	switch (slot_at.type) {
	case 25: /* BPF_MAP_TYPE_DEVMAP_HASH */
		return BPF_CORE_READ((struct bpf_dtab *)map, n_buckets);
	case BPF_MAP_TYPE_SOCKHASH:
		return BPF_CORE_READ((struct bpf_shtab *)map, buckets_num);
	case 26: { /* BPF_MAP_TYPE_STRUCT_OPS */
		struct bpf_struct_ops_map *ops = (void *)map;

		if (bpf_core_field_exists(ops->funcs_cnt))
			return BPF_CORE_READ(ops, funcs_cnt);
		if (bpf_core_field_exists(ops->links_cnt))
			return BPF_CORE_READ(ops, links_cnt);
		/* A slot per member of the struct: more than any has; what is beyond is not there. */
		return BPF_CORE_READ(map, value_size) / 8;
	}
	default:
		return slot_at.slots;
	}
}

/* A sockmap's own programs; with a link, that accounts for them (sock_map_link_create). */
static __always_inline void put_own_progs(struct walk *w, void *from)
{
	u64 progs[4] = {}, links[4] = {};
	u32 i;

	read_psock_progs(progs, from);
	if (bpf_core_field_exists(((struct sk_psock_progs *)0)->msg_parser_link))
		bpf_probe_read_kernel(links, sizeof(links),
				      from + bpf_core_field_offset(struct sk_psock_progs, msg_parser_link));
	for (i = 0; i < 4; i++)
		if (progs[i] && !links[i])
			put_hold(w, HOLD_ENTRY, progs[i], slot_at.map, 0);
}

static __always_inline void put_registered(struct walk *w)
{
	struct bpf_struct_ops_map *ops = (void *)slot_at.map;
	struct bpf_struct_ops_value *value = (void *)ops + bpf_core_field_offset(struct bpf_struct_ops_map, kvalue);
	u32 state, users = 0;

	if (bpf_core_field_exists(value->common)) {
		state = BPF_CORE_READ(value, common.state);
	} else {
		state = BPF_CORE_READ(value, state);
		if (!bpf_core_field_exists(ops->rcu))
			users = BPF_CORE_READ(value, refcnt.refs.counter);
	}
	/*
	 * With BPF_F_LINK, a link registers (READY); else an update of the map does (INUSE).
	 * Before users held the map itself (and its release took a grace period), they kept the
	 * value, and that its one reference, also when it is not registered any more.
	 */
	if (state == BPF_STRUCT_OPS_STATE_INUSE || (state && users))
		put_hold(w, HOLD_REGISTERED, slot_at.map,
			 (u64)value + bpf_core_field_offset(struct bpf_struct_ops_value, data), 0);
}

static __always_inline void put_maps_own(struct walk *w)
{
	switch (slot_at.type) {
	case BPF_MAP_TYPE_SOCKMAP:
		put_own_progs(w, (void *)slot_at.map + bpf_core_field_offset(struct bpf_stab, progs));
		break;
	case BPF_MAP_TYPE_SOCKHASH:
		put_own_progs(w, (void *)slot_at.map + bpf_core_field_offset(struct bpf_shtab, progs));
		break;
	case 26: /* BPF_MAP_TYPE_STRUCT_OPS */
		put_registered(w);
		break;
	}
}

/* False where the map is gone; then the walk is over. */
static __always_inline bool begin(struct walk *w)
{
	struct bpf_map *map;

	slot_node = 0;
	map = (void *)slot_at.map;
	if (BPF_CORE_READ(map, id) != slot_at.id) {
		slot_at.done = 1;
		return false;
	}
	slot_base = find_base();
	if (!slot_base) {
		slot_at.done = 1;
		return false;
	}
	if (!slot_at.begun) {
		slot_at.begun = 1;
		slot_at.slots = count_slots();
		put_maps_own(w);
	}
	return true;
}

TICK_WALK(slots, slot_cursor, slot_at, begin, slot_step, 16384, 16)
