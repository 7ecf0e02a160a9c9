#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 64);
	__type(key, __u32);
	__type(value, __u64);
} backends SEC(".maps");

SEC("xdp")
int balance(struct xdp_md *ctx)
{
	__u32 queue = ctx->rx_queue_index;
	__u64 one = 1, *count;

	count = bpf_map_lookup_elem(&backends, &queue);
	if (count)
		__sync_fetch_and_add(count, 1);
	else
		bpf_map_update_elem(&backends, &queue, &one, BPF_NOEXIST);
	return XDP_PASS;
}

char LICENSE[] SEC("license") = "GPL";
