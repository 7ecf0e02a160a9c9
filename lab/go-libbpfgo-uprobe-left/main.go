// A server that lets its users count how often it does what, by probes on itself.
package main

import (
	"debug/elf"
	_ "embed"
	"encoding/binary"
	"fmt"
	"log"
	"unsafe"

	bpf "github.com/aquasecurity/libbpfgo"

	"scenario/labkit"
)

//go:embed bpf/calls.bpf.o
var object []byte

const self = "/proc/self/exe"

//go:noinline
func handle(request string) int { return len(request) }

// offset is where a function is in the executable's file.
func offset(function string) (uint32, error) {
	file, err := elf.Open(self)
	if err != nil {
		return 0, err
	}
	defer file.Close()
	symbols, err := file.Symbols()
	if err != nil {
		return 0, err
	}
	for _, symbol := range symbols {
		if symbol.Name != function {
			continue
		}
		for _, part := range file.Progs {
			if part.Type == elf.PT_LOAD && symbol.Value >= part.Vaddr && symbol.Value < part.Vaddr+part.Memsz {
				return uint32(symbol.Value - part.Vaddr + part.Off), nil
			}
		}
	}
	return 0, fmt.Errorf("%s has no function %s", self, function)
}

// A count of calls, while somebody wants it.
type count struct {
	module *bpf.Module
	calls  *bpf.BPFMap
}

func newCount(function string) (_ *count, err error) {
	at, err := offset(function)
	if err != nil {
		return nil, err
	}
	module, err := bpf.NewModuleFromBuffer(object, "calls")
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			module.Close()
		}
	}()
	if err := module.BPFLoadObject(); err != nil {
		return nil, err
	}
	program, err := module.GetProgram("on_call")
	if err != nil {
		return nil, err
	}
	calls, err := module.GetMap("calls")
	if err != nil {
		return nil, err
	}
	link, err := program.AttachUprobe(-1, self, at) // LEAK links
	if err != nil {
		return nil, fmt.Errorf("%s: %w", function, err)
	}
	labkit.Opened("links", labkit.ID(link.FileDescriptor()))
	labkit.Opened("programs", labkit.ID(program.FileDescriptor()))
	labkit.Opened("counters", labkit.ID(calls.FileDescriptor()))
	return &count{module: module, calls: calls}, nil
}

func (c *count) read() (uint64, error) {
	var zero uint32
	value, err := c.calls.GetValue(unsafe.Pointer(&zero))
	if err != nil {
		return 0, err
	}
	return binary.NativeEndian.Uint64(value), nil
}

// Close takes the probe off again.
func (c *count) Close() { c.module.Close() }

// step: a user comes, counts two requests, and goes.
func step() error {
	c, err := newCount("main.handle")
	if err != nil {
		return err
	}
	defer c.Close()
	bytes := handle("GET /") + handle("GET /metrics")
	calls, err := c.read()
	if err != nil {
		return err
	}
	if calls != 2 {
		return fmt.Errorf("%d requests with %d bytes", calls, bytes)
	}
	return nil
}

func main() {
	if err := labkit.Serve(step); err != nil {
		log.Fatal(err)
	}
}
