// A table of connections that forgets none of them.
package main

import (
	"encoding/binary"
	"errors"
	"fmt"
	"log"
	"syscall"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/rlimit"

	"scenario/labkit"
)

type connection struct {
	source, destination uint32
	port                uint16
}

func (c connection) key() []byte {
	key := binary.NativeEndian.AppendUint32(nil, c.source)
	key = binary.NativeEndian.AppendUint32(key, c.destination)
	key = binary.NativeEndian.AppendUint16(key, c.port)
	return binary.NativeEndian.AppendUint16(key, 0)
}

type tracker struct {
	table *ebpf.Map
	seen  uint32
}

func newTracker() (*tracker, error) {
	if err := rlimit.RemoveMemlock(); err != nil {
		return nil, err
	}
	table, err := ebpf.NewMap(&ebpf.MapSpec{
		Name: "conntrack", Type: ebpf.Hash, KeySize: 12, ValueSize: 8, MaxEntries: 65536,
		Flags: 1, // BPF_F_NO_PREALLOC
	})
	if err != nil {
		return nil, err
	}
	labkit.Opened("table", labkit.IDOf(table))
	return &tracker{table: table}, nil
}

func (t *tracker) opened(c connection) error {
	t.seen++
	err := t.table.Put(c.key(), uint64(t.seen))
	if errors.Is(err, syscall.E2BIG) {
		return fmt.Errorf("%d connections: %w", t.seen, labkit.ErrStuck)
	}
	return err
}

// closed notes when the connection was over, for the reports.
func (t *tracker) closed(c connection) error {
	var opened uint64
	if err := t.table.Lookup(c.key(), &opened); err != nil {
		return fmt.Errorf("connection from %#x: %w", c.source, err)
	}
	return t.table.Put(c.key(), opened|1<<63)
}

func (t *tracker) step() error {
	for range 100 {
		c := connection{source: 0x0a000000 + t.seen, destination: 0x0a0000fe, port: 443}
		if err := t.opened(c); err != nil {
			return err
		}
		if err := t.closed(c); err != nil {
			return err
		}
	}
	return nil
}

func main() {
	t, err := newTracker()
	if err != nil {
		log.Fatal(err)
	}
	defer t.table.Close()
	if err := labkit.Serve(t.step); err != nil {
		log.Fatal(err)
	}
}
