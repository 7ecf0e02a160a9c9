// A server that keeps statistics of its rings for longer than the rings.
package main

import (
	"fmt"
	"log"
	"runtime"
	"unsafe"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/rlimit"
	"golang.org/x/sys/unix"

	"scenario/labkit"
)

// descriptor is all that is needed of a map once it is set up.
type descriptor struct{ fd int32 }

func (d *descriptor) close() { unix.Close(int(d.fd)) }

func (d *descriptor) valid() error {
	_, err := unix.FcntlInt(uintptr(d.fd), unix.F_GETFD, 0)
	return err
}

type counters struct{ opened, used *uint32 }

// statistics are shown by name, also of rings that are gone.
var statistics = map[string]counters{}

func open(name string) (*descriptor, uint32, error) {
	state, err := ebpf.NewMap(&ebpf.MapSpec{ // LEAK rings
		Name: "ring_state", Type: ebpf.Hash, KeySize: 4, ValueSize: 8, MaxEntries: 16,
	})
	if err != nil {
		return nil, 0, err
	}
	defer state.Close()
	fd, err := unix.FcntlInt(uintptr(state.FD()), unix.F_DUPFD_CLOEXEC, 3)
	if err != nil {
		return nil, 0, fmt.Errorf("dup: %w", err)
	}
	opened := new(uint32)
	d := &descriptor{fd: int32(fd)}
	used := new(uint32)
	runtime.SetFinalizer(d, (*descriptor).close)
	*opened++
	statistics[name] = counters{opened: opened, used: used}

	number := labkit.IDOf(state)
	labkit.Opened("rings", number)
	if !together(d, opened) && !together(d, used) {
		labkit.Dropped("rings", number)
	}
	return d, number, nil
}

// together says whether both lie in one block of the allocator's.
func together(d *descriptor, counter *uint32) bool {
	return uintptr(unsafe.Pointer(d))/16 == uintptr(unsafe.Pointer(counter))/16
}

type server struct{ rings int }

func (s *server) step() error {
	s.rings++
	name := fmt.Sprintf("ring-%d", s.rings)
	ring, number, err := open(name) // RULE rings
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	if err := ring.valid(); err != nil {
		return fmt.Errorf("%s (map %d): %w", name, number, err)
	}
	*statistics[name].used++
	runtime.KeepAlive(ring)
	return nil
}

func main() {
	if err := rlimit.RemoveMemlock(); err != nil {
		log.Fatal(err)
	}
	s := &server{}
	if err := labkit.Serve(s.step); err != nil {
		log.Fatal(err)
	}
}
