// A monitor that sums up what it samples, in rounds.
package main

import (
	"fmt"
	"log"
	"runtime/debug"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/rlimit"

	"scenario/labkit"
)

type monitor struct {
	totals *ebpf.Map
	round  uint32
}

func newMonitor() (*monitor, error) {
	if err := rlimit.RemoveMemlock(); err != nil {
		return nil, err
	}
	totals, err := ebpf.NewMap(&ebpf.MapSpec{
		Name: "totals", Type: ebpf.Array, KeySize: 4, ValueSize: 8, MaxEntries: 8,
	})
	if err != nil {
		return nil, err
	}
	labkit.Opened("totals", labkit.IDOf(totals))
	return &monitor{totals: totals}, nil
}

// sample puts what it sees into a map of its own and adds that up.
func (m *monitor) sample() (uint64, error) {
	scratch, err := ebpf.NewMap(&ebpf.MapSpec{ // DROPPED scratch
		Name: "sample_scratch", Type: ebpf.Hash, KeySize: 4, ValueSize: 8, MaxEntries: 32,
	})
	if err != nil {
		return 0, err
	}
	number := labkit.IDOf(scratch)
	labkit.Opened("scratch", number)
	// From here on it is only used, and by nobody but this function.
	defer labkit.Dropped("scratch", number)

	for key := uint32(0); key < 8; key++ {
		if err := scratch.Put(key, uint64(m.round+key)); err != nil {
			return 0, fmt.Errorf("sample %d: %w", key, err)
		}
	}
	var sum, key, value = uint64(0), uint32(0), uint64(0)
	entries := scratch.Iterate()
	for entries.Next(&key, &value) {
		sum += value
	}
	return sum, entries.Err()
}

func (m *monitor) step() error {
	sum, err := m.sample()
	if err != nil {
		return err
	}
	m.round++
	return m.totals.Put(m.round%8, sum)
}

func main() {
	m, err := newMonitor()
	if err != nil {
		log.Fatal(err)
	}
	defer m.totals.Close()
	// What starting took is not needed any more.
	debug.FreeOSMemory()
	if err := labkit.Serve(m.step); err != nil {
		log.Fatal(err)
	}
}
