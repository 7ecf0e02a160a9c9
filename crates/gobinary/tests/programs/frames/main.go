// A program that tells what its own runtime knows of it, then waits to be read from outside.
package main

import (
	"bufio"
	"fmt"
	"os"
	"reflect"
	"runtime"
	"time"
)

type inner struct {
	raw int
	off [3]uint16
}

type wrapper struct {
	inner
	name  string
	next  *wrapper
	deads map[string]time.Duration
	ready chan struct{}
}

type box[T any] struct{ held T }

func (w *wrapper) Outer(depth int) []uintptr { return middle(w, depth) }

// Inlined into Outer, which calls leaf.
func middle(w *wrapper, depth int) []uintptr {
	w.inner.raw++
	return leaf(depth)
}

//go:noinline
func leaf(depth int) []uintptr {
	if depth > 0 {
		return (&wrapper{}).Outer(depth - 1)
	}
	pcs := make([]uintptr, 64)
	return pcs[:runtime.Callers(1, pcs)]
}

//go:noinline
func generic[T any](value T) []uintptr {
	held := &box[T]{value}
	pcs := func() []uintptr { return leaf(1) }()
	runtime.KeepAlive(held)
	return pcs
}

// Tells the frames of a stack, the innermost first; those without a function of their own are inlined.
func tell(pcs []uintptr) {
	frames := runtime.CallersFrames(pcs)
	fmt.Println("stack")
	for more := true; more; {
		var f runtime.Frame
		f, more = frames.Next()
		fmt.Printf("frame %d %v %d %s %s\n", f.PC, f.Func == nil, f.Line, f.Function, f.File)
	}
}

func entry(function any) { // The entry as FuncForPC has it.
	f := runtime.FuncForPC(reflect.ValueOf(function).Pointer())
	fmt.Printf("entry %d %s\n", f.Entry(), f.Name())
}

// Tells of each type its address, and what reflect makes of it.
func describe(values ...any) {
	for _, value := range values {
		t := reflect.TypeOf(value)
		path := t.PkgPath()
		if t.Kind() == reflect.Ptr {
			path = t.Elem().PkgPath()
		}
		fmt.Printf("type %d %d %s %q %s\n", reflect.ValueOf(t).Pointer(), t.Size(), t.Kind(), path, t)
		if t.Kind() == reflect.Struct {
			for i := 0; i < t.NumField(); i++ {
				f := t.Field(i)
				fmt.Printf("field %d %v %s %s\n", f.Offset, f.Anonymous, f.Name, f.Type)
			}
		}
	}
}

func main() {
	tell((&wrapper{}).Outer(2))
	tell(generic("x"))
	tell(generic(3))
	entry(leaf)
	entry(main)
	entry(fmt.Println)
	describe(wrapper{}, &wrapper{}, inner{}, 7, "s", []*inner{}, map[string]wrapper{}, &box[int]{},
		box[*wrapper]{}, time.Second, os.Stdin, *os.Stdin, make(chan<- int), func(int) error { return nil },
		[4]inner{}, struct {
			A int `json:"a"`
			b *box[string]
		}{}, new(error), new(any), bufio.NewReader(os.Stdin), uintptr(1), 2.5)
	fmt.Println("ready")
	bufio.NewReader(os.Stdin).ReadByte()
}
