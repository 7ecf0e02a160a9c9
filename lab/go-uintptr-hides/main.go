// A proxy whose counters are exported by a library in C.
package main

/*
#include <errno.h>
#include <linux/bpf.h>
#include <stdint.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#define ROOM 32

// A map, and what its owner wants to find it by.
struct exported {
	int fd;
	uintptr_t cookie;
};

static struct exported table[ROOM];
static unsigned int used;

static int export_add(int fd, uintptr_t cookie)
{
	if (used == ROOM)
		return -ENOSPC;
	table[used++] = (struct exported){ fd, cookie };
	return 0;
}

static int export_remove(uintptr_t cookie)
{
	for (unsigned int i = 0; i < used; i++) {
		if (table[i].cookie == cookie) {
			table[i] = table[--used];
			return 0;
		}
	}
	return -ENOENT;
}

// The sum over all maps, and how many could not be read.
static uint64_t export_sum(unsigned int *failed)
{
	uint64_t sum = 0;

	*failed = 0;
	for (unsigned int i = 0; i < used; i++) {
		union bpf_attr attr;
		uint32_t zero = 0;
		uint64_t value = 0;

		memset(&attr, 0, sizeof(attr));
		attr.map_fd = table[i].fd;
		attr.key = (uintptr_t)&zero;
		attr.value = (uintptr_t)&value;
		if (syscall(SYS_bpf, BPF_MAP_LOOKUP_ELEM, &attr, sizeof(attr)))
			++*failed;
		sum += value;
	}
	return sum;
}
*/
import "C"

import (
	"fmt"
	"log"
	"syscall"
	"unsafe"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/rlimit"

	"scenario/labkit"
)

// How many connections are open at once.
const open = 8

func failed(n C.int) error {
	if n < 0 {
		return syscall.Errno(-n)
	}
	return nil
}

type proxy struct {
	total *ebpf.Map
	// conns has the open connections, the oldest first: the library knows the rest.
	conns []uintptr
	count int
}

func spec(name string) *ebpf.MapSpec {
	return &ebpf.MapSpec{Name: name, Type: ebpf.Array, KeySize: 4, ValueSize: 8, MaxEntries: 1}
}

func (p *proxy) connect() error {
	m, err := ebpf.NewMap(spec("conn_bytes")) // DROPPED conns
	if err != nil {
		return err
	}
	if err := m.Put(uint32(0), uint64(100)); err != nil {
		m.Close()
		return err
	}
	cookie := uintptr(unsafe.Pointer(m))
	if err := failed(C.export_add(C.int(m.FD()), C.uintptr_t(cookie))); err != nil { // RULE conns
		m.Close()
		return fmt.Errorf("export: %w", err)
	}
	p.conns = append(p.conns, cookie)
	p.count++
	number := labkit.IDOf(m)
	labkit.Opened("conns", number)
	labkit.Dropped("conns", number)
	return nil
}

func (p *proxy) disconnect() error {
	oldest := p.conns[0]
	p.conns = p.conns[1:]
	return failed(C.export_remove(C.uintptr_t(oldest)))
}

func (p *proxy) step() error {
	if err := p.connect(); err != nil {
		return err
	}
	if len(p.conns) > open {
		if err := p.disconnect(); err != nil {
			return err
		}
	}
	var unread C.uint
	sum := uint64(C.export_sum(&unread))
	if unread > 0 {
		log.Printf("%d of %d maps cannot be read", unread, len(p.conns))
	}
	return p.total.Put(uint32(0), sum)
}

func main() {
	if err := rlimit.RemoveMemlock(); err != nil {
		log.Fatal(err)
	}
	total, err := ebpf.NewMap(spec("total_bytes"))
	if err != nil {
		log.Fatal(err)
	}
	defer total.Close()
	labkit.Opened("total", labkit.IDOf(total))
	p := &proxy{total: total}
	if err := labkit.Serve(p.step); err != nil {
		log.Fatal(err)
	}
	log.Printf("%d connections", p.count)
}
