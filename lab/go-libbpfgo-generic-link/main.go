// A tracer of memory pressure, for one session at a time.
package main

import (
	_ "embed"
	"encoding/binary"
	"fmt"
	"log"
	"unsafe"

	bpf "github.com/aquasecurity/libbpfgo"

	"scenario/labkit"
)

//go:embed bpf/session.bpf.o
var object []byte

type session struct {
	user    string
	module  *bpf.Module
	program *bpf.BPFProg
	counter *bpf.BPFMap
}

func open(user string) (_ *session, err error) {
	module, err := bpf.NewModuleFromBuffer(object, "session")
	if err != nil {
		return nil, fmt.Errorf("%s: %w", user, err)
	}
	defer func() {
		if err != nil {
			module.Close()
		}
	}()
	if err := module.BPFLoadObject(); err != nil {
		return nil, fmt.Errorf("%s: %w", user, err)
	}
	program, err := module.GetProgram("on_adjust")
	if err != nil {
		return nil, err
	}
	counter, err := module.GetMap("adjustments")
	if err != nil {
		return nil, err
	}
	s := &session{user: user, module: module, program: program, counter: counter}
	return s, s.attach()
}

// attach puts the program where its section says. The module has the link, as it has all others.
func (s *session) attach() error {
	link, err := s.program.AttachGeneric() // LEAK links
	if err != nil {
		return fmt.Errorf("%s: %w", s.user, err)
	}
	labkit.Opened("links", labkit.ID(link.FileDescriptor()))
	labkit.Opened("programs", labkit.ID(s.program.FileDescriptor()))
	labkit.Opened("counters", labkit.ID(s.counter.FileDescriptor()))
	return nil
}

func (s *session) adjustments() (uint64, error) {
	var zero uint32
	value, err := s.counter.GetValue(unsafe.Pointer(&zero))
	if err != nil {
		return 0, fmt.Errorf("%s: %w", s.user, err)
	}
	return binary.NativeEndian.Uint64(value), nil
}

// Close closes the maps, programs and links.
func (s *session) Close() { s.module.Close() }

type tracer struct {
	sessions int
	total    uint64
}

// step is a session from its beginning to its end.
func (t *tracer) step() error {
	t.sessions++
	s, err := open(fmt.Sprintf("user%d", t.sessions))
	if err != nil {
		return err
	}
	defer s.Close()
	n, err := s.adjustments()
	t.total += n
	return err
}

func main() {
	t := &tracer{}
	if err := labkit.Serve(t.step); err != nil {
		log.Fatal(err)
	}
	log.Printf("%d sessions, %d adjustments", t.sessions, t.total)
}
