// An agent that plans for an interface when it appears, and loads a program when it is up.
package main

import (
	"errors"
	"fmt"
	"log"
	"runtime/debug"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/rlimit"

	"scenario/labkit"
)

var errNoMap = errors.New("its map is gone")

type plan struct {
	device int
	filter asm.Instructions
}

func newPlan(device int) (*plan, error) {
	counter, err := ebpf.NewMap(&ebpf.MapSpec{ // DROPPED counters
		Name: "if_counter", Type: ebpf.Array, KeySize: 4, ValueSize: 8, MaxEntries: 1,
	})
	if err != nil {
		return nil, fmt.Errorf("device %d: %w", device, err)
	}
	number := labkit.IDOf(counter)
	labkit.Opened("counters", number)
	p := &plan{device: device, filter: filterWith(counter.FD())} // RULE counters
	labkit.Dropped("counters", number)
	return p, nil
}

// supported says why the kernel takes no filter with a map.
func supported() error {
	m, err := ebpf.NewMap(&ebpf.MapSpec{
		Name: "if_probe", Type: ebpf.Array, KeySize: 4, ValueSize: 8, MaxEntries: 1,
	})
	if err != nil {
		return err
	}
	defer m.Close()
	p := &plan{filter: filterWith(m.FD())}
	return p.carryOut()
}

func filterWith(fd int) asm.Instructions {
	return asm.Instructions{
		asm.LoadMapPtr(asm.R1, fd),
		asm.Mov.Imm(asm.R0, 0),
		asm.Return(),
	}
}

// carryOut loads the program and looks whether it has its map.
func (p *plan) carryOut() error {
	filter, err := ebpf.NewProgram(&ebpf.ProgramSpec{
		Name: "if_filter", Type: ebpf.SocketFilter, License: "GPL", Instructions: p.filter,
	})
	if err != nil {
		return fmt.Errorf("device %d: %w: %w", p.device, errNoMap, err)
	}
	return filter.Close()
}

type agent struct {
	planned []*plan
	devices int
	failed  int
}

func (a *agent) appeared(device int) error {
	p, err := newPlan(device)
	if err != nil {
		return err
	}
	a.planned = append(a.planned, p)
	return nil
}

// up carries out the oldest plan.
func (a *agent) up() error {
	p := a.planned[0]
	a.planned = a.planned[1:]
	err := p.carryOut()
	if errors.Is(err, errNoMap) {
		a.failed++
		log.Printf("%v (%d failed)", err, a.failed)
		return nil
	}
	return err
}

func (a *agent) step() error {
	a.devices++
	if err := a.appeared(a.devices); err != nil {
		return err
	}
	if len(a.planned) > 2 {
		return a.up()
	}
	return nil
}

func main() {
	if err := rlimit.RemoveMemlock(); err != nil {
		log.Fatal(err)
	}
	if err := supported(); err != nil {
		log.Fatal(err)
	}
	log.Print("waiting for devices")
	// What starting took is not needed any more.
	debug.FreeOSMemory()
	a := &agent{}
	if err := labkit.Serve(a.step); err != nil {
		log.Fatal(err)
	}
}
