/* A packet processor whose stages are tail calls: each policy that is compiled gets a slot of its own. */
#include <bpf/bpf.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "labkit.h"

#define SLOTS 4096
/* Where the entry program jumps to: the slot of the policy in force. */
#define CURRENT 0

struct pipeline {
	int jumps;	/* slots of policies */
	int config;	/* the slot in force */
	uint32_t next;
};

static int compile(uint32_t policy)
{
	/* r0 = policy even ? 0 : 2; exit: a policy is not much more here */
	struct bpf_insn insns[] = {
		{ .code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_0, .imm = policy % 2 ? 2 : 0 },
		{ .code = BPF_JMP | BPF_EXIT },
	};
	int fd = bpf_prog_load(BPF_PROG_TYPE_SCHED_CLS, "policy", "GPL", insns,
			       sizeof(insns) / sizeof(insns[0]), NULL);

	return fd < 0 ? -errno : fd;
}

/* Makes a policy reachable. Packets may still be in the one before: its slot is not touched. */
static int install(struct pipeline *pipeline, int prog_fd)
{
	uint32_t slot = pipeline->next, current = CURRENT;

	if (bpf_map_update_elem(pipeline->jumps, &slot, &prog_fd, BPF_ANY)) /* LEAK policies */
		return -errno;
	if (bpf_map_update_elem(pipeline->config, &current, &slot, BPF_ANY)) {
		int err = -errno;

		bpf_map_delete_elem(pipeline->jumps, &slot);
		return err;
	}
	pipeline->next++;
	return 0;
}

static int new_policy(struct pipeline *pipeline)
{
	int fd, err;

	fd = compile(pipeline->next);
	if (fd < 0)
		return fd;
	err = install(pipeline, fd);
	if (!err)
		labkit_opened("policies", labkit_prog_id(fd));
	close(fd);
	return err;
}

static int step(void *context)
{
	int err = new_policy(context);

	/* No slot is left. */
	if (err == -E2BIG) {
		errno = E2BIG;
		return LABKIT_STUCK;
	}
	return err;
}

static int pipeline_init(struct pipeline *pipeline)
{
	pipeline->next = 1;
	pipeline->jumps = bpf_map_create(BPF_MAP_TYPE_PROG_ARRAY, "policy_jumps", 4, 4, SLOTS, NULL);
	if (pipeline->jumps < 0)
		return -errno;
	pipeline->config = bpf_map_create(BPF_MAP_TYPE_ARRAY, "policy_config", 4, 4, 1, NULL);
	if (pipeline->config < 0) {
		int err = -errno;

		close(pipeline->jumps);
		return err;
	}
	labkit_opened("jumps", labkit_map_id(pipeline->jumps));
	labkit_opened("config", labkit_map_id(pipeline->config));
	return 0;
}

int main(void)
{
	struct pipeline pipeline;
	int err = pipeline_init(&pipeline);

	if (err) {
		fprintf(stderr, "pipeline: %s\n", strerror(-err));
		return 1;
	}
	err = labkit_serve(step, &pipeline);
	if (err)
		fprintf(stderr, "policy %u: %s\n", pipeline.next, strerror(-err));
	close(pipeline.config);
	close(pipeline.jumps);
	return err ? 1 : 0;
}
