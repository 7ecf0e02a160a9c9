// A datapath that is loaded anew without a gap.
package main

import (
	"fmt"
	"log"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/rlimit"

	"scenario/labkit"
)

func spec(action int32) *ebpf.CollectionSpec {
	return &ebpf.CollectionSpec{
		Maps: map[string]*ebpf.MapSpec{
			"flows": {Name: "flows", Type: ebpf.Hash, KeySize: 4, ValueSize: 8, MaxEntries: 64},
		},
		Programs: map[string]*ebpf.ProgramSpec{
			"count_flows": {
				Name: "count_flows", Type: ebpf.XDP, License: "GPL",
				Instructions: asm.Instructions{
					asm.LoadMapPtr(asm.R1, 0).WithReference("flows"),
					asm.Mov.Imm(asm.R0, action),
					asm.Return(),
				},
			},
		},
	}
}

type datapath struct {
	generation int
	loaded     *ebpf.Collection
}

func (d *datapath) flows() *ebpf.Map       { return d.loaded.Maps["flows"] }
func (d *datapath) program() *ebpf.Program { return d.loaded.Programs["count_flows"] }
func (d *datapath) action() int32          { return int32(1 + d.generation%2) }
func (d *datapath) Close()                 { d.loaded.Close() }
func (d *datapath) run() (ret uint32, err error) {
	ret, _, err = d.program().Test(make([]byte, 64))
	return ret, err
}

func load(generation int) (*datapath, error) {
	d := &datapath{generation: generation}
	var err error
	d.loaded, err = ebpf.NewCollection(spec(d.action()))
	if err != nil {
		return nil, fmt.Errorf("generation %d: %w", generation, err)
	}
	ret, err := d.run()
	if err == nil && ret != uint32(d.action()) {
		err = fmt.Errorf("returns %d", ret)
	}
	if err != nil {
		d.Close()
		return nil, fmt.Errorf("generation %d: %w", generation, err)
	}
	labkit.Opened("maps", labkit.IDOf(d.flows()))
	labkit.Opened("programs", labkit.IDOf(d.program()))
	return d, nil
}

// take copies the flows of an older datapath.
func (d *datapath) take(older *datapath) error {
	var key uint32
	var value uint64
	flows := older.flows().Iterate()
	for flows.Next(&key, &value) {
		if err := d.flows().Put(key, value); err != nil {
			return fmt.Errorf("flow %d: %w", key, err)
		}
	}
	return flows.Err()
}

type agent struct{ active *datapath }

func (a *agent) reload() error {
	green, err := load(a.active.generation + 1)
	if err != nil {
		return err
	}
	if err := green.take(a.active); err != nil {
		green.Close()
		return err
	}
	blue := a.active
	a.active = green
	labkit.Closed("maps", labkit.IDOf(blue.flows()))
	labkit.Closed("programs", labkit.IDOf(blue.program()))
	blue.Close()
	return nil
}

func main() {
	if err := rlimit.RemoveMemlock(); err != nil {
		log.Fatal(err)
	}
	first, err := load(0)
	if err != nil {
		log.Fatal(err)
	}
	a := &agent{active: first}
	if err := labkit.Serve(a.reload); err != nil {
		log.Fatal(err)
	}
	a.active.Close()
}
