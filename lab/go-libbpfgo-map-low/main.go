// An exporter of the counters of interfaces, which it finds by the ids of their maps.
package main

import (
	"encoding/binary"
	"fmt"
	"log"
	"unsafe"

	bpf "github.com/aquasecurity/libbpfgo"

	"scenario/labkit"
)

const (
	interfaces = 3
	queues     = 8
)

// An inventory has the maps of a data plane, and tells others their ids.
type inventory struct {
	counters [interfaces]*bpf.BPFMapLow
	ids      [interfaces]uint32
}

func newInventory() (*inventory, error) {
	inv := &inventory{}
	for i := range inv.counters {
		counters, err := bpf.CreateMap(bpf.MapTypeArray, "if_counters", 4, 8, queues, nil)
		if err != nil {
			return nil, fmt.Errorf("interface %d: %w", i, err)
		}
		inv.counters[i] = counters
		inv.ids[i] = labkit.ID(counters.FileDescriptor())
		labkit.Opened("counters", inv.ids[i])
	}
	return inv, nil
}

// count notes a packet on one queue of an interface.
func (inv *inventory) count(i int, queue uint32, bytes uint64) error {
	counters := inv.counters[i]
	before, err := counters.GetValue(unsafe.Pointer(&queue))
	if err != nil {
		return err
	}
	bytes += binary.NativeEndian.Uint64(before)
	return counters.Update(unsafe.Pointer(&queue), unsafe.Pointer(&bytes))
}

// total adds up all queues of the interface whose map this is. The map has nothing that could be
// called to close it.
func total(id uint32) (sum uint64, err error) {
	counters, err := bpf.GetMapByID(id) // LEAK scrapes
	if err != nil {
		return 0, err
	}
	labkit.Opened("scrapes", id)
	for queue := range counters.MaxEntries() {
		value, err := counters.GetValue(unsafe.Pointer(&queue))
		if err != nil {
			return 0, fmt.Errorf("%s, queue %d: %w", counters.Name(), queue, err)
		}
		sum += binary.NativeEndian.Uint64(value)
	}
	return sum, nil
}

type exporter struct {
	inv     *inventory
	scrapes int
	bytes   uint64
}

// step is a scrape, after some packets.
func (e *exporter) step() error {
	e.scrapes++
	e.bytes = 0
	if err := e.inv.count(e.scrapes%interfaces, uint32(e.scrapes%queues), 1500); err != nil {
		return err
	}
	for i, id := range e.inv.ids {
		bytes, err := total(id)
		if err != nil {
			return fmt.Errorf("interface %d: %w", i, err)
		}
		e.bytes += bytes
	}
	if want := uint64(e.scrapes) * 1500; e.bytes != want {
		return fmt.Errorf("%d bytes, not %d", e.bytes, want)
	}
	return nil
}

func main() {
	inv, err := newInventory()
	if err != nil {
		log.Fatal(err)
	}
	e := &exporter{inv: inv}
	if err := labkit.Serve(e.step); err != nil {
		log.Fatal(err)
	}
	log.Printf("%d scrapes, %d bytes", e.scrapes, e.bytes)
}
