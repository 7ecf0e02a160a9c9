// An agent that measures each interface once, when it appears, and remembers its name.
package main

import (
	"fmt"
	"log"
	"reflect"
	"runtime"
	"runtime/debug"
	"slices"
	"unsafe"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/rlimit"

	"scenario/labkit"
)

// supported says why the kernel has no such maps.
func supported() error {
	m, err := ebpf.NewMap(&ebpf.MapSpec{
		Name: "if_probe", Type: ebpf.Array, KeySize: 4, ValueSize: 8, MaxEntries: 1,
	})
	if err != nil {
		return err
	}
	log.Printf("tried with map %d", labkit.IDOf(m))
	return m.Close()
}

type agent struct {
	seen    []string
	longest uint64
}

func (a *agent) measure(name string) error {
	queues, err := ebpf.NewMap(&ebpf.MapSpec{ // LEAK looks
		Name: "if_queues", Type: ebpf.Array, KeySize: 4, ValueSize: 8, MaxEntries: 4,
	})
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	for queue := uint32(0); queue < queues.MaxEntries(); queue++ {
		if err := queues.Put(queue, uint64(len(a.seen))+uint64(queue)); err != nil {
			return fmt.Errorf("%s: queue %d: %w", name, queue, err)
		}
	}
	var length uint64
	for queue := uint32(0); queue < queues.MaxEntries(); queue++ {
		if err := queues.Lookup(queue, &length); err != nil {
			return fmt.Errorf("%s: queue %d: %w", name, queue, err)
		}
		a.longest = max(a.longest, length)
	}
	a.seen = append(a.seen, name)
	a.book(queues)
	return nil
}

func (a *agent) appeared(name string) error {
	if slices.Contains(a.seen, name) {
		return nil
	}
	return a.measure(name)
}

// book writes down whether the map stays: if one of the names lies in its owner's block.
func (a *agent) book(m *ebpf.Map) {
	owner := reflect.ValueOf(m).Elem().FieldByName("fd").Pointer()
	beside := func(name string) bool {
		return uintptr(unsafe.Pointer(unsafe.StringData(name)))/16 == owner/16
	}
	number := labkit.IDOf(m)
	labkit.Opened("looks", number)
	if !slices.ContainsFunc(a.seen, beside) {
		labkit.Dropped("looks", number)
	}
	// No later name moves in.
	for i := 0; i < 16; i++ {
		filler = new(byte)
	}
	filler = nil
	runtime.KeepAlive(m)
}

var filler *byte

func main() {
	if err := rlimit.RemoveMemlock(); err != nil {
		log.Fatal(err)
	}
	if err := supported(); err != nil {
		log.Fatal(err)
	}
	// What starting took is not needed any more.
	debug.FreeOSMemory()
	a := &agent{}
	interfaces := 0
	err := labkit.Serve(func() error {
		interfaces++
		return a.appeared(fmt.Sprintf("veth%d", interfaces))
	})
	if err != nil {
		log.Fatal(err)
	}
}
