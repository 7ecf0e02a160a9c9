// A router's agent that lets others see its table of routes.
package main

import (
	"fmt"
	"log"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/rlimit"

	"scenario/labkit"
)

type subscriber struct {
	name   string
	routes *ebpf.Map
	left   bool
}

// next is what the subscriber sees of a route.
func (s *subscriber) next(destination uint32) (hop uint32, err error) {
	err = s.routes.Lookup(destination, &hop)
	return hop, err
}

type agent struct {
	routes      *ebpf.Map
	generation  uint32
	subscribers map[string]*subscriber
}

func newRoutes(generation uint32) (*ebpf.Map, error) {
	routes, err := ebpf.NewMap(&ebpf.MapSpec{ // LEAK routes
		Name: "routes", Type: ebpf.Hash, KeySize: 4, ValueSize: 4, MaxEntries: 128,
	})
	if err != nil {
		return nil, fmt.Errorf("generation %d: %w", generation, err)
	}
	for destination := uint32(0); destination < 8; destination++ {
		if err := routes.Put(destination, generation<<8|destination); err != nil {
			routes.Close()
			return nil, err
		}
	}
	labkit.Opened("routes", labkit.IDOf(routes))
	return routes, nil
}

func (a *agent) subscribe(name string) (*subscriber, error) {
	routes, err := a.routes.Clone() // RULE routes
	if err != nil {
		return nil, fmt.Errorf("subscriber %s: %w", name, err)
	}
	s := &subscriber{name: name, routes: routes}
	a.subscribers[name] = s
	return s, nil
}

func (a *agent) unsubscribe(s *subscriber) { s.left = true }

// replace puts a new table in the place of the old one.
func (a *agent) replace() error {
	fresh, err := newRoutes(a.generation + 1)
	if err != nil {
		return err
	}
	if err := a.routes.Close(); err != nil {
		return err
	}
	a.routes = fresh
	a.generation++
	return nil
}

func (a *agent) step() error {
	s, err := a.subscribe(fmt.Sprintf("bgp-%d", a.generation))
	if err != nil {
		return err
	}
	hop, err := s.next(3)
	if err != nil {
		return err
	}
	if hop != a.generation<<8|3 {
		return fmt.Errorf("%s sees next hop %#x", s.name, hop)
	}
	a.unsubscribe(s)
	return a.replace()
}

func main() {
	if err := rlimit.RemoveMemlock(); err != nil {
		log.Fatal(err)
	}
	routes, err := newRoutes(0)
	if err != nil {
		log.Fatal(err)
	}
	a := &agent{routes: routes, subscribers: map[string]*subscriber{}}
	if err := labkit.Serve(a.step); err != nil {
		log.Fatal(err)
	}
}
