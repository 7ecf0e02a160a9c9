#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 64);
	__type(key, __u32);
	__type(value, __u64);
} module_state SEC(".maps");

SEC("raw_tp")
int module_main(void *ctx)
{
	__u32 zero = 0;
	__u64 *runs = bpf_map_lookup_elem(&module_state, &zero);

	if (runs)
		__sync_fetch_and_add(runs, 1);
	return 0;
}

char LICENSE[] SEC("license") = "GPL";
