// An exporter of counters that each tenant has in a map of its own, within a map of maps.
package main

import (
	"fmt"
	"log"
	"runtime/debug"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/rlimit"

	"scenario/labkit"
)

const tenants = 4

func innerSpec() *ebpf.MapSpec {
	return &ebpf.MapSpec{
		Name: "tenant_hits", Type: ebpf.Array, KeySize: 4, ValueSize: 8, MaxEntries: 1,
	}
}

type exporter struct {
	outer *ebpf.Map
	inner []*ebpf.Map
	sum   uint64
}

func newExporter() (*exporter, error) {
	if err := rlimit.RemoveMemlock(); err != nil {
		return nil, err
	}
	outer, err := ebpf.NewMap(&ebpf.MapSpec{
		Name: "tenants", Type: ebpf.HashOfMaps, KeySize: 4, ValueSize: 4,
		MaxEntries: tenants, InnerMap: innerSpec(),
	})
	if err != nil {
		return nil, err
	}
	labkit.Opened("tenants", labkit.IDOf(outer))
	e := &exporter{outer: outer}
	for tenant := range uint32(tenants) {
		if err := e.add(tenant); err != nil {
			e.Close()
			return nil, fmt.Errorf("tenant %d: %w", tenant, err)
		}
	}
	return e, nil
}

func (e *exporter) add(tenant uint32) error {
	hits, err := ebpf.NewMap(innerSpec())
	if err != nil {
		return err
	}
	e.inner = append(e.inner, hits)
	labkit.Opened("inner", labkit.IDOf(hits))
	if err := hits.Put(uint32(0), uint64(tenant%2)); err != nil {
		return err
	}
	return e.outer.Put(tenant, hits)
}

func (e *exporter) Close() {
	for _, hits := range e.inner {
		hits.Close()
	}
	e.outer.Close()
}

// export adds up what the tenants have.
func (e *exporter) export() error {
	for tenant := range uint32(tenants) {
		var hits *ebpf.Map
		if err := e.outer.Lookup(tenant, &hits); err != nil { // DROPPED looks
			return fmt.Errorf("tenant %d: %w", tenant, err)
		}
		number := labkit.IDOf(hits)
		labkit.Opened("looks", number)
		var n uint64
		if err := hits.Lookup(uint32(0), &n); err != nil {
			hits.Close()
			labkit.Closed("looks", number)
			return fmt.Errorf("tenant %d: %w", tenant, err)
		}
		if n == 0 {
			labkit.Dropped("looks", number)
			continue
		}
		e.sum += n
		if err := hits.Close(); err != nil {
			return err
		}
		labkit.Closed("looks", number)
	}
	return nil
}

func main() {
	e, err := newExporter()
	if err != nil {
		log.Fatal(err)
	}
	defer e.Close()
	// What starting took is not needed any more.
	debug.FreeOSMemory()
	if err := labkit.Serve(e.export); err != nil {
		log.Fatal(err)
	}
}
