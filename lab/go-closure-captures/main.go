// An instrumenter that follows one process after another.
package main

import (
	"errors"
	"fmt"
	"log"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/rlimit"

	"scenario/labkit"
)

// atExit is done when the instrumenter ends, the last first.
var atExit []func() error

func deferToExit(f func() error) {
	atExit = append(atExit, f) // RULE probes
}

func runAtExit() (err error) {
	for i := len(atExit) - 1; i >= 0; i-- {
		err = errors.Join(err, atExit[i]())
	}
	atExit = nil
	return err
}

type probe struct {
	pid  int
	hits *ebpf.Map
}

func attach(pid int) (*probe, error) {
	hits, err := ebpf.NewMap(&ebpf.MapSpec{ // LEAK probes
		Name: "probe_hits", Type: ebpf.PerCPUArray, KeySize: 4, ValueSize: 8, MaxEntries: 4,
	})
	if err != nil {
		return nil, fmt.Errorf("pid %d: %w", pid, err)
	}
	deferToExit(func() error {
		if err := hits.Close(); err != nil {
			return fmt.Errorf("pid %d: %w", pid, err)
		}
		return nil
	})
	labkit.Opened("probes", labkit.IDOf(hits))
	return &probe{pid: pid, hits: hits}, nil
}

func (p *probe) count() (n uint64, err error) {
	var perCPU []uint64
	if err := p.hits.Lookup(uint32(0), &perCPU); err != nil {
		return 0, err
	}
	for _, one := range perCPU {
		n += one
	}
	return n, nil
}

type instrumenter struct {
	probes map[int]*probe
	pid    int
}

func (in *instrumenter) started(pid int) error {
	p, err := attach(pid)
	if err != nil {
		return err
	}
	in.probes[pid] = p
	return nil
}

func (in *instrumenter) exited(pid int) error {
	if _, err := in.probes[pid].count(); err != nil {
		return err
	}
	delete(in.probes, pid)
	return nil
}

func (in *instrumenter) step() error {
	in.pid++
	if err := in.started(in.pid); err != nil {
		return err
	}
	if in.pid > 1 {
		return in.exited(in.pid - 1)
	}
	return nil
}

func main() {
	if err := rlimit.RemoveMemlock(); err != nil {
		log.Fatal(err)
	}
	in := &instrumenter{probes: map[int]*probe{}}
	if err := labkit.Serve(in.step); err != nil {
		log.Fatal(err)
	}
	if err := runAtExit(); err != nil {
		log.Fatal(err)
	}
}
