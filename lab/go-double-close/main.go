// An exporter that hands its configuration to a helper, and then starts a new map of flows.
package main

import (
	"fmt"
	"log"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/rlimit"
	"golang.org/x/sys/unix"

	"scenario/labkit"
)

type exporter struct {
	shared *ebpf.Map
	flows  *ebpf.Map
	lost   int
}

func newExporter() (*exporter, error) {
	if err := rlimit.RemoveMemlock(); err != nil {
		return nil, err
	}
	shared, err := ebpf.NewMap(&ebpf.MapSpec{
		Name: "shared_config", Type: ebpf.Array, KeySize: 4, ValueSize: 4, MaxEntries: 4,
	})
	if err != nil {
		return nil, err
	}
	labkit.Opened("shared", labkit.IDOf(shared))
	return &exporter{shared: shared}, nil
}

// send gives the descriptor to the helper, which has its own from then on.
func send(fd int) error {
	if _, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0); err != nil {
		return fmt.Errorf("send: %w", err)
	}
	return unix.Close(fd)
}

func (e *exporter) rotate() error {
	fd, err := unix.FcntlInt(uintptr(e.shared.FD()), unix.F_DUPFD_CLOEXEC, 3)
	if err != nil {
		return fmt.Errorf("dup: %w", err)
	}
	defer unix.Close(fd) // RULE flows
	if err := send(fd); err != nil {
		return err
	}
	e.flows, err = ebpf.NewMap(&ebpf.MapSpec{ // CLOSED flows
		Name: "flows", Type: ebpf.Hash, KeySize: 4, ValueSize: 8, MaxEntries: 64,
	})
	if err != nil {
		return err
	}
	number := labkit.IDOf(e.flows)
	labkit.Opened("flows", number)
	// The deferred call takes it away again.
	defer labkit.Closed("flows", number)
	return e.flows.Put(uint32(0), uint64(1))
}

func (e *exporter) step() error {
	if e.flows != nil {
		if err := e.flows.Close(); err != nil {
			log.Printf("old flows: %v", err)
		}
	}
	if err := e.rotate(); err != nil {
		return err
	}
	return e.read()
}

// read goes through the flows that there are now.
func (e *exporter) read() error {
	var value uint64
	if err := e.flows.Lookup(uint32(0), &value); err != nil {
		e.lost++
		log.Printf("flows: %v (%d times)", err, e.lost)
	}
	return nil
}

func main() {
	e, err := newExporter()
	if err != nil {
		log.Fatal(err)
	}
	if err := labkit.Serve(e.step); err != nil {
		log.Fatal(err)
	}
}
