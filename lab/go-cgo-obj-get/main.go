// An exporter of the counters that a data plane has pinned.
package main

/*
#cgo LDFLAGS: -lbpf
#include <bpf/bpf.h>
#include <errno.h>
#include <linux/bpf.h>
#include <stdlib.h>
#include <unistd.h>

// The descriptor of a pinned object, or an error.
static int open_pinned(const char *path)
{
	int fd = bpf_obj_get(path); // LEAK scrapes

	return fd < 0 ? -errno : fd;
}

// How many counters there are.
static int counters(int fd, __u32 *count)
{
	struct bpf_map_info info = {};
	__u32 size = sizeof(info);

	if (bpf_obj_get_info_by_fd(fd, &info, &size))
		return -errno;
	*count = info.max_entries;
	return 0;
}

static int counter(int fd, __u32 index, __u64 *value)
{
	return bpf_map_lookup_elem(fd, &index, value) ? -errno : 0;
}

// Makes the map, pins it and goes.
static int data_plane(const char *path)
{
	int err, fd = bpf_map_create(BPF_MAP_TYPE_ARRAY, "flow_counters", 4, 8, 16, NULL);

	if (fd < 0)
		return -errno;
	for (__u32 i = 0; i < 16; i++) {
		__u64 value = i;

		bpf_map_update_elem(fd, &i, &value, BPF_ANY);
	}
	err = bpf_obj_pin(fd, path) ? -errno : 0;
	close(fd);
	return err;
}
*/
import "C"

import (
	"fmt"
	"log"
	"os"
	"syscall"
	"unsafe"

	"scenario/labkit"
)

const pin = "/sys/fs/bpf/flow_counters"

func failed(n C.int) error {
	if n < 0 {
		return syscall.Errno(-n)
	}
	return nil
}

func pinned(path string) (C.int, error) {
	name := C.CString(path)
	defer C.free(unsafe.Pointer(name))
	fd := C.open_pinned(name)
	if err := failed(fd); err != nil {
		return -1, fmt.Errorf("%s: %w", path, err)
	}
	return fd, nil
}

// scrape has the sum of all counters, and how many there are.
func scrape(path string) (sum uint64, count uint32, err error) {
	fd, err := pinned(path) // RULE scrapes
	if err != nil {
		return 0, 0, err
	}
	labkit.Opened("scrapes", labkit.ID(int(fd)))
	var n C.__u32
	if err := failed(C.counters(fd, &n)); err != nil {
		return 0, 0, fmt.Errorf("%s: %w", path, err)
	}
	for i := C.__u32(0); i < n; i++ {
		var value C.__u64
		if err := failed(C.counter(fd, i, &value)); err != nil {
			return 0, 0, fmt.Errorf("%s[%d]: %w", path, i, err)
		}
		sum += uint64(value)
	}
	return sum, uint32(n), nil
}

func dataPlane() error {
	name := C.CString(pin)
	defer C.free(unsafe.Pointer(name))
	return failed(C.data_plane(name))
}

func main() {
	if err := dataPlane(); err != nil {
		log.Fatal(err)
	}
	defer os.Remove(pin)
	if err := labkit.Serve(func() error {
		sum, count, err := scrape(pin)
		if err == nil && (sum != 120 || count != 16) {
			err = fmt.Errorf("%d counters, %d in sum", count, sum)
		}
		return err
	}); err != nil {
		log.Fatal(err)
	}
}
