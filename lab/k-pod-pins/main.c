/* A network agent: what a pod needs is pinned when the pod is added, and removed when it is deleted. */
#include <bpf/libbpf.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "labkit.h"
#include "podnet.skel.h"

#define PODS "/sys/fs/bpf/pods"
#define PATH_SIZE 96

struct pod {
	char uid[37];
	uint32_t map_id;
	uint32_t prog_id;
};

static void pod_path(char *path, const struct pod *pod, const char *file)
{
	snprintf(path, PATH_SIZE, PODS "/%s%s", pod->uid, file);
}

static int remove_pins(const struct pod *pod)
{
	static const char *const files[] = { "/ingress", "/events" };
	char path[PATH_SIZE];
	int err = 0;

	for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
		pod_path(path, pod, files[i]);
		if (unlink(path) && errno != ENOENT)
			err = -errno;
	}
	pod_path(path, pod, "");
	if (rmdir(path) && errno != ENOENT)
		err = -errno;
	return err;
}

/* What the container runtime calls when a pod starts. */
static int pod_add(struct pod *pod)
{
	struct podnet *skel;
	char path[PATH_SIZE];
	int err;

	skel = podnet__open_and_load();
	if (!skel)
		return -errno;
	pod_path(path, pod, "");
	if (mkdir(path, 0700)) {
		err = -errno;
		goto out;
	}
	pod_path(path, pod, "/events");
	err = bpf_map__pin(skel->maps.pod_events, path); /* LEAK events */
	if (err)
		goto undo;
	pod_path(path, pod, "/ingress");
	err = bpf_program__pin(skel->progs.pod_ingress, path); /* LEAK programs */
	if (err)
		goto undo;
	pod->map_id = labkit_map_id(bpf_map__fd(skel->maps.pod_events));
	pod->prog_id = labkit_prog_id(bpf_program__fd(skel->progs.pod_ingress));
	labkit_opened("events", pod->map_id);
	labkit_opened("programs", pod->prog_id);
	goto out;

undo:
	remove_pins(pod);
out:
	podnet__destroy(skel);
	return err;
}

/* What it calls when the pod ends, unless the runtime was restarted or the node was drained in a hurry. */
static int pod_delete(const struct pod *pod)
{
	int err = remove_pins(pod);

	if (err)
		return err;
	labkit_closed("events", pod->map_id);
	labkit_closed("programs", pod->prog_id);
	return 0;
}

static int step(void *context)
{
	unsigned int *pods = context;
	int err;

	for (int i = 0; i < 2; i++) {
		struct pod pod = {};

		++*pods;
		snprintf(pod.uid, sizeof(pod.uid), "%08x-5d3a-4c1e-9b0f-%012x", *pods * 2654435761u,
			 *pods);
		err = pod_add(&pod);
		if (!err && *pods % 2)
			err = pod_delete(&pod);
		if (err) {
			fprintf(stderr, "pod %s: %s\n", pod.uid, strerror(-err));
			return err;
		}
	}
	return 0;
}

int main(void)
{
	unsigned int pods = 0;

	libbpf_set_strict_mode(LIBBPF_STRICT_ALL);
	if (mkdir(PODS, 0700) && errno != EEXIST) {
		perror(PODS);
		return 1;
	}
	return labkit_serve(step, &pods) ? 1 : 0;
}
