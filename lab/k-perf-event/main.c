/* Samples what the processors do for a while, then starts again with another period. */
#include <bpf/bpf.h>
#include <errno.h>
#include <linux/perf_event.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "labkit.h"

#define CPU 0

struct sampler {
	int event;
	uint32_t prog_id;
	unsigned int rounds;
};

/* r0 = 0; exit: what a sample is counted by is no matter here */
static const struct bpf_insn ignore[] = {
	{ .code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_0 },
	{ .code = BPF_JMP | BPF_EXIT },
};

static int event_open(void)
{
	struct perf_event_attr attr = {
		.type = PERF_TYPE_SOFTWARE,
		.size = sizeof(attr),
		.config = PERF_COUNT_SW_CPU_CLOCK,
		.sample_period = 1000000000,
		.disabled = 1,
	};
	int fd = syscall(SYS_perf_event_open, &attr, -1, CPU, -1, PERF_FLAG_FD_CLOEXEC);

	return fd < 0 ? -errno : fd;
}

static int program_load(void)
{
	int fd = bpf_prog_load(BPF_PROG_TYPE_PERF_EVENT, "on_sample", "GPL", ignore,
			       sizeof(ignore) / sizeof(ignore[0]), NULL);

	return fd < 0 ? -errno : fd;
}

/* Puts the program on an event. Whoever calls it has the event, whatever happens. */
static int event_arm(int event, int prog, uint64_t period)
{
	if (ioctl(event, PERF_EVENT_IOC_SET_BPF, prog)) /* LEAK programs */
		return -errno;
	if (ioctl(event, PERF_EVENT_IOC_PERIOD, &period))
		return -errno;
	if (ioctl(event, PERF_EVENT_IOC_ENABLE, 0))
		return -errno;
	return 0;
}

static void event_close(struct sampler *sampler)
{
	if (sampler->event < 0)
		return;
	ioctl(sampler->event, PERF_EVENT_IOC_DISABLE, 0);
	close(sampler->event);
	labkit_closed("running", sampler->prog_id);
	sampler->event = -1;
}

static int start(struct sampler *sampler, uint64_t period)
{
	int event, prog, err;

	event = event_open();
	if (event < 0)
		return event;
	prog = program_load();
	if (prog < 0) {
		close(event);
		return prog;
	}
	err = event_arm(event, prog, period);
	if (err) {
		/* The event went to event_arm. */
		labkit_opened("programs", labkit_prog_id(prog));
		goto out;
	}
	event_close(sampler);
	sampler->event = event;
	sampler->prog_id = labkit_prog_id(prog);
	labkit_opened("running", sampler->prog_id);
out:
	close(prog);
	return err;
}

/* The user asks for one sample in two seconds, then for as many as there can be. */
static int step(void *context)
{
	struct sampler *sampler = context;
	int err;

	sampler->rounds++;
	err = start(sampler, 2000000000);
	if (!err)
		err = start(sampler, 0);
	if (err == -EMFILE) {
		errno = EMFILE;
		return LABKIT_STUCK;
	}
	if (err != -EINVAL)
		return err ? err : -EPROTO;
	return 0;
}

int main(void)
{
	struct sampler sampler = { .event = -1 };
	int err = start(&sampler, 1000000000);

	if (!err)
		err = labkit_serve(step, &sampler);
	if (err)
		fprintf(stderr, "round %u: %s\n", sampler.rounds, strerror(-err));
	event_close(&sampler);
	return err ? 1 : 0;
}
