// A tracer that is asked for one trace after another.
package main

import (
	"errors"
	"fmt"
	"log"
	"os"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/perf"
	"github.com/cilium/ebpf/rlimit"

	"scenario/labkit"
)

type trace struct {
	target string
	events *ebpf.Map
	seen   chan []byte
}

func start(target string) (*trace, error) {
	events, err := ebpf.NewMap(&ebpf.MapSpec{ // LEAK traces
		Name: "trace_events", Type: ebpf.PerfEventArray,
	})
	if err != nil {
		return nil, fmt.Errorf("trace of %s: %w", target, err)
	}
	reader, err := perf.NewReader(events, os.Getpagesize()) // RULE traces
	if err != nil {
		events.Close()
		return nil, fmt.Errorf("trace of %s: %w", target, err)
	}
	t := &trace{target: target, events: events, seen: make(chan []byte, 64)}
	go t.follow(reader)
	labkit.Opened("traces", labkit.IDOf(events))
	return t, nil
}

// follow ends when the reader is closed.
func (t *trace) follow(reader *perf.Reader) {
	defer close(t.seen)
	for {
		record, err := reader.Read()
		if errors.Is(err, perf.ErrClosed) {
			return
		}
		if err != nil {
			log.Printf("trace of %s: %v", t.target, err)
			continue
		}
		if record.LostSamples > 0 {
			log.Printf("trace of %s: lost %d", t.target, record.LostSamples)
			continue
		}
		t.seen <- record.RawSample
	}
}

func (t *trace) stop() (events int, err error) {
	for {
		select {
		case <-t.seen:
			events++
		default:
			return events, t.events.Close()
		}
	}
}

type tracer struct{ traces int }

func (t *tracer) step() error {
	t.traces++
	one, err := start(fmt.Sprintf("container-%d", t.traces))
	if err != nil {
		return err
	}
	if _, err := one.stop(); err != nil {
		return fmt.Errorf("trace of %s: %w", one.target, err)
	}
	return nil
}

func main() {
	if err := rlimit.RemoveMemlock(); err != nil {
		log.Fatal(err)
	}
	t := &tracer{}
	if err := labkit.Serve(t.step); err != nil {
		log.Fatal(err)
	}
}
