// A monitor with a journal: each session writes a summary when nobody uses it any more.
package main

import (
	"fmt"
	"log"
	"runtime"
	"runtime/debug"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/rlimit"
	"golang.org/x/sys/unix"

	"scenario/labkit"
)

// journal takes one summary after another. Its reader is started when there is a file to write to.
type journal struct {
	summaries chan string
	waiting   chan struct{}
}

func (j *journal) add(summary string) {
	select {
	case j.waiting <- struct{}{}:
	default:
	}
	j.summaries <- summary
}

type session struct {
	peer  string
	bytes uint64
	fd    int
}

func (m *monitor) begin(peer string) *session {
	s := &session{peer: peer, fd: -1}
	if m.owns {
		var err error
		if s.fd, err = descriptor(); err != nil {
			log.Fatal(err)
		}
	}
	runtime.AddCleanup(s, func(fd int) {
		m.journal.add(peer + ": over")
		if fd >= 0 {
			unix.Close(fd)
		}
	}, s.fd)
	return s
}

// descriptor is one that no object of the library owns.
func descriptor() (int, error) {
	m, err := ebpf.NewMap(&ebpf.MapSpec{
		Name: "session_own", Type: ebpf.Hash, KeySize: 4, ValueSize: 4, MaxEntries: 32,
	})
	if err != nil {
		return -1, err
	}
	defer m.Close()
	return unix.FcntlInt(uintptr(m.FD()), unix.F_DUPFD_CLOEXEC, 0)
}

type monitor struct {
	journal *journal
	round   uint32
	// Sessions have a map of their own.
	owns bool
}

// handshake is a session of its own, over at once.
func (m *monitor) handshake() {
	s := m.begin("controller:7777")
	s.bytes += 64
	log.Printf("shook hands with %s", s.peer)
}

// scan makes a map for what it finds, and leaves it to the collector.
func (m *monitor) scan() (found int, err error) {
	hosts, err := ebpf.NewMap(&ebpf.MapSpec{ // LEAK scans
		Name: "scan_hosts", Type: ebpf.Hash, KeySize: 4, ValueSize: 4, MaxEntries: 32,
	})
	if err != nil {
		return 0, fmt.Errorf("scan %d: %w", m.round, err)
	}
	labkit.Opened("scans", labkit.IDOf(hosts))
	for host := uint32(0); host < 4; host++ {
		if err := hosts.Put(host, m.round); err != nil {
			return 0, err
		}
	}
	var host, round uint32
	entries := hosts.Iterate()
	for entries.Next(&host, &round) {
		found++
	}
	return found, entries.Err()
}

func (m *monitor) step() error {
	m.round++
	found, err := m.scan()
	if err == nil && found != 4 {
		err = fmt.Errorf("scan %d: found %d", m.round, found)
	}
	return err
}

func main() {
	// It shall not take more of a big machine than this.
	runtime.GOMAXPROCS(2)
	if err := rlimit.RemoveMemlock(); err != nil {
		log.Fatal(err)
	}
	m := &monitor{journal: &journal{summaries: make(chan string), waiting: make(chan struct{}, 1)}}
	m.owns = labkit.Param("owns", "nothing") == "handle"
	m.handshake()
	// What starting took is not needed any more.
	debug.FreeOSMemory()
	<-m.journal.waiting
	if err := labkit.Serve(m.step); err != nil {
		log.Fatal(err)
	}
}
