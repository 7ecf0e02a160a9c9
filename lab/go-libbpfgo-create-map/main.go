// A rate limiter with a table of limits for each tenant.
package main

import (
	"errors"
	"fmt"
	"log"
	"syscall"
	"unsafe"

	bpf "github.com/aquasecurity/libbpfgo"

	"scenario/labkit"
)

const tenants = 4

type limit struct {
	PerSecond uint32
	Burst     uint32
}

type limiter struct {
	limits  [tenants]*bpf.BPFMap
	ids     [tenants]uint32
	version uint32
	failed  int
}

func newLimiter() (*limiter, error) {
	l := &limiter{}
	for tenant := range uint32(tenants) {
		if err := l.replace(tenant); err != nil {
			return nil, err
		}
	}
	return l, nil
}

// replace makes a table with the newest limits of a tenant, and closes the one before.
func (l *limiter) replace(tenant uint32) error {
	table, err := bpf.CreateMap(bpf.MapTypeHash, "tenant_limits", 4, 8, 32, nil) // LEAK replaced
	if err != nil {
		return fmt.Errorf("tenant %d: %w", tenant, err)
	}
	id := labkit.NewestMap()
	l.version++
	for port := uint32(8000); port < 8004; port++ {
		value := limit{PerSecond: 10 * (tenant + 1), Burst: l.version}
		if err := table.Update(unsafe.Pointer(&port), unsafe.Pointer(&value)); err != nil {
			return errors.Join(fmt.Errorf("tenant %d: %w", tenant, err), closeMap(table))
		}
	}
	if before := l.limits[tenant]; before != nil {
		if err := closeMap(before); err != nil {
			l.failed++
		}
		labkit.Closed("limits", l.ids[tenant])
		labkit.Opened("replaced", l.ids[tenant])
	}
	l.limits[tenant], l.ids[tenant] = table, id
	labkit.Opened("limits", id)
	return nil
}

// closeMap closes a map that belongs to no module.
func closeMap(m *bpf.BPFMap) error {
	if err := syscall.Close(m.FileDescriptor()); err != nil {
		return fmt.Errorf("close %s: %w", m.Name(), err)
	}
	return nil
}

// step takes new limits from a tenant.
func (l *limiter) step() error {
	return l.replace(l.version % tenants)
}

func main() {
	l, err := newLimiter()
	if err != nil {
		log.Fatal(err)
	}
	if err := labkit.Serve(l.step); err != nil {
		log.Fatal(err)
	}
	log.Printf("%d versions, %d not closed", l.version, l.failed)
}
