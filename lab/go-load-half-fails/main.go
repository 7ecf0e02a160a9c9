// A flow counter that prefers a program that not every kernel takes.
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

type objects struct {
	maps
	program *ebpf.Program
}

func (o *objects) Close() error {
	return errors.Join(o.program.Close(), o.Bytes.Close(), o.Packets.Close())
}

func spec(program string, instructions asm.Instructions) *ebpf.CollectionSpec {
	flows := func(name string) *ebpf.MapSpec {
		return &ebpf.MapSpec{Name: name, Type: ebpf.Hash, KeySize: 8, ValueSize: 8, MaxEntries: 64}
	}
	return &ebpf.CollectionSpec{
		Maps: map[string]*ebpf.MapSpec{
			"flow_bytes": flows("flow_bytes"), "flow_packets": flows("flow_packets"),
		},
		Programs: map[string]*ebpf.ProgramSpec{
			program: {Name: program, Type: ebpf.SocketFilter, License: "GPL", Instructions: instructions},
		},
	}
}

var variants = map[string]asm.Instructions{
	// R2 holds nothing there, which the verifier sees.
	"count_fast":  {asm.Mov.Reg(asm.R0, asm.R2), asm.Return()},
	"count_plain": {asm.Mov.Imm(asm.R0, 0), asm.Return()},
}

func loadVariant(name string) (*objects, error) {
	spec := spec(name, variants[name])
	var o objects
	if err := spec.LoadAndAssign(&o.maps, nil); err != nil { // DROPPED attempts
		return nil, fmt.Errorf("maps of %s: %w", name, err)
	}
	program, err := ebpf.NewProgram(spec.Programs[name])
	if err != nil {
		for _, number := range []uint32{labkit.IDOf(o.Bytes), labkit.IDOf(o.Packets)} {
			labkit.Opened("attempts", number)
			labkit.Dropped("attempts", number)
		}
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	o.program = program
	return &o, nil
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
	plain, err := loadVariant("count_plain")
	if err != nil {
		return nil, err
	}
	labkit.Opened("maps", labkit.IDOf(plain.Bytes))
	labkit.Opened("maps", labkit.IDOf(plain.Packets))
	labkit.Opened("programs", labkit.IDOf(plain.program))
	return &counter{current: plain}, nil
}

// step tries whether the better program can be had by now.
func (c *counter) step() error {
	fast, err := loadVariant("count_fast")
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
