// As many objects with finalizers as the first argument says, made while a heap of as many MiB as the second says is filled:
// so they are spread over it.
package main

import (
	"fmt"
	"os"
	"runtime"
	"strconv"
)

type FD struct{ raw int }

func (fd *FD) finalize() {}

type Map struct {
	name string
	fd   *FD
}

type node struct {
	next *node
	data [6]uintptr
}

var (
	maps []*Map
	list *node
)

func main() {
	count, _ := strconv.Atoi(os.Args[1])
	mib, _ := strconv.Atoi(os.Args[2])
	nodes := mib << 20 / 56
	for i := 0; i < nodes; i++ {
		list = &node{next: list}
		if i%(nodes/count+1) == 0 && len(maps) < count {
			fd := &FD{i}
			runtime.SetFinalizer(fd, (*FD).finalize)
			maps = append(maps, &Map{fmt.Sprint(i), fd})
		}
	}
	for len(maps) < count {
		fd := &FD{len(maps)}
		runtime.SetFinalizer(fd, (*FD).finalize)
		maps = append(maps, &Map{"", fd})
	}
	runtime.GC()
	fmt.Println("ok", len(maps))
	os.Stdin.Read(make([]byte, 1))
	runtime.KeepAlive(maps)
	runtime.KeepAlive(list)
}
