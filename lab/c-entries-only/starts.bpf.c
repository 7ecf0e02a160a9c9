#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 65536);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, __u64);
	__type(value, __u64);
} start_times SEC(".maps");

SEC("socket")
int note_start(struct __sk_buff *skb)
{
	__u64 flow = (__u64)skb->hash << 32 | skb->len;
	__u64 now = bpf_ktime_get_ns();

	bpf_map_update_elem(&start_times, &flow, &now, BPF_NOEXIST);
	return 0;
}

char LICENSE[] SEC("license") = "GPL";
