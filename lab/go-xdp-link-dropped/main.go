// A guard that filters what comes in on an interface.
package main

import (
	"errors"
	"fmt"
	"log"
	"net"
	"runtime/debug"
	"syscall"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/link"
	"github.com/cilium/ebpf/rlimit"

	"scenario/labkit"
)

type guard struct {
	program *ebpf.Program
	device  *net.Interface
	again   int
}

func newGuard(device string) (*guard, error) {
	if err := rlimit.RemoveMemlock(); err != nil {
		return nil, err
	}
	found, err := net.InterfaceByName(device)
	if err != nil {
		return nil, err
	}
	program, err := ebpf.NewProgram(&ebpf.ProgramSpec{
		Name: "drop_spoofed", Type: ebpf.XDP, License: "GPL",
		Instructions: asm.Instructions{
			asm.Mov.Imm(asm.R0, 2), // XDP_PASS
			asm.Return(),
		},
	})
	if err != nil {
		return nil, err
	}
	labkit.Opened("programs", labkit.IDOf(program))
	log.Printf("protecting %s", device)
	return &guard{program: program, device: found}, nil
}

// protect attaches the filter, unless it is attached.
func (g *guard) protect() error {
	attached, err := link.AttachXDP(link.XDPOptions{ // DROPPED filters
		Program: g.program, Interface: g.device.Index, Flags: link.XDPGenericMode,
	})
	if errors.Is(err, syscall.EBUSY) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("%s: %w", g.device.Name, err)
	}
	info, err := attached.Info()
	if err != nil {
		attached.Close()
		return err
	}
	number := uint32(info.ID)
	labkit.Opened("filters", number)
	labkit.Dropped("filters", number)
	if g.again++; g.again > 1 {
		log.Printf("%s was not protected (%d times by now)", g.device.Name, g.again-1)
	}
	return nil
}

func main() {
	g, err := newGuard("lo")
	if err != nil {
		log.Fatal(err)
	}
	defer g.program.Close()
	// What starting took is not needed any more.
	debug.FreeOSMemory()
	if err := labkit.Serve(g.protect); err != nil {
		log.Fatal(err)
	}
}
