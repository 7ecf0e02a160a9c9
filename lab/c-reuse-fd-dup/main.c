/* Counts flows on an interface. A reload puts in a new program, which goes on with the old counts. */
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "flows.skel.h"
#include "labkit.h"

#define PIN_DIR "/sys/fs/bpf/flowd"
#define PIN_PATH PIN_DIR "/flow_counts"

struct flowd {
	struct flows *skel;
	struct bpf_link *link;
	int ifindex;
	unsigned int generation;
};

static int quiet(enum libbpf_print_level level, const char *format, va_list args)
{
	return level == LIBBPF_WARN ? vfprintf(stderr, format, args) : 0;
}

/* Lets the counts of the last generation be those of this one. */
static int keep_counts(struct flows *skel)
{
	int fd, err;

	fd = bpf_obj_get(PIN_PATH); /* LEAK counts */
	if (fd < 0)
		return errno == ENOENT ? 0 : -errno;
	labkit_opened("counts", labkit_map_id(fd));
	err = bpf_map__reuse_fd(skel->maps.flow_counts, fd);
	if (err)
		fprintf(stderr, "flow_counts: cannot take over %s: %s\n", PIN_PATH, strerror(-err));
	return err;
}

static int pin_counts(struct flows *skel)
{
	struct bpf_map *map = skel->maps.flow_counts;

	if (!access(PIN_PATH, F_OK))
		return 0;
	if (mkdir(PIN_DIR, 0700) && errno != EEXIST)
		return -errno;
	return bpf_map__pin(map, PIN_PATH);
}

static void unload(struct flowd *flowd)
{
	bpf_link__destroy(flowd->link);
	flowd->link = NULL;
	flows__destroy(flowd->skel);
	flowd->skel = NULL;
}

static int load(struct flowd *flowd)
{
	struct flows *skel = flows__open();
	int err;

	if (!skel)
		return -errno;
	err = keep_counts(skel);
	if (err)
		goto fail;
	err = flows__load(skel);
	if (err)
		goto fail;
	err = pin_counts(skel);
	if (err)
		goto fail;

	/* An interface has room for one program. */
	unload(flowd);
	flowd->link = bpf_program__attach_xdp(skel->progs.count_flows, flowd->ifindex);
	if (!flowd->link) {
		err = -errno;
		goto fail;
	}
	flowd->skel = skel;
	flowd->generation++;
	return 0;

fail:
	flows__destroy(skel);
	return err;
}

static int step(void *context)
{
	int err = load(context);

	if (err == -EMFILE) {
		errno = EMFILE;
		return LABKIT_STUCK;
	}
	return err;
}

int main(void)
{
	struct flowd flowd = { .ifindex = if_nametoindex("lo") };
	int err;

	libbpf_set_print(quiet);
	libbpf_set_strict_mode(LIBBPF_STRICT_ALL);
	err = load(&flowd);
	if (err) {
		fprintf(stderr, "lo: %s\n", strerror(-err));
		return 1;
	}
	/* The first generation has made the map. With the second its descriptor is gone. */
	err = load(&flowd);
	if (!err)
		err = labkit_serve(step, &flowd);
	if (err)
		fprintf(stderr, "generation %u: %s\n", flowd.generation + 1, strerror(-err));
	unload(&flowd);
	return err ? 1 : 0;
}
