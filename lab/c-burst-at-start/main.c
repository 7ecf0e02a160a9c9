/* Keeps counters of each processor queue of each device. It finds the devices one bus after the other. */
#include <bpf/bpf.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "labkit.h"

#define QUEUES 8

struct device {
	unsigned int bus, slot;
	int counters[QUEUES];
};

struct monitor {
	struct device *devices;
	size_t count;
	unsigned int scanned;
	uint64_t rounds;
};

/* How many devices there are on each bus. On those that are not here: none. */
static const unsigned int buses[] = { 2, 0, 1, 1 };

static void device_close(struct device *device, int queues)
{
	while (queues--)
		close(device->counters[queues]);
}

static int device_open(struct device *device, unsigned int bus, unsigned int slot)
{
	device->bus = bus;
	device->slot = slot;
	for (int i = 0; i < QUEUES; i++) {
		int fd = bpf_map_create(BPF_MAP_TYPE_ARRAY, "queue_counters", 4, 8, 4, NULL);

		if (fd < 0) {
			int err = -errno;

			device_close(device, i);
			return err;
		}
		device->counters[i] = fd;
	}
	/* For as long as the monitor runs. */
	for (int i = 0; i < QUEUES; i++)
		labkit_opened("counters", labkit_map_id(device->counters[i]));
	return 0;
}

static int scan_bus(struct monitor *monitor, unsigned int bus)
{
	unsigned int found = bus < sizeof(buses) / sizeof(buses[0]) ? buses[bus] : 0;

	for (unsigned int slot = 0; slot < found; slot++) {
		struct device *devices;
		int err;

		devices = realloc(monitor->devices, (monitor->count + 1) * sizeof(*devices));
		if (!devices)
			return -ENOMEM;
		monitor->devices = devices;
		err = device_open(&devices[monitor->count], bus, slot);
		if (err)
			return err;
		monitor->count++;
	}
	return 0;
}

static int count(struct monitor *monitor)
{
	uint32_t zero = 0;

	monitor->rounds++;
	for (size_t i = 0; i < monitor->count; i++)
		for (int queue = 0; queue < QUEUES; queue++)
			if (bpf_map_update_elem(monitor->devices[i].counters[queue], &zero,
						&monitor->rounds, BPF_ANY))
				return -errno;
	return 0;
}

/* Scans one more bus, as long as there are buses, and counts. */
static int step(void *context)
{
	struct monitor *monitor = context;
	int err = 0;

	if (monitor->scanned < 256)
		err = scan_bus(monitor, monitor->scanned++);
	return err ? err : count(monitor);
}

int main(void)
{
	struct monitor monitor = {};
	int err = labkit_serve(step, &monitor);

	if (err)
		fprintf(stderr, "bus %u: %s\n", monitor.scanned, strerror(-err));
	while (monitor.count)
		device_close(&monitor.devices[--monitor.count], QUEUES);
	free(monitor.devices);
	return err ? 1 : 0;
}
