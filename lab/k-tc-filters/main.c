/* Meters what an interface receives, with a filter of the traffic control. */
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <linux/if_link.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>

#include "labkit.h"
#include "meter.skel.h"

#define FIRST_PRIORITY 100

struct device {
	int ifindex;
	unsigned int starts;
};

static int quiet(enum libbpf_print_level level, const char *format, va_list args)
{
	return 0;
}

/* Makes the hook unless it is there already. */
static int make_hook(const struct device *device)
{
	LIBBPF_OPTS(bpf_tc_hook, hook, .ifindex = device->ifindex, .attach_point = BPF_TC_INGRESS);
	int err = bpf_tc_hook_create(&hook);

	return err == -EEXIST ? 0 : err;
}

/* A filter beside those of others: the kernel is to choose its handle. */
static int attach_meter(struct device *device, int prog_fd)
{
	LIBBPF_OPTS(bpf_tc_hook, hook, .ifindex = device->ifindex, .attach_point = BPF_TC_INGRESS);
	LIBBPF_OPTS(bpf_tc_opts, opts, .prog_fd = prog_fd,
		    .priority = FIRST_PRIORITY + device->starts);

	return bpf_tc_attach(&hook, &opts); /* LEAK meters */
}

/* Also when it starts again: nothing then removes the filter of the time before. */
static int start_meter(struct device *device)
{
	struct meter *skel;
	int err;

	skel = meter__open();
	if (!skel)
		return -errno;
	bpf_program__set_autoload(skel->progs.guard, false);
	err = meter__load(skel);
	if (err)
		goto out;
	err = make_hook(device);
	if (err)
		goto out;
	err = attach_meter(device, bpf_program__fd(skel->progs.meter));
	if (err)
		goto out;
	device->starts++;
	labkit_opened("meters", labkit_prog_id(bpf_program__fd(skel->progs.meter)));
	labkit_opened("bytes", labkit_map_id(bpf_map__fd(skel->maps.meter_bytes)));
out:
	meter__destroy(skel);
	return err;
}

/* By netlink too, but an interface has one of these: a later one would replace it. */
static int attach_guard(const struct device *device)
{
	struct meter *skel;
	int fd, err;

	skel = meter__open();
	if (!skel)
		return -errno;
	bpf_program__set_autoload(skel->progs.meter, false);
	bpf_map__set_autocreate(skel->maps.meter_bytes, false);
	err = meter__load(skel);
	if (err)
		goto out;
	fd = bpf_program__fd(skel->progs.guard);
	err = bpf_xdp_attach(device->ifindex, fd, XDP_FLAGS_SKB_MODE | XDP_FLAGS_UPDATE_IF_NOEXIST, NULL);
	if (!err)
		labkit_opened("guard", labkit_prog_id(fd));
out:
	meter__destroy(skel);
	return err;
}

static int step(void *context)
{
	return start_meter(context);
}

int main(void)
{
	struct device device = { .ifindex = if_nametoindex("lo") };
	int err;

	libbpf_set_print(quiet);
	libbpf_set_strict_mode(LIBBPF_STRICT_ALL);
	err = attach_guard(&device);
	if (!err)
		err = labkit_serve(step, &device);
	if (err)
		fprintf(stderr, "lo: %s\n", strerror(-err));
	return err ? 1 : 0;
}
