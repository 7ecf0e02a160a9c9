#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

struct event {
	__u32 length;
	__u32 mark;
};

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 128);
	__type(key, __u32);
	__type(value, struct event);
} pod_events SEC(".maps");

SEC("tc")
int pod_ingress(struct __sk_buff *skb)
{
	struct event event = { .length = skb->len, .mark = skb->mark };
	__u32 hash = skb->hash;

	bpf_map_update_elem(&pod_events, &hash, &event, BPF_ANY);
	return 0;
}

char LICENSE[] SEC("license") = "GPL";
