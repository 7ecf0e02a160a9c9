// Objects whose fate is known: made, kept, dropped and released on command. Each line of standard input
// is a command with an optional number; the answer is a line, once it is done.
package main

import (
	"bufio"
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"strings"
	"syscall"
	"time"
)

// Owner is 16 bytes with a pointer, so that no other object shares its slot.
type Owner struct {
	raw  int
	next *Owner
}

func (o *Owner) release() { released++ }

// Tiny has no pointer: several share a block of 16 bytes.
type Tiny struct{ raw int }

func (t *Tiny) finalize() {}

// Blocker is released never.
type Blocker struct{ gate chan int }

func (b *Blocker) release() { <-b.gate }

var (
	kept     []*Owner
	tiny     []*Tiny
	ballast  [][]byte
	released int
	closed   int
	stopped  = make(chan int)
	block    = make(chan int)
	sink     any
)

//go:noinline
func owner(raw int) *Owner {
	o := &Owner{raw: raw}
	runtime.SetFinalizer(o, (*Owner).release)
	return o
}

//go:noinline
func drop(n, from int) {
	for i := 0; i < n; i++ {
		owner(from + i)
	}
}

// Reader is released never: its release is in a call of the system.
type Reader struct{ pipe [2]int }

func (r *Reader) release() { syscall.Read(r.pipe[0], make([]byte, 1)) }

//go:noinline
func dropReader() {
	r := &Reader{}
	syscall.Pipe(r.pipe[:])
	runtime.SetFinalizer(r, (*Reader).release)
}

//go:noinline
func dropBlocker() {
	b := &Blocker{block}
	runtime.SetFinalizer(b, (*Blocker).release)
}

// busy allocates without end: short-lived objects, some with finalizers, of many sizes.
func busy(seed int) {
	for i := seed; ; i++ {
		b := make([]*int, i%500+1)
		b[0] = &i
		sink = b
		if i%50 == 0 {
			owner(1_000_000 + i%100_000)
		}
	}
}

func command(name string, n int) {
	switch name {
	case "keep":
		for i := 0; i < n; i++ {
			kept = append(kept, owner(1000+i))
		}
	case "forget":
		for i := range kept {
			kept[i] = nil
		}
		kept = nil
	case "drop":
		drop(n, 500_000)
	case "tiny":
		for i := 0; i < n; i++ {
			t := &Tiny{3000 + i}
			runtime.SetFinalizer(t, (*Tiny).finalize)
			tiny = append(tiny, t)
		}
	case "gc":
		for i := 0; i < n; i++ {
			runtime.GC()
		}
		// What is queued has been run, if it can be.
		time.Sleep(50 * time.Millisecond)
	case "gc-at-once":
		runtime.GC()
	case "block":
		dropBlocker()
	case "block-in-the-system":
		dropReader()
	case "off":
		debug.SetGCPercent(-1)
	case "percent":
		debug.SetGCPercent(n)
	case "goroutines":
		for i := 0; i < n; i++ {
			go func() { <-stopped }()
		}
		time.Sleep(50 * time.Millisecond)
	case "heap":
		for i := 0; i < n*16; i++ {
			b := make([]byte, 64<<10)
			for j := 0; j < len(b); j += 4096 {
				b[j] = 1
			}
			ballast = append(ballast, b)
		}
		// A heap of small objects too.
		var list *Owner
		for i := 0; i < n*1024; i++ {
			list = &Owner{next: list}
		}
		sink = list
	case "busy":
		for i := 0; i < n; i++ {
			go busy(i * 1000)
		}
	default:
		newer(name, n)
	}
}

func main() {
	in := bufio.NewScanner(os.Stdin)
	var records [1]runtime.MemProfileRecord
	runtime.MemProfile(records[:], true)
	for in.Scan() {
		var name string
		n := 1
		fmt.Fscan(strings.NewReader(in.Text()), &name, &n)
		command(name, n)
		fmt.Println("ok", released, closed)
	}
	runtime.KeepAlive(kept)
	runtime.KeepAlive(tiny)
	runtime.KeepAlive(ballast)
}
