/* Gives each connection a page of counters that the kernel side writes and this side reads in place. */
#include <bpf/bpf.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "labkit.h"

enum counter { BYTES_IN, BYTES_OUT, PACKETS_IN, PACKETS_OUT, RESETS, COUNTERS };

struct connection {
	struct connection *next;
	uint32_t peer;
	uint32_t map_id;
	volatile uint64_t *counters;
	bool reset;
};

struct agent {
	struct connection *open;
	unsigned int next;
	uint64_t bytes;
};

static size_t counters_size(void)
{
	return sysconf(_SC_PAGESIZE);
}

/* Maps the counters of a new connection. The descriptor is needed for that only. */
static int map_counters(struct connection *connection)
{
	LIBBPF_OPTS(bpf_map_create_opts, opts, .map_flags = BPF_F_MMAPABLE);
	void *page;
	int fd, err = 0;

	fd = bpf_map_create(BPF_MAP_TYPE_ARRAY, "conn_counters", 4, 8, COUNTERS, &opts); /* LEAK counters */
	if (fd < 0)
		return -errno;
	page = mmap(NULL, counters_size(), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (page == MAP_FAILED) {
		err = -errno;
	} else {
		connection->counters = page;
		connection->map_id = labkit_map_id(fd);
		labkit_opened("counters", connection->map_id);
	}
	close(fd);
	return err;
}

static int opened(struct agent *agent, uint32_t peer)
{
	struct connection *connection = calloc(1, sizeof(*connection));
	int err;

	if (!connection)
		return -ENOMEM;
	connection->peer = peer;
	err = map_counters(connection);
	if (err) {
		free(connection);
		return err;
	}
	connection->next = agent->open;
	agent->open = connection;
	return 0;
}

static void closed(struct agent *agent)
{
	struct connection *connection = agent->open;

	agent->open = connection->next;
	if (connection->reset) {
		/* There is nothing to add up. */
		free(connection);
		return;
	}
	agent->bytes += connection->counters[BYTES_IN] + connection->counters[BYTES_OUT];
	if (munmap((void *)connection->counters, counters_size()))
		perror("munmap");
	else
		labkit_closed("counters", connection->map_id);
	free(connection);
}

/* Two connections, of which the peer resets one. */
static int step(void *context)
{
	struct agent *agent = context;
	int err;

	for (int i = 0; i < 2; i++) {
		err = opened(agent, 0x0a000000 + ++agent->next);
		if (err == -ENOMEM) {
			errno = ENOMEM;
			return LABKIT_STUCK;
		}
		if (err)
			return err;
		agent->open->counters[PACKETS_IN] += 3;
		agent->open->counters[BYTES_IN] += 180;
		if (i) {
			agent->open->counters[RESETS]++;
			agent->open->reset = true;
		}
		closed(agent);
	}
	return 0;
}

int main(void)
{
	struct agent agent = {};
	int err = labkit_serve(step, &agent);

	if (err)
		fprintf(stderr, "connection %u: %s\n", agent.next, strerror(-err));
	return err ? 1 : 0;
}
