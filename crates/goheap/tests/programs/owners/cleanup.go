//go:build go1.24

package main

import "runtime"

// Handle is what cleanups are set for.
type Handle struct {
	raw  int
	next *Handle
}

var handles []*Handle

func closeRaw(raw int) { closed++ }

func hang(gate chan int) { <-gate }

//go:noinline
func handle(raw int) *Handle {
	h := &Handle{raw: raw}
	runtime.AddCleanup(h, closeRaw, raw)
	return h
}

//go:noinline
func dropHandles(n int) {
	for i := 0; i < n; i++ {
		handle(600_000 + i)
	}
}

//go:noinline
func dropHanging() {
	h := &Handle{}
	runtime.AddCleanup(h, hang, block)
}

func newer(name string, n int) {
	switch name {
	case "handles":
		for i := 0; i < n; i++ {
			handles = append(handles, handle(5000+i))
		}
	case "forget-handles":
		for i := range handles {
			handles[i] = nil
		}
		handles = nil
	case "drop-handles":
		dropHandles(n)
	case "block-cleanup":
		dropHanging()
	case "block-among":
		// What is queued in one go is in one block, if it fits.
		dropHandles(n / 2)
		dropHanging()
		dropHandles(n - n/2)
	}
}
