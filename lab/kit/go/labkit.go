// Package labkit is how a scenario talks to the lab: see lab/README.md. Go 1.17 and later build it.
package labkit

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"time"
	"unsafe"
)

// Ids only: the books must not keep a handle alive.
type group struct {
	Held    []uint32 `json:"held"`
	Dropped []uint32 `json:"dropped"`

	// Those of Held that a collection would release.
	lost []uint32
}

var (
	lock  sync.Mutex
	books = map[string]*group{}
)

// Go packs pointer-free objects of less than 16 bytes together and frees them together. A library's
// handle may be one of them: nothing of ours that stays may be another.
const room = 16

func init() {
	// What the encoder keeps for good is made now, and the next collection ends its block.
	of("")
	if _, err := encode("", nil); err != nil {
		panic(err)
	}
	books = map[string]*group{}
	// The runtime takes its own descriptors for the first timer: not later, in place of a scenario's.
	time.Sleep(time.Nanosecond)
}

func of(name string) *group {
	g := books[name]
	if g == nil {
		g = &group{Held: make([]uint32, 0, room), Dropped: make([]uint32, 0, room), lost: make([]uint32, 0, room)}
		books[name] = g
	}
	return g
}

// Opened notes that a handle on this object was made.
func Opened(name string, id uint32) {
	lock.Lock()
	defer lock.Unlock()
	g := of(name)
	g.Held = append(g.Held, id)
}

// Closed notes that a handle on this object was closed on purpose.
func Closed(name string, id uint32) {
	lock.Lock()
	defer lock.Unlock()
	take(name, id)
}

// Dropped notes that a handle on this object can no longer be reached: the collector may close it.
func Dropped(name string, id uint32) {
	lock.Lock()
	defer lock.Unlock()
	take(name, id)
	g := of(name)
	g.Dropped = append(g.Dropped, id)
}

// Lost is Dropped where no collection comes by itself: held, until one is forced.
func Lost(name string, id uint32) {
	lock.Lock()
	defer lock.Unlock()
	g := of(name)
	g.lost = append(g.lost, id)
}

// What is lost is held no longer once a collection begins.
func dropLost() {
	lock.Lock()
	defer lock.Unlock()
	for name, g := range books {
		for _, id := range g.lost {
			take(name, id)
			g.Dropped = append(g.Dropped, id)
		}
		g.lost = g.lost[:0]
	}
}

func take(name string, id uint32) {
	g := of(name)
	for at, held := range g.Held {
		if held == id {
			g.Held = append(g.Held[:at], g.Held[at+1:]...)
			return
		}
	}
	panic(fmt.Sprintf("labkit: %s %d is not open", name, id))
}

// Param is a parameter of the scenario, as the lab was told, or its default.
func Param(name, otherwise string) string {
	if value, ok := os.LookupEnv("LAB_" + strings.ToUpper(name)); ok {
		return value
	}
	return otherwise
}

// ID is that of the map, program or link behind a descriptor, for libraries that do not tell it.
// It takes no further descriptor: it works also when none is left.
func ID(fd int) uint32 {
	id, err := idOf(fd)
	if err != 0 {
		panic(fmt.Sprintf("labkit: descriptor %d: %v", fd, err))
	}
	return id
}

// IDOf is the id of what a library's handle is on, which stays open for so long.
func IDOf(handle interface{ FD() int }) uint32 {
	defer runtime.KeepAlive(handle)
	return ID(handle.FD())
}

// NewestMap is the newest map among the descriptors, for libraries that tell not even a descriptor.
func NewestMap() uint32 {
	// The lowest free number is taken: where many are free in a row there are no more.
	const gap = 256
	var newest uint32
	for fd, last := 0, 0; fd < last+gap; fd++ {
		name, err := os.Readlink(fmt.Sprintf("/proc/self/fd/%d", fd))
		if err != nil {
			continue
		}
		last = fd
		if name != "anon_inode:bpf-map" {
			continue
		}
		if id, err := idOf(fd); err == 0 {
			if id > newest {
				newest = id
			}
		}
	}
	return newest
}

// Of maps, programs and links alike, the kernel tells the type first, and then the id.
func idOf(fd int) (uint32, syscall.Errno) {
	const getInfoByFD = 15
	number := uintptr(280)
	if runtime.GOARCH == "amd64" {
		number = 321
	}
	var info [2]uint32
	attr := struct {
		fd, size uint32
		info     unsafe.Pointer
	}{uint32(fd), uint32(unsafe.Sizeof(info)), unsafe.Pointer(&info)}
	_, _, err := syscall.Syscall(number, getInfoByFD, uintptr(unsafe.Pointer(&attr)), unsafe.Sizeof(attr))
	runtime.KeepAlive(&attr)
	return info[1], err
}

// ErrStuck, wrapped by what a step returns, says that it failed as it must some day. So does EMFILE.
var ErrStuck = errors.New("stuck")

// Serve runs step whenever the lab says so. It returns when the lab says stop or is gone.
func Serve(step func() error) error {
	say("ready", nil)
	in := bufio.NewScanner(os.Stdin)
	for in.Scan() {
		switch word := in.Text(); word {
		case "step":
			err := step()
			switch {
			case err == nil:
				say("step", nil)
			case errors.Is(err, ErrStuck), errors.Is(err, syscall.EMFILE):
				say("stuck", err)
			default:
				return err
			}
		case "gc":
			dropLost()
			collect()
			say("gc", nil)
		case "stop":
			return nil
		default:
			return fmt.Errorf("labkit: the lab said %q", word)
		}
	}
	return in.Err()
}

// What a first cycle finds dead has its finalizer run after it; what that lets go of dies in a second.
func collect() {
	for i := 0; i < 2; i++ {
		runtime.GC()
		time.Sleep(20 * time.Millisecond)
	}
}

func say(what string, err error) {
	lock.Lock()
	defer lock.Unlock()
	line, err := encode(what, err)
	if err != nil {
		panic(err)
	}
	if _, err := os.Stdout.Write(append(line, '\n')); err != nil {
		os.Exit(0) // The lab is gone.
	}
}

func encode(what string, failure error) ([]byte, error) {
	var text *string
	if failure != nil {
		message := failure.Error()
		text = &message
	}
	return json.Marshal(map[string]interface{}{"said": what, "groups": books, "error": text})
}
