// A load balancer's agent with a health check of its own tables.
package main

import (
	"errors"
	"fmt"
	"log"
	"os"
	"runtime/debug"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/rlimit"

	"scenario/labkit"
)

type balancer struct {
	services *ebpf.Map
	backends *ebpf.Map
	healthy  bool
}

func table(name string, entries uint32) (*ebpf.Map, error) {
	m, err := ebpf.NewMap(&ebpf.MapSpec{
		Name: name, Type: ebpf.Hash, KeySize: 4, ValueSize: 8, MaxEntries: entries,
	})
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	labkit.Opened("tables", labkit.IDOf(m))
	return m, nil
}

func newBalancer() (*balancer, error) {
	if err := rlimit.RemoveMemlock(); err != nil {
		return nil, err
	}
	services, err := table("lb_services", 64)
	if err != nil {
		return nil, err
	}
	backends, err := table("lb_backends", 256)
	if err != nil {
		services.Close()
		return nil, err
	}
	return &balancer{services: services, backends: backends}, nil
}

func (b *balancer) Close() error {
	return errors.Join(b.services.Close(), b.backends.Close())
}

// alive says whether the kernel still has the map.
func alive(number uint32) (bool, error) {
	_, err := ebpf.NewMapFromID(ebpf.MapID(number)) // DROPPED checks
	if errors.Is(err, os.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("map %d: %w", number, err)
	}
	labkit.Opened("checks", number)
	labkit.Dropped("checks", number)
	return true, nil
}

func (b *balancer) check() error {
	b.healthy = false
	for _, m := range []*ebpf.Map{b.services, b.backends} {
		there, err := alive(labkit.IDOf(m))
		if err != nil {
			return err
		}
		if !there {
			return fmt.Errorf("%s is gone", m)
		}
	}
	b.healthy = true
	return nil
}

func main() {
	b, err := newBalancer()
	if err != nil {
		log.Fatal(err)
	}
	defer b.Close()
	// What starting took is not needed any more.
	debug.FreeOSMemory()
	if err := labkit.Serve(b.check); err != nil {
		log.Fatal(err)
	}
}
