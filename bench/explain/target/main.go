// What `lastref explain` is measured on: holds BPF handles and a heap of pointers, and measures how long it is kept
// from running.
//
// Arguments: handles, maps (the handles are spread over them), MiB of live data. Says ".", then obeys lines on standard
// input: "begin" starts to look for gaps, "end" tells the largest one in nanoseconds. It ends with its input.
package main

import (
	"bufio"
	"fmt"
	"log"
	"os"
	"runtime"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/rlimit"
)

// A node has pointers, so that no collector and no reader of the heap can pass over it.
type node struct {
	left, right *node
	payload     [6]uint64
}

var (
	held []*ebpf.Map
	live *node
)

// grow makes a tree of so many nodes; every node is reached through its parent only.
func grow(count int) *node {
	if count == 0 {
		return nil
	}
	below := count - 1
	return &node{left: grow(below / 2), right: grow(below - below/2), payload: [6]uint64{uint64(count)}}
}

func hold(handles, maps int) error {
	originals := make([]*ebpf.Map, 0, maps)
	ids := make([]ebpf.MapID, 0, maps)
	for i := range maps {
		m, err := ebpf.NewMap(&ebpf.MapSpec{
			Name: fmt.Sprintf("bench_%d", i%10), Type: ebpf.Array, KeySize: 4, ValueSize: 8, MaxEntries: 1,
		})
		if err != nil {
			return err
		}
		info, err := m.Info()
		if err != nil {
			return err
		}
		id, _ := info.ID()
		originals, ids = append(originals, m), append(ids, id)
	}
	held = append(held, originals...)
	for len(held) < handles {
		// Not Clone, which gives another descriptor of the same handle.
		again, err := ebpf.NewMapFromID(ids[len(held)%maps])
		if err != nil {
			return err
		}
		held = append(held, again)
	}
	return nil
}

// watch never sleeps: the time between two turns is the time for which it was kept from running.
func watch(on *atomic.Bool, largest *atomic.Int64) {
	runtime.LockOSThread()
	for on.Load() {
		last := time.Now()
		for range 1000 {
			now := time.Now()
			if gap := int64(now.Sub(last)); gap > largest.Load() {
				largest.Store(gap)
			}
			last = now
		}
	}
}

func main() {
	var numbers [3]int
	for i := range numbers {
		number, err := strconv.Atoi(os.Args[i+1])
		if err != nil {
			log.Fatal(err)
		}
		numbers[i] = number
	}
	if err := rlimit.RemoveMemlock(); err != nil {
		log.Fatal(err)
	}
	if err := hold(numbers[0], numbers[1]); err != nil {
		log.Fatal(err)
	}
	live = grow(numbers[2] << 20 / 64)
	runtime.GC()
	runtime.GC()
	fmt.Println(".")
	var (
		on      atomic.Bool
		largest atomic.Int64
		done    chan struct{}
	)
	for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
		switch lines.Text() {
		case "begin":
			largest.Store(0)
			on.Store(true)
			done = make(chan struct{})
			go func() {
				watch(&on, &largest)
				close(done)
			}()
		case "end":
			on.Store(false)
			<-done
			fmt.Println(largest.Load())
		}
	}
	runtime.KeepAlive(live)
}
