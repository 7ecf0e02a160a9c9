/*
 * A balancer that is never down: a new generation takes the link over while the one before
 * still serves what is under way, and is closed at the next change.
 */
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>

#include "balancer.skel.h"
#include "labkit.h"

struct service {
	struct balancer *serving;
	struct balancer *draining;
	struct bpf_link *link;
	int ifindex;
};

static uint32_t program_id(const struct balancer *balancer)
{
	return labkit_prog_id(bpf_program__fd(balancer->progs.balance));
}

/* The next generation, with the backends of this one. */
static struct balancer *load(const struct service *service)
{
	struct balancer *next = balancer__open();
	int err = 0;

	if (!next)
		return NULL;
	/* libbpf makes a copy; the descriptor is the old generation's, which closes it. */
	if (service->serving)
		err = bpf_map__reuse_fd(next->maps.backends,
					bpf_map__fd(service->serving->maps.backends));
	if (!err)
		err = balancer__load(next);
	if (err) {
		balancer__destroy(next);
		errno = -err;
		return NULL;
	}
	return next;
}

static int take_over(struct service *service, struct balancer *next)
{
	if (service->link)
		return bpf_link__update_program(service->link, next->progs.balance);
	service->link = bpf_program__attach_xdp(next->progs.balance, service->ifindex);
	if (!service->link)
		return -errno;
	labkit_opened("link", labkit_link_id(bpf_link__fd(service->link)));
	return 0;
}

/* What was under way is done. */
static void drained(struct service *service)
{
	if (!service->draining)
		return;
	labkit_closed("draining", program_id(service->draining));
	balancer__destroy(service->draining);
	service->draining = NULL;
}

static int change(struct service *service)
{
	struct balancer *next = load(service);
	int err;

	if (!next)
		return -errno;
	err = take_over(service, next);
	if (err) {
		balancer__destroy(next);
		return err;
	}
	drained(service);
	if (service->serving) {
		labkit_closed("serving", program_id(service->serving));
		labkit_opened("draining", program_id(service->serving));
	} else {
		/* One file, however many generations have a descriptor of it. */
		labkit_opened("backends", labkit_map_id(bpf_map__fd(next->maps.backends)));
	}
	service->draining = service->serving;
	service->serving = next;
	labkit_opened("serving", program_id(next));
	return 0;
}

static int step(void *context)
{
	return change(context);
}

int main(void)
{
	struct service service = { .ifindex = if_nametoindex("lo") };
	int err;

	libbpf_set_strict_mode(LIBBPF_STRICT_ALL);
	err = change(&service);
	if (!err)
		err = change(&service);
	if (!err)
		err = labkit_serve(step, &service);
	if (err)
		fprintf(stderr, "lo: %s\n", strerror(-err));
	drained(&service);
	bpf_link__destroy(service.link);
	balancer__destroy(service.serving);
	return err ? 1 : 0;
}
