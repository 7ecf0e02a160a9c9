/* The object beside it is made from it as lab/README.md says. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 64);
	__type(key, __u32);
	__type(value, __u64);
} steered SEC(".maps");

/* Which ports are asked for; the socket is the one that it would be anyway. */
SEC("sk_lookup")
int steer(struct bpf_sk_lookup *ctx)
{
	__u32 port = ctx->local_port;
	__u64 one = 1, *count = bpf_map_lookup_elem(&steered, &port);

	if (count)
		__sync_fetch_and_add(count, 1);
	else
		bpf_map_update_elem(&steered, &port, &one, BPF_NOEXIST);
	return SK_PASS;
}

char LICENSE[] SEC("license") = "GPL";
