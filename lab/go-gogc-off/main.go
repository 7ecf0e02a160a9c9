// A counter that compares what it has now with what it had before, by copies in maps.
package main

import (
	"fmt"
	"log"
	"runtime/debug"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/rlimit"

	"scenario/labkit"
)

type table struct {
	entries map[uint32]uint64
	version uint64
}

func newTable(size uint32) *table {
	t := &table{entries: map[uint32]uint64{}}
	for key := range size {
		t.entries[key] = 0
	}
	return t
}

// snapshot copies what is in the table now.
func (t *table) snapshot() (*ebpf.Map, error) {
	copied, err := ebpf.NewMap(&ebpf.MapSpec{ // DROPPED snapshots
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
	then, err := t.snapshot()
	if err != nil {
		return err
	}
	number := labkit.IDOf(then)
	labkit.Opened("snapshots", number)
	defer labkit.Dropped("snapshots", number)
	t.version++
	for key := range uint32(5) {
		t.entries[key] = t.version
	}
	n, err := t.changed(then)
	if err == nil && n != 5 {
		err = fmt.Errorf("%d entries changed", n)
	}
	return err
}

func main() {
	if err := rlimit.RemoveMemlock(); err != nil {
		log.Fatal(err)
	}
	t := newTable(8)
	if err := t.trySnapshot(); err != nil {
		log.Fatal(err)
	}
	// What starting took is not needed any more.
	debug.FreeOSMemory()
	if err := labkit.Serve(t.step); err != nil {
		log.Fatal(err)
	}
}
