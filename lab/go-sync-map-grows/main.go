// A gateway whose handlers share the counters of their peers.
package main

import (
	"errors"
	"fmt"
	"log"
	"net/netip"
	"sync"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/rlimit"

	"scenario/labkit"
)

// peers has a *counters for each netip.Addr.
var peers sync.Map

type counters struct {
	lock sync.Mutex
	byID *ebpf.Map
}

func countersOf(peer netip.Addr) (*counters, error) {
	if found, ok := peers.Load(peer); ok {
		return found.(*counters), nil
	}
	byID, err := ebpf.NewMap(&ebpf.MapSpec{ // LEAK peers
		Name: "peer_counters", Type: ebpf.Hash, KeySize: 4, ValueSize: 8, MaxEntries: 16,
	})
	if err != nil {
		return nil, fmt.Errorf("peer %s: %w", peer, err)
	}
	actual, loaded := peers.LoadOrStore(peer, &counters{byID: byID}) // RULE peers
	if loaded {
		// Another handler was quicker.
		byID.Close()
	} else {
		labkit.Opened("peers", labkit.IDOf(byID))
	}
	return actual.(*counters), nil
}

func (c *counters) add(number uint32, n uint64) error {
	c.lock.Lock()
	defer c.lock.Unlock()
	var before uint64
	err := c.byID.Lookup(number, &before)
	if err != nil && !errors.Is(err, ebpf.ErrKeyNotExist) {
		return fmt.Errorf("counter %d: %w", number, err)
	}
	return c.byID.Put(number, before+n)
}

func handle(peer netip.Addr) error {
	c, err := countersOf(peer)
	if err != nil {
		return err
	}
	return errors.Join(c.add(0, 1), c.add(1, 1500))
}

type gateway struct{ next netip.Addr }

// step has two new peers with three packets each, which come at once.
func (g *gateway) step() error {
	errs := make(chan error)
	for range 2 {
		peer := g.next
		g.next = g.next.Next()
		for range 3 {
			go func() { errs <- handle(peer) }()
		}
	}
	var err error
	for range 2 * 3 {
		err = errors.Join(err, <-errs)
	}
	return err
}

func main() {
	if err := rlimit.RemoveMemlock(); err != nil {
		log.Fatal(err)
	}
	g := &gateway{next: netip.MustParseAddr("2001:db8::1")}
	if err := labkit.Serve(g.step); err != nil {
		log.Fatal(err)
	}
}
