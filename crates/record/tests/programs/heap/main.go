// Heap allocates what it knows, and writes the profiles of it that there are into a folder, with
// what the runtime itself tells of its allocations (told.json).
package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"runtime/pprof"
	"strconv"
	"strings"
	"time"
)

type node struct {
	next *node
	pad  [5]uint64
}

type frame struct {
	Function string
	File     string
	Line     int
	Inlined  bool
}

type stack struct {
	Objects, Bytes int64
	Frames         []frame
}

var (
	kept  [][]byte
	list  *node
	names []string
)

// newNode is inlined into grow.
func newNode(next *node) *node { return &node{next: next} }

//go:noinline
func grow(n int) {
	for i := 0; i < n; i++ {
		list = newNode(list)
	}
}

//go:noinline
func keep(n, size int) {
	for i := 0; i < n; i++ {
		kept = append(kept, make([]byte, size))
	}
}

//go:noinline
func drop(n int) {
	for i := 0; i < n; i++ {
		kept = append(kept, make([]byte, 4096))
	}
	kept = kept[:len(kept)-n]
	for i := range kept[len(kept) : len(kept)+n] {
		kept[len(kept) : len(kept)+n][i] = nil
	}
}

//go:noinline
func deep(n int) int {
	if n == 0 {
		keep(3, 100000)
		return 0
	}
	return deep(n-1) + 1
}

// must ends the program: there is nobody to tell.
func must(err error) {
	if err != nil {
		panic(err)
	}
}

func main() {
	if rate := os.Args[2]; rate != "" {
		n, err := strconv.Atoi(rate)
		must(err)
		runtime.MemProfileRate = n
	}
	debug.SetGCPercent(-1)
	kept = make([][]byte, 0, 1<<16)
	keep(100, 65536)
	grow(1000)
	drop(500)
	deep(300)
	done := make(chan bool)
	go func() {
		keep(7, 65536)
		done <- true
	}()
	<-done
	runtime.GC()
	runtime.GC()
	write()
}

func write() {
	var cpu bytes.Buffer
	must(pprof.StartCPUProfile(&cpu))
	for end := time.Now().Add(50 * time.Millisecond); time.Now().Before(end); {
		names = append(names[:0], strings.Repeat("x", 100))
	}
	pprof.StopCPUProfile()
	put("cpu", cpu.Bytes())

	var heap bytes.Buffer
	must(pprof.WriteHeapProfile(&heap))
	put("heap", heap.Bytes())
	for _, name := range []string{"allocs", "goroutine", "threadcreate", "block", "mutex", "heap"} {
		for debug := 0; debug < 3; debug++ {
			var out bytes.Buffer
			must(pprof.Lookup(name).WriteTo(&out, debug))
			put(name+strconv.Itoa(debug), out.Bytes())
		}
	}
	dump, err := os.Create(filepath.Join(os.Args[1], "dump"))
	must(err)
	debug.WriteHeapDump(dump.Fd())
	must(dump.Close())
	told, err := json.Marshal(told())
	must(err)
	put("told.json", told)
}

func put(name string, content []byte) {
	must(os.WriteFile(filepath.Join(os.Args[1], name), content, 0o600))
}

// told is the same as the heap profile, by another way.
func told() []stack {
	records := make([]runtime.MemProfileRecord, 1<<16)
	n, ok := runtime.MemProfile(records, false)
	if !ok {
		panic("there are more records")
	}
	var stacks []stack
	for _, record := range records[:n] {
		one := stack{Objects: record.InUseObjects(), Bytes: record.InUseBytes()}
		one.Frames = framesOf(record.Stack(), false)
		if len(one.Frames) == 0 {
			one.Frames = framesOf(record.Stack(), true)
		}
		stacks = append(stacks, one)
	}
	return stacks
}

// framesOf leaves the innermost frames away that are the runtime's own, unless told otherwise.
func framesOf(stack []uintptr, own bool) []frame {
	found := []frame{}
	frames := runtime.CallersFrames(stack)
	for more := true; more; {
		var f runtime.Frame
		f, more = frames.Next()
		if f.Function == "runtime.goexit" {
			continue
		}
		own = own || !strings.HasPrefix(f.Function, "runtime.") && !strings.HasPrefix(f.Function, "internal/runtime/")
		if own {
			found = append(found, frame{f.Function, f.File, f.Line, f.Func == nil})
		}
	}
	return found
}
