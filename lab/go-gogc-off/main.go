// A counter that compares what it has now with what it had before, by copies in maps.
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

type table struct {
	entries map[uint32]uint64
	version uint64
	// current is what the kernel side looks at.
	current *ebpf.Map
}

func newTable(size uint32) (*table, error) {
	current, err := ebpf.NewMap(&ebpf.MapSpec{
		Name: "current", Type: ebpf.Hash, KeySize: 4, ValueSize: 8, MaxEntries: 64,
	})
	if err != nil {
		return nil, err
	}
	labkit.Opened("current", labkit.IDOf(current))
	t := &table{entries: map[uint32]uint64{}, current: current}
	for key := range size {
		if err := t.set(key, 0); err != nil {
			return nil, errors.Join(err, current.Close())
		}
	}
	return t, nil
}

func (t *table) set(key uint32, value uint64) error {
	t.entries[key] = value
	return t.current.Put(key, value)
}

// snapshot copies what is in the table now.
func (t *table) snapshot() (*ebpf.Map, error) {
	copied, err := ebpf.NewMap(&ebpf.MapSpec{ // LEAK snapshots
		Name: "snapshot", Type: ebpf.Hash, KeySize: 4, ValueSize: 8, MaxEntries: 64,
	})
	if err != nil {
		return nil, fmt.Errorf("snapshot: %w", err)
	}
	for key, value := range t.entries {
		if err := copied.Put(key, value); err != nil {
			copied.Close()
			return nil, fmt.Errorf("snapshot: entry %d: %w", key, err)
		}
	}
	return copied, nil
}

// trySnapshot says why there can be none.
func (t *table) trySnapshot() error {
	copied, err := t.snapshot()
	if err != nil {
		return err
	}
	return copied.Close()
}

// changed is how many entries are not as they were in then.
func (t *table) changed(then *ebpf.Map) (n int, err error) {
	var key uint32
	var before uint64
	entries := then.Iterate()
	for entries.Next(&key, &before) {
		if t.entries[key] != before {
			n++
		}
	}
	return n, entries.Err()
}

func (t *table) step() error {
	then, err := t.snapshot() // RULE snapshots
	if err != nil {
		return err
	}
	number := labkit.IDOf(then)
	labkit.Opened("snapshots", number)
	defer released("snapshots", number)
	t.version++
	for key := range uint32(5) {
		if err := t.set(key, t.version); err != nil {
			return err
		}
	}
	n, err := t.changed(then)
	if err == nil && n != 5 {
		err = fmt.Errorf("%d entries changed", n)
	}
	return err
}

// released: nobody refers to it any more. Whether that is ever found depends.
func released(group string, number uint32) {
	if os.Getenv("GOGC") == "off" {
		labkit.Lost(group, number)
	} else {
		labkit.Dropped(group, number)
	}
}

func main() {
	if err := rlimit.RemoveMemlock(); err != nil {
		log.Fatal(err)
	}
	t, err := newTable(8)
	if err != nil {
		log.Fatal(err)
	}
	defer t.current.Close()
	if err := t.trySnapshot(); err != nil {
		log.Fatal(err)
	}
	// What starting took is not needed any more.
	debug.FreeOSMemory()
	if err := labkit.Serve(t.step); err != nil {
		log.Fatal(err)
	}
}
