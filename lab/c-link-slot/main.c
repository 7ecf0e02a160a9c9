/* Watches one kernel event after the other, whichever its user asks for. */
#include <bpf/libbpf.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "labkit.h"
#include "watcher.skel.h"

static const char *const events[] = {
	"mark_victim", "oom_score_adj_update", "wake_reaper", "start_task_reaping",
	"finish_task_reaping", "skip_task_reaping", "cgroup_setup_root", "cgroup_destroy_root",
	"cgroup_remount", "cgroup_mkdir", "cgroup_rmdir", "cgroup_release", "cgroup_rename",
	"cgroup_freeze", "cgroup_unfreeze", "cgroup_attach_task", "cgroup_transfer_tasks",
	"cgroup_notify_populated", "cgroup_notify_frozen", "itimer_expire",
};
#define EVENTS (sizeof(events) / sizeof(events[0]))

struct watch {
	struct watcher *skel;
	const char *event;
	unsigned int turns;
	int cpus;
};

static int start(struct watch *watch, const char *event)
{
	struct watcher *skel = watch->skel;

	skel->links.on_event = bpf_program__attach_raw_tracepoint(skel->progs.on_event, event); /* LEAK links */
	if (!skel->links.on_event)
		return -errno;
	labkit_opened("links", labkit_link_id(bpf_link__fd(skel->links.on_event)));
	watch->event = event;
	return 0;
}

/* What all processors have seen, and from now on nothing. */
static int take(struct watch *watch, uint64_t *sum)
{
	struct bpf_map *map = watch->skel->maps.seen;
	size_t size = watch->cpus * sizeof(uint64_t);
	uint64_t *values = calloc(watch->cpus, sizeof(uint64_t));
	uint32_t zero = 0;
	int err;

	if (!values)
		return -ENOMEM;
	*sum = 0;
	err = bpf_map__lookup_elem(map, &zero, sizeof(zero), values, size, 0);
	if (err)
		goto out;
	for (int i = 0; i < watch->cpus; i++)
		*sum += values[i];
	memset(values, 0, size);
	err = bpf_map__update_elem(map, &zero, sizeof(zero), values, size, BPF_ANY);
out:
	free(values);
	return err;
}

/* The next event is asked for. */
static int step(void *context)
{
	struct watch *watch = context;
	uint64_t sum;
	int err;

	err = take(watch, &sum);
	if (err)
		return err;
	err = start(watch, events[++watch->turns % EVENTS]);
	/* Before Linux 6.10 a program cannot be attached to an event twice. */
	if (err == -EMFILE || err == -EEXIST) {
		errno = -err;
		return LABKIT_STUCK;
	}
	return err;
}

int main(void)
{
	struct watch watch = { .cpus = libbpf_num_possible_cpus() };
	int err;

	libbpf_set_strict_mode(LIBBPF_STRICT_ALL);
	watch.skel = watcher__open_and_load();
	if (!watch.skel) {
		fprintf(stderr, "watcher: %s\n", strerror(errno));
		return 1;
	}
	labkit_opened("program", labkit_prog_id(bpf_program__fd(watch.skel->progs.on_event)));
	labkit_opened("seen", labkit_map_id(bpf_map__fd(watch.skel->maps.seen)));
	err = start(&watch, events[0]);
	if (!err)
		err = labkit_serve(step, &watch);
	if (err)
		fprintf(stderr, "%s: %s\n", watch.event, strerror(-err));
	watcher__destroy(watch.skel);
	return err ? 1 : 0;
}
