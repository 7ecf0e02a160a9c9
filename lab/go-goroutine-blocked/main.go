// A server that keeps the state of each session in a map, for as long as the session lasts.
package main

import (
	"fmt"
	"log"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/rlimit"

	"scenario/labkit"
)

type session struct {
	number uint32
	bytes  uint64
	bye    chan struct{}
}

type server struct {
	sessions uint32
	ended    chan uint32
}

// serve says on ready that the session has begun, and returns when the client says goodbye.
func (s *server) serve(client *session, ready chan<- error) {
	state, err := ebpf.NewMap(&ebpf.MapSpec{ // LEAK sessions
		Name: "session_state", Type: ebpf.Hash, KeySize: 4, ValueSize: 8, MaxEntries: 16,
	})
	if err != nil {
		ready <- fmt.Errorf("session %d: %w", client.number, err)
		return
	}
	if err := state.Put(client.number, client.bytes); err != nil {
		state.Close()
		ready <- err
		return
	}
	number := labkit.IDOf(state)
	labkit.Opened("sessions", number)
	defer func() {
		state.Close()
		labkit.Closed("sessions", number)
		s.ended <- client.number
	}()
	ready <- nil

	<-client.bye
	if err := state.Delete(client.number); err != nil {
		log.Printf("session %d: %v", client.number, err)
	}
}

func (s *server) connect() (*session, error) {
	s.sessions++
	client := &session{number: s.sessions, bye: make(chan struct{})}
	ready := make(chan error)
	go s.serve(client, ready)
	return client, <-ready
}

func (s *server) step() error {
	polite, err := s.connect()
	if err != nil {
		return err
	}
	// This one loses its network before it can say goodbye.
	if _, err := s.connect(); err != nil {
		return err
	}
	close(polite.bye)
	<-s.ended
	return nil
}

func main() {
	if err := rlimit.RemoveMemlock(); err != nil {
		log.Fatal(err)
	}
	s := &server{ended: make(chan uint32, 1)}
	if err := labkit.Serve(s.step); err != nil {
		log.Fatal(err)
	}
}
