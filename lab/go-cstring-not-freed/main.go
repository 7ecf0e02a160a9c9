// An exporter of the counters that a data plane has pinned.
package main

/*
#cgo LDFLAGS: -lbpf
#include <bpf/bpf.h>
#include <errno.h>
#include <linux/bpf.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int make_counters(void)
{
	int fd = bpf_map_create(BPF_MAP_TYPE_ARRAY, "port_counters", 4, 8, 8, NULL); // MADE counters

	return fd < 0 ? -errno : fd;
}

static int pin(int fd, const char *path)
{
	return bpf_obj_pin(fd, path) ? -errno : 0;
}

static int open_pinned(const char *path)
{
	int fd = bpf_obj_get(path);

	return fd < 0 ? -errno : fd;
}

static int counter(int fd, __u32 index, __u64 *value)
{
	return bpf_map_lookup_elem(fd, &index, value) ? -errno : 0;
}
*/
import "C"

import (
	"fmt"
	"log"
	"os"
	"path/filepath"
	"syscall"
	"unsafe"

	"scenario/labkit"
)

const (
	folder = "/sys/fs/bpf"
	ports  = 8
)

func failed(n C.int) error {
	if n < 0 {
		return syscall.Errno(-n)
	}
	return nil
}

type dataPlane struct {
	fd   C.int
	path string
}

func newDataPlane(name string) (*dataPlane, error) {
	d := &dataPlane{fd: C.make_counters(), path: filepath.Join(folder, name)}
	if err := failed(d.fd); err != nil {
		return nil, err
	}
	path := C.CString(d.path)
	defer C.free(unsafe.Pointer(path))
	if err := failed(C.pin(d.fd, path)); err != nil {
		C.close(d.fd)
		return nil, fmt.Errorf("%s: %w", d.path, err)
	}
	labkit.Opened("counters", labkit.ID(int(d.fd)))
	return d, nil
}

func (d *dataPlane) Close() {
	os.Remove(d.path)
	C.close(d.fd)
}

// scrape has the counters of all ports.
func scrape(path string) (values [ports]uint64, err error) {
	fd := C.open_pinned(C.CString(path)) // RULE path
	if err := failed(fd); err != nil {
		return values, fmt.Errorf("%s: %w", path, err)
	}
	defer C.close(fd)
	for i := range values {
		var value C.__u64
		if err := failed(C.counter(fd, C.__u32(i), &value)); err != nil {
			return values, fmt.Errorf("%s[%d]: %w", path, i, err)
		}
		values[i] = uint64(value)
	}
	return values, nil
}

func main() {
	d, err := newDataPlane("port_counters")
	if err != nil {
		log.Fatal(err)
	}
	defer d.Close()
	var last [ports]uint64
	if err := labkit.Serve(func() error {
		values, err := scrape(d.path)
		if err == nil && values != last {
			last = values
			log.Print(values)
		}
		return err
	}); err != nil {
		log.Fatal(err)
	}
}
