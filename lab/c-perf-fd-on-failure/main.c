/*
 * Samples what a processor does, for one interval after the other. What cannot be sampled on this
 * kernel is left out.
 */
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <linux/perf_event.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "labkit.h"
#include "sampler.skel.h"

#define CPU 0
#define PROGRAMS 2

struct sampling {
	struct sampler *skel;
	struct bpf_link *links[PROGRAMS];
	unsigned int intervals, refused;
};

static int quiet(enum libbpf_print_level level, const char *format, va_list args)
{
	return 0;
}

static int event_open(uint64_t period)
{
	struct perf_event_attr attr = {
		.type = PERF_TYPE_SOFTWARE,
		.size = sizeof(attr),
		.config = PERF_COUNT_SW_CPU_CLOCK,
		.sample_period = period,
	};
	int fd = syscall(SYS_perf_event_open, &attr, -1, CPU, -1, PERF_FLAG_FD_CLOEXEC);

	return fd < 0 ? -errno : fd;
}

/* The link has the event, and closes it: if there is a link. */
static struct bpf_link *sample(struct bpf_program *prog, uint64_t period)
{
	int event = event_open(period); /* RULE events */

	if (event < 0) {
		errno = -event;
		return NULL;
	}
	return bpf_program__attach_perf_event(prog, event);
}

static void stop(struct sampling *sampling)
{
	for (int i = 0; i < PROGRAMS; i++) {
		if (!sampling->links[i])
			continue;
		labkit_closed("link", labkit_link_id(bpf_link__fd(sampling->links[i])));
		bpf_link__destroy(sampling->links[i]);
		sampling->links[i] = NULL;
	}
}

static int start(struct sampling *sampling, uint64_t period)
{
	struct bpf_program *programs[PROGRAMS] = {
		sampling->skel->progs.count_sample,
		sampling->skel->progs.count_stack,
	};

	for (int i = 0; i < PROGRAMS; i++) {
		struct bpf_link *link = sample(programs[i], period);

		/* It was not loaded. */
		if (!link && errno == EINVAL) {
			sampling->refused++;
			continue;
		}
		if (!link)
			return -errno;
		sampling->links[i] = link;
		labkit_opened("link", labkit_link_id(bpf_link__fd(link)));
	}
	return 0;
}

/* The next interval, with another period. */
static int step(void *context)
{
	struct sampling *sampling = context;
	int err;

	stop(sampling);
	err = start(sampling, 1000000000ull + 1000 * ++sampling->intervals);
	if (err == -EMFILE) {
		errno = EMFILE;
		return LABKIT_STUCK;
	}
	return err;
}

static struct sampler *load(void)
{
	struct sampler *skel = sampler__open();

	if (!skel)
		return NULL;
	/* This kernel has no helper that it needs. */
	bpf_program__set_autoload(skel->progs.count_stack, false);
	if (sampler__load(skel)) {
		sampler__destroy(skel);
		return NULL;
	}
	return skel;
}

int main(void)
{
	struct sampling sampling = {};
	int err;

	libbpf_set_print(quiet);
	libbpf_set_strict_mode(LIBBPF_STRICT_ALL);
	sampling.skel = load();
	if (!sampling.skel) {
		fprintf(stderr, "sampler: %s\n", strerror(errno));
		return 1;
	}
	labkit_opened("program", labkit_prog_id(bpf_program__fd(sampling.skel->progs.count_sample)));
	labkit_opened("samples", labkit_map_id(bpf_map__fd(sampling.skel->maps.samples)));
	err = start(&sampling, 1000000000);
	if (!err)
		err = labkit_serve(step, &sampling);
	if (err)
		fprintf(stderr, "interval %u: %s\n", sampling.intervals, strerror(-err));
	stop(&sampling);
	sampler__destroy(sampling.skel);
	return err ? 1 : 0;
}
