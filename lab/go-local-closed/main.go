// A tool that tries how many entries a map of each size takes.
package main

import (
	"errors"
	"fmt"
	"log"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/rlimit"

	"scenario/labkit"
)

type trials struct {
	results *ebpf.Map
	round   uint32
}

func newTrials() (*trials, error) {
	if err := rlimit.RemoveMemlock(); err != nil {
		return nil, err
	}
	results, err := ebpf.NewMap(&ebpf.MapSpec{
		Name: "trial_results", Type: ebpf.Array, KeySize: 4, ValueSize: 4, MaxEntries: 16,
	})
	if err != nil {
		return nil, err
	}
	labkit.Opened("results", labkit.IDOf(results))
	return &trials{results: results}, nil
}

// fill says how many entries there was room for.
func fill(m *ebpf.Map) (uint32, error) {
	for n := uint32(0); ; n++ {
		err := m.Put(n, uint64(n))
		switch {
		case err == nil:
		case n >= m.MaxEntries():
			return n, nil
		default:
			return n, fmt.Errorf("entry %d: %w", n, err)
		}
	}
}

func (t *trials) try(size uint32) (n uint32, err error) {
	m, err := ebpf.NewMap(&ebpf.MapSpec{
		Name: "trial", Type: ebpf.Hash, KeySize: 4, ValueSize: 8, MaxEntries: size,
	})
	if err != nil {
		return 0, err
	}
	trial := labkit.IDOf(m)
	labkit.Opened("trials", trial)
	defer func() {
		err = errors.Join(err, m.Close())
		labkit.Closed("trials", trial)
	}()
	return fill(m)
}

func (t *trials) step() error {
	size := uint32(16) << (t.round % 4)
	n, err := t.try(size)
	if err != nil {
		return fmt.Errorf("%d entries: %w", size, err)
	}
	if err := t.results.Put(t.round%16, n); err != nil {
		return err
	}
	t.round++
	return nil
}

func main() {
	t, err := newTrials()
	if err != nil {
		log.Fatal(err)
	}
	defer t.results.Close()
	if err := labkit.Serve(t.step); err != nil {
		log.Fatal(err)
	}
}
