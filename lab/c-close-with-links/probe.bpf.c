#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u64);
} session_hits SEC(".maps");

SEC("raw_tp")
int session_probe(void *ctx)
{
	__u32 zero = 0;
	__u64 *hits = bpf_map_lookup_elem(&session_hits, &zero);

	if (hits)
		__sync_fetch_and_add(hits, 1);
	return 0;
}

char LICENSE[] SEC("license") = "GPL";
