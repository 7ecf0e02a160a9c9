// A recorder that counts in windows, and hands each of them to an exporter.
package main

import (
	"errors"
	"fmt"
	"log"
	"sync"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/rlimit"

	"scenario/labkit"
)

var errRefused = errors.New("connection refused")

type exporter struct {
	windows chan *ebpf.Map
	done    sync.WaitGroup
}

func newExporter() *exporter {
	e := &exporter{windows: make(chan *ebpf.Map, 1<<16)}
	e.done.Add(1)
	go e.run()
	return e
}

func (e *exporter) connect() error { return fmt.Errorf("collector:4317: %w", errRefused) }

// run sends what it gets, for as long as there is somebody to send it to.
func (e *exporter) run() {
	defer e.done.Done()
	if err := e.connect(); err != nil {
		log.Printf("no export: %v", err)
		return
	}
	for window := range e.windows {
		window.Close()
	}
}

type recorder struct {
	out   *exporter
	start uint64
}

func (r *recorder) window() (*ebpf.Map, error) {
	window, err := ebpf.NewMap(&ebpf.MapSpec{ // LEAK windows
		Name: "window", Type: ebpf.Array, KeySize: 4, ValueSize: 8, MaxEntries: 60,
	})
	if err != nil {
		return nil, err
	}
	if err := window.Put(uint32(0), r.start); err != nil {
		window.Close()
		return nil, err
	}
	return window, nil
}

func (r *recorder) step() error {
	window, err := r.window()
	if err != nil {
		return fmt.Errorf("window from %d: %w", r.start, err)
	}
	number := labkit.IDOf(window)
	select {
	case r.out.windows <- window:
		labkit.Opened("windows", number)
	default:
		window.Close()
		return fmt.Errorf("the exporter is behind: %w", labkit.ErrStuck)
	}
	r.start += 60
	return nil
}

func main() {
	if err := rlimit.RemoveMemlock(); err != nil {
		log.Fatal(err)
	}
	r := &recorder{out: newExporter()}
	r.out.done.Wait()
	if err := labkit.Serve(r.step); err != nil {
		log.Fatal(err)
	}
}
