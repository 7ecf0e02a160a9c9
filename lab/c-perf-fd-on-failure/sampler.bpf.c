#include <linux/bpf.h>

#include <bpf/bpf_helpers.h>

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u64);
} samples SEC(".maps");

SEC("perf_event")
int count_sample(void *ctx)
{
	__u32 zero = 0;
	__u64 *count = bpf_map_lookup_elem(&samples, &zero);

	if (count)
		++*count;
	return 0;
}

/* Only where the kernel has what it takes. */
SEC("perf_event")
int count_stack(void *ctx)
{
	return 0;
}

char LICENSE[] SEC("license") = "GPL";
