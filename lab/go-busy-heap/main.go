// A flow table in memory, with a goroutine for each peer, and shards of it in the kernel.
package main

import (
	"fmt"
	"log"
	"strconv"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/rlimit"
	"golang.org/x/sys/unix"

	"scenario/labkit"
)

// flow is one of many small objects with pointers.
type flow struct {
	next, peer *flow
	label      string
	counters   [24]uint64
}

const flowsPerMiB = 1 << 20 / 256

type table struct {
	shards []*ebpf.Map
	flows  []*flow
	peers  chan *flow
}

func open(name string) (*ebpf.Map, error) {
	m, err := ebpf.NewMap(&ebpf.MapSpec{
		Name: name, Type: ebpf.Hash, KeySize: 4, ValueSize: 8, MaxEntries: 32,
	})
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return m, nil
}

func newTable(mib, goroutines int) (*table, error) {
	t := &table{peers: make(chan *flow)}
	for i := 0; i < 16; i++ {
		shard, err := open("flow_shard")
		if err != nil {
			return nil, err
		}
		labkit.Opened("shards", labkit.IDOf(shard))
		t.shards = append(t.shards, shard)
	}
	var last *flow
	for i := 0; i < mib*flowsPerMiB; i++ {
		last = &flow{next: last, label: "peer"}
		t.flows = append(t.flows, last)
		// Chains that are not too long for a collector to follow them side by side.
		if i%1024 == 0 {
			last.next = nil
		}
	}
	for i := 0; i < goroutines; i++ {
		go t.wait()
	}
	return t, nil
}

// wait serves one peer.
func (t *table) wait() {
	for f := range t.peers {
		f.counters[0]++
	}
}

// count uses a map of its own, and leaves it to the collector.
func (t *table) count() error {
	scratch, err := ebpf.NewMap(&ebpf.MapSpec{ // DROPPED scratch
		Name: "flow_scratch", Type: ebpf.Hash, KeySize: 4, ValueSize: 8, MaxEntries: 32,
	})
	if err != nil {
		return err
	}
	number := labkit.IDOf(scratch)
	labkit.Opened("scratch", number)
	defer labkit.Dropped("scratch", number)
	return scratch.Put(uint32(1), uint64(len(t.flows)))
}

// work allocates, and makes maps for a short time.
func (t *table) work() error {
	var kept [4096]*flow
	for round := 0; ; round++ {
		for i := 0; i < 64; i++ {
			at := (round*64 + i) % len(kept)
			kept[at] = &flow{peer: kept[(at+1)%len(kept)], label: strconv.Itoa(round)}
			kept[at].peer = nil
		}
		if round%64 != 0 {
			continue
		}
		for _, name := range []string{"busy_closed", "busy_dropped"} {
			m, err := open(name)
			if err != nil {
				return err
			}
			if err := m.Put(uint32(round), uint64(round)); err != nil {
				return err
			}
			if name == "busy_closed" {
				m.Close()
			}
		}
		time.Sleep(time.Millisecond)
	}
}

// foreign is a descriptor that no object of Go's owns.
func foreign() error {
	m, err := open("busy_foreign")
	if err != nil {
		return err
	}
	defer m.Close()
	_, err = unix.FcntlInt(uintptr(m.FD()), unix.F_DUPFD_CLOEXEC, 0)
	return err
}

func number(name, otherwise string) int {
	n, err := strconv.Atoi(labkit.Param(name, otherwise))
	if err != nil {
		log.Fatal(err)
	}
	return n
}

func main() {
	if err := rlimit.RemoveMemlock(); err != nil {
		log.Fatal(err)
	}
	t, err := newTable(number("mib", "32"), number("goroutines", "1000"))
	if err != nil {
		log.Fatal(err)
	}
	workers := number("workers", "0")
	if workers > 0 {
		if err := foreign(); err != nil {
			log.Fatal(err)
		}
	}
	for i := 0; i < workers; i++ {
		go func() { log.Fatal(t.work()) }()
	}
	err = labkit.Serve(t.count)
	for _, shard := range t.shards {
		shard.Close()
	}
	if err != nil {
		log.Fatal(err)
	}
}
