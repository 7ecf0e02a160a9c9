// A watcher of new processes that starts its stream of events again when the filter changes.
package main

import (
	"encoding/binary"
	"errors"
	"fmt"
	"log"
	"os"
	"sync/atomic"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/ringbuf"
	"github.com/cilium/ebpf/rlimit"

	"scenario/labkit"
)

type watcher struct {
	filter *ebpf.Map
	events *ebpf.Map
	seen   atomic.Uint64
	uid    uint32
}

func newWatcher() (*watcher, error) {
	if err := rlimit.RemoveMemlock(); err != nil {
		return nil, err
	}
	filter, err := ebpf.NewMap(&ebpf.MapSpec{
		Name: "exec_filter", Type: ebpf.Array, KeySize: 4, ValueSize: 4, MaxEntries: 1,
	})
	if err != nil {
		return nil, err
	}
	labkit.Opened("filter", labkit.IDOf(filter))
	return &watcher{filter: filter, uid: 1000}, nil
}

// watch starts a new stream.
func (w *watcher) watch() error {
	events, err := ebpf.NewMap(&ebpf.MapSpec{ // LEAK rings
		Name: "exec_events", Type: ebpf.RingBuf, MaxEntries: uint32(os.Getpagesize()),
	})
	if err != nil {
		return fmt.Errorf("events: %w", err)
	}
	reader, err := ringbuf.NewReader(events) // RULE rings
	if err != nil {
		events.Close()
		return fmt.Errorf("reader: %w", err)
	}
	labkit.Opened("rings", labkit.IDOf(events))
	w.events = events
	go w.follow(reader)
	return nil
}

func (w *watcher) follow(reader *ringbuf.Reader) {
	for {
		record, err := reader.Read()
		switch {
		case errors.Is(err, ringbuf.ErrClosed):
			return
		case err != nil:
			log.Printf("events: %v", err)
		case len(record.RawSample) >= 4:
			pid := binary.NativeEndian.Uint32(record.RawSample)
			w.seen.Add(1)
			log.Printf("exec by %d", pid)
		}
	}
}

// step lets the watcher look at another user's processes.
func (w *watcher) step() error {
	w.uid++
	if err := w.filter.Put(uint32(0), w.uid); err != nil {
		return err
	}
	if err := w.watch(); err != nil {
		return err
	}
	return w.events.Close()
}

func main() {
	w, err := newWatcher()
	if err != nil {
		log.Fatal(err)
	}
	defer w.filter.Close()
	if err := labkit.Serve(w.step); err != nil {
		log.Fatal(err)
	}
}
