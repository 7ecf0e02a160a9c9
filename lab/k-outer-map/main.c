/* Backends of services: an outer map by service, an inner map of each service's endpoints. */
#include <bpf/bpf.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "labkit.h"

#define SERVICES 1024
#define ENDPOINTS 16

struct balancer {
	int services;	/* outer map: address and port -> endpoints */
	int names;	/* address and port -> number of endpoints */
	uint32_t next;
};

static int endpoints_create(void)
{
	int fd = bpf_map_create(BPF_MAP_TYPE_HASH, "endpoints", 4, 8, ENDPOINTS, NULL);

	return fd < 0 ? -errno : fd;
}

static int endpoints_fill(int fd, uint32_t service, uint32_t count)
{
	for (uint32_t i = 0; i < count; i++) {
		uint64_t backend = (uint64_t)service << 32 | (0x0a640000 + i);

		if (bpf_map_update_elem(fd, &i, &backend, BPF_NOEXIST))
			return -errno;
	}
	return 0;
}

static int service_add(struct balancer *balancer, uint64_t key, uint32_t count)
{
	int fd, err;

	fd = endpoints_create();
	if (fd < 0)
		return fd;
	err = endpoints_fill(fd, balancer->next, count);
	if (err)
		goto out;
	if (bpf_map_update_elem(balancer->services, &key, &fd, BPF_ANY)) { /* LEAK endpoints */
		err = -errno;
		goto out;
	}
	labkit_opened("endpoints", labkit_map_id(fd));
	if (bpf_map_update_elem(balancer->names, &key, &count, BPF_ANY)) {
		err = -errno;
		bpf_map_delete_elem(balancer->services, &key);
		labkit_closed("endpoints", labkit_map_id(fd));
	}
out:
	/* The outer map holds it now, or nobody. */
	close(fd);
	return err;
}

/* A service is looked up by its name first: without one it does not exist. */
static int service_remove(struct balancer *balancer, uint64_t key)
{
	return bpf_map_delete_elem(balancer->names, &key) ? -errno : 0;
}

static int step(void *context)
{
	struct balancer *balancer = context;
	uint64_t key = (uint64_t)(0xc0a80000 + ++balancer->next) << 16 | 443;
	int err;

	err = service_add(balancer, key, 1 + balancer->next % ENDPOINTS);
	if (err == -E2BIG) {
		errno = E2BIG;
		return LABKIT_STUCK;
	}
	if (err)
		return err;
	return service_remove(balancer, key);
}

static int balancer_init(struct balancer *balancer)
{
	LIBBPF_OPTS(bpf_map_create_opts, opts);
	int template, err = 0;

	memset(balancer, 0, sizeof(*balancer));
	template = endpoints_create();
	if (template < 0)
		return template;
	opts.inner_map_fd = template;
	balancer->services = bpf_map_create(BPF_MAP_TYPE_HASH_OF_MAPS, "services", 8, 4, SERVICES, &opts);
	if (balancer->services < 0)
		err = -errno;
	close(template);
	if (err)
		return err;
	balancer->names = bpf_map_create(BPF_MAP_TYPE_HASH, "service_names", 8, 4, SERVICES, NULL);
	if (balancer->names < 0) {
		err = -errno;
		close(balancer->services);
		return err;
	}
	labkit_opened("services", labkit_map_id(balancer->services));
	labkit_opened("names", labkit_map_id(balancer->names));
	return 0;
}

int main(void)
{
	struct balancer balancer;
	int err = balancer_init(&balancer);

	if (!err)
		err = labkit_serve(step, &balancer);
	if (err) {
		fprintf(stderr, "balancer: %s\n", strerror(-err));
		return 1;
	}
	close(balancer.names);
	close(balancer.services);
	return 0;
}
