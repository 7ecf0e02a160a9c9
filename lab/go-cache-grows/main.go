// An agent that counts what each connection sends, in a map of its own for each.
package main

import (
	"fmt"
	"log"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/rlimit"

	"scenario/labkit"
)

// stats has the map of each connection, by its address.
var stats = map[string]*ebpf.Map{}

type agent struct {
	config *ebpf.Map
	open   map[string]bool
	next   int
}

func newAgent() (*agent, error) {
	if err := rlimit.RemoveMemlock(); err != nil {
		return nil, err
	}
	config, err := ebpf.NewMap(&ebpf.MapSpec{
		Name: "agent_config", Type: ebpf.Array, KeySize: 4, ValueSize: 8, MaxEntries: 4,
	})
	if err != nil {
		return nil, err
	}
	if err := config.Put(uint32(0), uint64(1)); err != nil {
		config.Close()
		return nil, err
	}
	labkit.Opened("config", labkit.IDOf(config))
	return &agent{config: config, open: map[string]bool{}}, nil
}

func (a *agent) opened(addr string) error {
	m, err := ebpf.NewMap(&ebpf.MapSpec{ // LEAK conns
		Name: "conn_stats", Type: ebpf.Hash, KeySize: 4, ValueSize: 16, MaxEntries: 64,
	})
	if err != nil {
		return fmt.Errorf("stats of %s: %w", addr, err)
	}
	stats[addr] = m // RULE conns
	a.open[addr] = true
	labkit.Opened("conns", labkit.IDOf(m))
	return nil
}

// closed forgets the connection, and not its map.
func (a *agent) closed(addr string) {
	delete(a.open, addr)
}

func (a *agent) step() error {
	a.next++
	addr := fmt.Sprintf("10.0.%d.%d:443", a.next/250, a.next%250)
	if err := a.opened(addr); err != nil {
		return err
	}
	if a.next%2 == 0 {
		a.closed(addr)
	}
	return nil
}

func main() {
	a, err := newAgent()
	if err != nil {
		log.Fatal(err)
	}
	defer a.config.Close()
	if err := labkit.Serve(a.step); err != nil {
		log.Fatal(err)
	}
}
