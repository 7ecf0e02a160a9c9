// A server that gives out leases, and counts for each how much it is used.
package main

import (
	"fmt"
	"log"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/rlimit"

	"scenario/labkit"
)

const term = 24 * time.Hour

type lease struct {
	client string
	stats  *ebpf.Map
}

func (l *lease) use(bytes uint64) error {
	var used uint64
	if err := l.stats.Lookup(uint32(0), &used); err != nil {
		return fmt.Errorf("lease of %s: %w", l.client, err)
	}
	return l.stats.Put(uint32(0), used+bytes)
}

type server struct {
	leases map[string]*lease
	given  int
}

func (s *server) grant(client string) (*lease, error) {
	stats, err := ebpf.NewMap(&ebpf.MapSpec{ // LEAK leases
		Name: "lease_stats", Type: ebpf.Array, KeySize: 4, ValueSize: 8, MaxEntries: 1,
	})
	if err != nil {
		return nil, fmt.Errorf("lease of %s: %w", client, err)
	}
	l := &lease{client: client, stats: stats}
	s.leases[client] = l
	number := labkit.IDOf(stats)
	labkit.Opened("leases", number)
	time.AfterFunc(term, func() {
		if err := l.stats.Close(); err != nil {
			log.Printf("lease of %s: %v", l.client, err)
		}
		labkit.Closed("leases", number)
	})
	return l, nil
}

// release is for clients that are done early.
func (s *server) release(l *lease) { delete(s.leases, l.client) }

func (s *server) step() error {
	s.given++
	l, err := s.grant(fmt.Sprintf("client-%d", s.given))
	if err != nil {
		return err
	}
	for range 3 {
		if err := l.use(1500); err != nil {
			return err
		}
	}
	s.release(l)
	return nil
}

func main() {
	if err := rlimit.RemoveMemlock(); err != nil {
		log.Fatal(err)
	}
	s := &server{leases: map[string]*lease{}}
	if err := labkit.Serve(s.step); err != nil {
		log.Fatal(err)
	}
}
