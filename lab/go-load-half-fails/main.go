// A flow counter that prefers programs that not every kernel takes.
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

type maps struct {
	Bytes   *ebpf.Map `ebpf:"flow_bytes"`
	Packets *ebpf.Map `ebpf:"flow_packets"`
}

func (m *maps) Close() error { return errors.Join(m.Bytes.Close(), m.Packets.Close()) }

type programs struct {
	Ingress *ebpf.Program `ebpf:"count_ingress"`
	Egress  *ebpf.Program `ebpf:"count_egress"`
}

type objects struct {
	maps
	programs
}

func (o *objects) Close() error {
	return errors.Join(o.Ingress.Close(), o.Egress.Close(), o.maps.Close())
}

func spec(egress asm.Instructions) *ebpf.CollectionSpec {
	flows := func(name string) *ebpf.MapSpec {
		return &ebpf.MapSpec{Name: name, Type: ebpf.Hash, KeySize: 8, ValueSize: 8, MaxEntries: 64}
	}
	filter := func(name, counter string, instructions asm.Instructions) *ebpf.ProgramSpec {
		instructions = append(asm.Instructions{asm.LoadMapPtr(asm.R1, 0).WithReference(counter)}, instructions...)
		return &ebpf.ProgramSpec{
			Name: name, Type: ebpf.SocketFilter, License: "GPL", Instructions: instructions,
		}
	}
	return &ebpf.CollectionSpec{
		Maps: map[string]*ebpf.MapSpec{
			"flow_bytes": flows("flow_bytes"), "flow_packets": flows("flow_packets"),
		},
		Programs: map[string]*ebpf.ProgramSpec{
			"count_ingress": filter("count_ingress", "flow_bytes", variants["plain"]),
			"count_egress":  filter("count_egress", "flow_packets", egress),
		},
	}
}

var variants = map[string]asm.Instructions{
	// R2 holds nothing there, which the verifier sees.
	"fast":  {asm.Mov.Reg(asm.R0, asm.R2), asm.Return()},
	"plain": {asm.Mov.Imm(asm.R0, 0), asm.Return()},
}

// load has the maps first, as they are to be filled before a program sees them.
func load(variant string) (*objects, error) {
	spec := spec(variants[variant])
	var o objects
	if err := spec.LoadAndAssign(&o.maps, nil); err != nil { // DROPPED attempts
		return nil, fmt.Errorf("maps of %s: %w", variant, err)
	}
	if err := o.fill(); err != nil {
		return nil, errors.Join(err, o.maps.Close())
	}
	// What this makes before it fails (a program, and a second handle on each map) it closes itself.
	err := spec.LoadAndAssign(&o.programs, &ebpf.CollectionOptions{
		MapReplacements: map[string]*ebpf.Map{"flow_bytes": o.Bytes, "flow_packets": o.Packets},
	})
	if err != nil {
		o.book("attempts", labkit.Dropped)
		return nil, fmt.Errorf("programs of %s: %w", variant, err)
	}
	o.book("maps", nil)
	return &o, nil
}

// fill has an entry for what belongs to no flow.
func (m *maps) fill() error {
	return errors.Join(m.Bytes.Put(uint64(0), uint64(0)), m.Packets.Put(uint64(0), uint64(0)))
}

// book tells the lab of the maps, and what came of them at once.
func (m *maps) book(group string, then func(string, uint32)) {
	for _, number := range []uint32{labkit.IDOf(m.Bytes), labkit.IDOf(m.Packets)} {
		labkit.Opened(group, number)
		if then != nil {
			then(group, number)
		}
	}
}

// refused says whether it was the verifier that said no.
func refused(err error) bool {
	refusal := (*ebpf.VerifierError)(nil)
	return errors.As(err, &refusal)
}

type counter struct{ current *objects }

func newCounter() (*counter, error) {
	if err := rlimit.RemoveMemlock(); err != nil {
		return nil, err
	}
	plain, err := load("plain")
	if err != nil {
		return nil, err
	}
	labkit.Opened("programs", labkit.IDOf(plain.Ingress))
	labkit.Opened("programs", labkit.IDOf(plain.Egress))
	return &counter{current: plain}, nil
}

// step tries whether the better program can be had by now.
func (c *counter) step() error {
	fast, err := load("fast")
	if refused(err) {
		return nil
	}
	if err != nil {
		return err
	}
	plain := c.current
	c.current = fast
	return plain.Close()
}

func main() {
	c, err := newCounter()
	if err != nil {
		log.Fatal(err)
	}
	// What starting took is not needed any more.
	debug.FreeOSMemory()
	if err := labkit.Serve(c.step); err != nil {
		log.Fatal(err)
	}
	if err := c.current.Close(); err != nil {
		log.Fatal(err)
	}
}
