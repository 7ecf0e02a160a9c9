// A firewall's agent that reads its rules again when they change.
package main

import (
	"errors"
	"fmt"
	"io"
	"log"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/rlimit"

	"scenario/labkit"
)

type rule struct {
	port  uint16
	allow bool
}

// module owns all that it opens, until it is closed.
type module struct {
	opened []io.Closer

	verdicts *ebpf.Map
	rules    *ebpf.Map
}

func newModule() (*module, error) {
	if err := rlimit.RemoveMemlock(); err != nil {
		return nil, err
	}
	m := &module{}
	var err error
	m.verdicts, err = m.open("fw_verdicts", ebpf.LRUHash, 256)
	if err != nil {
		return nil, err
	}
	labkit.Opened("verdicts", labkit.IDOf(m.verdicts))
	return m, nil
}

func (m *module) open(name string, kind ebpf.MapType, entries uint32) (*ebpf.Map, error) {
	opened, err := ebpf.NewMap(&ebpf.MapSpec{ // LEAK rules
		Name: name, Type: kind, KeySize: 2, ValueSize: 1, MaxEntries: entries,
	})
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	m.opened = append(m.opened, opened) // RULE rules
	return opened, nil
}

func (m *module) reload(rules []rule) error {
	fresh, err := m.open("fw_rules", ebpf.Hash, 64)
	if err != nil {
		return err
	}
	labkit.Opened("rules", labkit.IDOf(fresh))
	for _, r := range rules {
		var action uint8
		if r.allow {
			action = 1
		}
		if err := fresh.Put(r.port, action); err != nil {
			return fmt.Errorf("port %d: %w", r.port, err)
		}
	}
	m.rules = fresh
	return nil
}

// Close closes all, the last first.
func (m *module) Close() (err error) {
	for i := len(m.opened) - 1; i >= 0; i-- {
		err = errors.Join(err, m.opened[i].Close())
	}
	m.opened = nil
	return err
}

func main() {
	m, err := newModule()
	if err != nil {
		log.Fatal(err)
	}
	defer m.Close()
	port := uint16(8000)
	err = labkit.Serve(func() error {
		port++
		return m.reload([]rule{{port: 22, allow: true}, {port: port, allow: true}, {port: 23}})
	})
	if err != nil {
		log.Print(err)
	}
}
