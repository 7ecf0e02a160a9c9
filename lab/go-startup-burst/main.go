// An agent that measures the queues of all devices, once it has found them.
package main

import (
	"errors"
	"fmt"
	"log"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/rlimit"

	"scenario/labkit"
)

type device struct {
	address string
	queues  *ebpf.Map
}

type agent struct {
	// buses are those that are still to be looked at.
	buses   []int
	devices []device
	rounds  uint64
}

// perBus is how many devices a bus has here.
const perBus = 8

func (a *agent) discover(bus int) error {
	for slot := range perBus {
		address := fmt.Sprintf("0000:%02x:%02x.0", bus, slot)
		queues, err := ebpf.NewMap(&ebpf.MapSpec{
			Name: "dev_queues", Type: ebpf.Array, KeySize: 4, ValueSize: 8, MaxEntries: 4,
		})
		if err != nil {
			return fmt.Errorf("device %s: %w", address, err)
		}
		a.devices = append(a.devices, device{address: address, queues: queues})
		labkit.Opened("devices", labkit.IDOf(queues))
	}
	return nil
}

// measure writes down how long each queue is.
func (a *agent) measure() error {
	for n, d := range a.devices {
		for queue := uint32(0); queue < d.queues.MaxEntries(); queue++ {
			if err := d.queues.Put(queue, a.rounds+uint64(n)); err != nil {
				return fmt.Errorf("device %s: queue %d: %w", d.address, queue, err)
			}
		}
	}
	a.rounds++
	return nil
}

func (a *agent) step() error {
	if len(a.buses) > 0 {
		bus := a.buses[0]
		a.buses = a.buses[1:]
		if err := a.discover(bus); err != nil {
			return err
		}
	}
	return a.measure()
}

func (a *agent) Close() (err error) {
	for _, d := range a.devices {
		err = errors.Join(err, d.queues.Close())
	}
	return err
}

func main() {
	if err := rlimit.RemoveMemlock(); err != nil {
		log.Fatal(err)
	}
	a := &agent{buses: []int{0, 1, 2}}
	if err := labkit.Serve(a.step); err != nil {
		log.Fatal(err)
	}
	if err := a.Close(); err != nil {
		log.Fatal(err)
	}
}
