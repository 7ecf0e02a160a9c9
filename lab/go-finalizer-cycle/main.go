// A tunnel's agent. Each tunnel has two ends, each end a map of the packets on their way.
package main

import (
	"fmt"
	"log"
	"runtime"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/rlimit"

	"scenario/labkit"
)

type end struct {
	name    string
	packets *ebpf.Map
	other   *end
	sent    uint32
}

func newEnd(name string) (*end, error) {
	packets, err := ebpf.NewMap(&ebpf.MapSpec{ // LEAK ends
		Name: name, Type: ebpf.Hash, KeySize: 4, ValueSize: 4, MaxEntries: 32,
	})
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	labkit.Opened("ends", labkit.IDOf(packets))
	e := &end{name: name, packets: packets}
	runtime.SetFinalizer(e, (*end).close)
	return e, nil
}

// close is for when nobody uses the tunnel any more.
func (e *end) close() {
	labkit.Closed("ends", labkit.IDOf(e.packets))
	if err := e.packets.Close(); err != nil {
		log.Printf("%s: %v", e.name, err)
	}
}

// send puts a packet where the other end finds it.
func (e *end) send(size uint32) error {
	e.sent++
	return e.other.packets.Put(e.sent, size)
}

func (e *end) received() (bytes uint32, err error) {
	var packet, size uint32
	packets := e.packets.Iterate()
	for packets.Next(&packet, &size) {
		bytes += size
	}
	return bytes, packets.Err()
}

type tunnel struct{ near, far *end }

func open() (*tunnel, error) {
	near, err := newEnd("tunnel_near")
	if err != nil {
		return nil, err
	}
	far, err := newEnd("tunnel_far")
	if err != nil {
		return nil, err
	}
	near.other, far.other = far, near
	return &tunnel{near: near, far: far}, nil
}

// ping opens a tunnel for as long as it takes.
func ping() error {
	t, err := open()
	if err != nil {
		return err
	}
	for range 3 {
		if err := t.near.send(64); err != nil {
			return err
		}
	}
	bytes, err := t.far.received()
	if err != nil {
		return err
	}
	if bytes != 3*64 {
		return fmt.Errorf("%d bytes came through", bytes)
	}
	return t.far.send(bytes)
}

func main() {
	if err := rlimit.RemoveMemlock(); err != nil {
		log.Fatal(err)
	}
	if err := labkit.Serve(ping); err != nil {
		log.Fatal(err)
	}
}
