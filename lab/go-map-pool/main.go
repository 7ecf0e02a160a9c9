// A server that needs some maps for a short time, again and again.
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

// keep is how many the pool holds while nobody needs them.
const keep = 3

type pool struct {
	lock sync.Mutex
	idle []*ebpf.Map
}

func (p *pool) get() (*ebpf.Map, error) {
	p.lock.Lock()
	defer p.lock.Unlock()
	if n := len(p.idle); n > 0 {
		m := p.idle[n-1]
		p.idle = p.idle[:n-1]
		return m, nil
	}
	m, err := ebpf.NewMap(&ebpf.MapSpec{
		Name: "buffer", Type: ebpf.Hash, KeySize: 4, ValueSize: 4, MaxEntries: 16,
	})
	if err != nil {
		return nil, fmt.Errorf("pool: %w", err)
	}
	labkit.Opened("buffers", labkit.IDOf(m))
	return m, nil
}

func (p *pool) put(m *ebpf.Map) error {
	p.lock.Lock()
	defer p.lock.Unlock()
	if len(p.idle) < keep {
		p.idle = append(p.idle, m)
		return nil
	}
	labkit.Closed("buffers", labkit.IDOf(m))
	return m.Close()
}

func (p *pool) Close() (err error) {
	p.lock.Lock()
	defer p.lock.Unlock()
	for _, m := range p.idle {
		err = errors.Join(err, m.Close())
	}
	p.idle = nil
	return err
}

type server struct {
	buffers pool
	round   int
}

// serve answers n requests at once.
func (s *server) serve(n int) error {
	answers := make(chan error)
	for request := range n {
		go func() { answers <- s.answer(uint32(request)) }()
	}
	var err error
	for range n {
		err = errors.Join(err, <-answers)
	}
	return err
}

func (s *server) answer(request uint32) (err error) {
	buffer, err := s.buffers.get()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.buffers.put(buffer)) }()
	if err := buffer.Put(uint32(0), request); err != nil {
		return fmt.Errorf("request %d: %w", request, err)
	}
	return buffer.Delete(uint32(0))
}

func (s *server) step() error {
	demand := []int{1, 4, 2, 8, 3, 1}
	n := demand[s.round%len(demand)]
	s.round++
	return s.serve(n)
}

func main() {
	if err := rlimit.RemoveMemlock(); err != nil {
		log.Fatal(err)
	}
	s := &server{}
	if err := labkit.Serve(s.step); err != nil {
		log.Fatal(err)
	}
	if err := s.buffers.Close(); err != nil {
		log.Fatal(err)
	}
}
