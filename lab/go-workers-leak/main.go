// A pool of workers that does jobs side by side, each with a map for its result.
package main

import (
	"errors"
	"fmt"
	"log"
	"strconv"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/rlimit"

	"scenario/labkit"
)

// perStep is how many jobs come at once, whatever the number of workers.
const perStep = 32

type job struct {
	number uint32
	done   chan<- error
}

type worker struct {
	jobs    chan job
	results map[uint32]*ebpf.Map
}

func (w *worker) run() {
	for j := range w.jobs {
		j.done <- w.do(j.number)
	}
}

func (w *worker) do(number uint32) error {
	result, err := ebpf.NewMap(&ebpf.MapSpec{ // LEAK jobs
		Name: "job_result", Type: ebpf.Array, KeySize: 4, ValueSize: 8, MaxEntries: 1,
	})
	if err != nil {
		return fmt.Errorf("job %d: %w", number, err)
	}
	if err := result.Put(uint32(0), uint64(number)*uint64(number)); err != nil {
		result.Close()
		return fmt.Errorf("job %d: %w", number, err)
	}
	w.results[number] = result // RULE jobs
	labkit.Opened("jobs", labkit.IDOf(result))
	return nil
}

type pool struct {
	workers []chan job
	next    uint32
}

func newPool(size int) *pool {
	p := &pool{}
	for range size {
		w := &worker{jobs: make(chan job, perStep), results: map[uint32]*ebpf.Map{}}
		p.workers = append(p.workers, w.jobs)
		go w.run()
	}
	return p
}

// step deals out the jobs and waits for all of them.
func (p *pool) step() (err error) {
	done := make(chan error)
	for range perStep {
		p.workers[int(p.next)%len(p.workers)] <- job{number: p.next, done: done}
		p.next++
	}
	for range perStep {
		err = errors.Join(err, <-done)
	}
	return err
}

func main() {
	if err := rlimit.RemoveMemlock(); err != nil {
		log.Fatal(err)
	}
	size, err := strconv.Atoi(labkit.Param("goroutines", "16"))
	if err != nil || size < 1 {
		log.Fatalf("goroutines: %d: %v", size, err)
	}
	if err := labkit.Serve(newPool(size).step); err != nil {
		log.Fatal(err)
	}
}
