#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u64);
} meter_bytes SEC(".maps");

SEC("tc")
int meter(struct __sk_buff *skb)
{
	__u32 zero = 0;
	__u64 *bytes = bpf_map_lookup_elem(&meter_bytes, &zero);

	if (bytes)
		__sync_fetch_and_add(bytes, skb->len);
	return -1; /* TC_ACT_UNSPEC: the next filter */
}

SEC("xdp")
int guard(struct xdp_md *ctx)
{
	return XDP_PASS;
}

char LICENSE[] SEC("license") = "GPL";
