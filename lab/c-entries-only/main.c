/* Notes when requests start, and how long they took once they end. */
#include <bpf/libbpf.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "labkit.h"
#include "starts.skel.h"

#define REQUESTS 200

struct tracer {
	struct starts *skel;
	uint64_t next;
	uint64_t total_ns;
	unsigned long timed_out;
};

static uint64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000000000ull + now.tv_nsec;
}

static int started(struct tracer *tracer, uint64_t request)
{
	uint64_t now = now_ns();

	return bpf_map__update_elem(tracer->skel->maps.start_times, &request, sizeof(request), &now,
				    sizeof(now), BPF_NOEXIST);
}

static int ended(struct tracer *tracer, uint64_t request)
{
	struct bpf_map *map = tracer->skel->maps.start_times;
	uint64_t start;
	int err;

	err = bpf_map__lookup_elem(map, &request, sizeof(request), &start, sizeof(start), 0);
	if (err)
		return err;
	tracer->total_ns += now_ns() - start;
	return bpf_map__delete_elem(map, &request, sizeof(request), 0);
}

/* Many requests. Those that time out never end, and what was noted of them stays. */
static int step(void *context)
{
	struct tracer *tracer = context;

	for (int i = 0; i < REQUESTS; i++) {
		uint64_t request = ++tracer->next;
		bool times_out = request % 4 == 0;
		int err = started(tracer, request);

		if (!err && !times_out)
			err = ended(tracer, request);
		tracer->timed_out += times_out;
		if (err == -E2BIG) {
			errno = E2BIG;
			return LABKIT_STUCK;
		}
		if (err)
			return err;
	}
	return 0;
}

int main(void)
{
	struct tracer tracer = {};
	int err;

	libbpf_set_strict_mode(LIBBPF_STRICT_ALL);
	tracer.skel = starts__open_and_load();
	if (!tracer.skel) {
		fprintf(stderr, "starts: %s\n", strerror(errno));
		return 1;
	}
	labkit_opened("starts", labkit_map_id(bpf_map__fd(tracer.skel->maps.start_times)));
	labkit_opened("program", labkit_prog_id(bpf_program__fd(tracer.skel->progs.note_start)));
	err = labkit_serve(step, &tracer);
	if (err)
		fprintf(stderr, "request %llu: %s\n", (unsigned long long)tracer.next, strerror(-err));
	starts__destroy(tracer.skel);
	return err ? 1 : 0;
}
