// A manager of gadgets: each is loaded, run for a while, and unloaded.
package main

import (
	"errors"
	"fmt"
	"log"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/rlimit"

	"scenario/labkit"
)

var errNoEvents = errors.New("the gadget has no events")

type reader struct {
	events *ebpf.Map
	read   int
}

// drain reads until there is nothing more.
func (r *reader) drain() error {
	for {
		var event uint64
		err := r.events.LookupAndDelete(nil, &event)
		if errors.Is(err, ebpf.ErrKeyNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
		r.read++
	}
}

type gadget struct {
	name       string
	collection *ebpf.Collection
}

type manager struct {
	loaded  map[string]*gadget
	readers map[string]*reader
	runs    int
}

func spec() *ebpf.CollectionSpec {
	return &ebpf.CollectionSpec{Maps: map[string]*ebpf.MapSpec{
		"events": {Name: "gadget_events", Type: ebpf.Queue, ValueSize: 8, MaxEntries: 32},
		"filter": {Name: "gadget_filter", Type: ebpf.Hash, KeySize: 4, ValueSize: 1, MaxEntries: 8},
	}}
}

func (m *manager) load(name string) (*gadget, error) {
	collection, err := ebpf.NewCollection(spec()) // LEAK events
	if err != nil {
		return nil, fmt.Errorf("gadget %s: %w", name, err)
	}
	events := collection.DetachMap("events") // RULE events
	if events == nil {
		collection.Close()
		return nil, fmt.Errorf("gadget %s: %w", name, errNoEvents)
	}
	m.readers[name] = &reader{events: events}
	g := &gadget{name: name, collection: collection}
	m.loaded[name] = g
	labkit.Opened("events", labkit.IDOf(events))
	labkit.Opened("filters", labkit.IDOf(collection.Maps["filter"]))
	return g, nil
}

func (m *manager) unload(g *gadget) {
	labkit.Closed("filters", labkit.IDOf(g.collection.Maps["filter"]))
	g.collection.Close()
	delete(m.loaded, g.name)
}

func (m *manager) run(g *gadget) error {
	r := m.readers[g.name]
	for event := range uint64(5) {
		if err := r.events.Put(nil, event); err != nil {
			return fmt.Errorf("gadget %s: %w", g.name, err)
		}
	}
	if err := r.drain(); err != nil {
		return fmt.Errorf("gadget %s: %w", g.name, err)
	}
	log.Printf("gadget %s: %d events", g.name, r.read)
	return nil
}

func (m *manager) step() error {
	m.runs++
	g, err := m.load(fmt.Sprintf("snoop-%d", m.runs))
	if err != nil {
		return err
	}
	defer m.unload(g)
	return m.run(g)
}

func main() {
	if err := rlimit.RemoveMemlock(); err != nil {
		log.Fatal(err)
	}
	m := &manager{loaded: map[string]*gadget{}, readers: map[string]*reader{}}
	if err := labkit.Serve(m.step); err != nil {
		log.Fatal(err)
	}
}
