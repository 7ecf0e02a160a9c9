// An agent that takes over the maps of the agent before it, and pins those that are missing.
package main

import (
	"errors"
	"fmt"
	"log"
	"os"
	"path/filepath"
	"runtime"
	"unsafe"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/rlimit"
	"golang.org/x/sys/unix"

	"scenario/labkit"
)

const folder = "/sys/fs/bpf"

var wanted = []string{"cfg_endpoints", "cfg_identities", "cfg_policy"}

// get is BPF_OBJ_GET, which tells more than a look at the file would.
func get(path string) (int, error) {
	const objGet = 7
	name, err := unix.BytePtrFromString(path)
	if err != nil {
		return -1, err
	}
	attr := struct {
		path    uint64
		_, flag uint32
	}{path: uint64(uintptr(unsafe.Pointer(name)))}
	fd, _, errno := unix.Syscall(unix.SYS_BPF, objGet, uintptr(unsafe.Pointer(&attr)), unsafe.Sizeof(attr)) // LEAK probes
	runtime.KeepAlive(name)
	if errno != 0 {
		return -1, &os.PathError{Op: "bpf", Path: path, Err: errno}
	}
	return int(fd), nil
}

// usable says whether a BPF object is pinned there.
func usable(path string) (bool, error) {
	fd, err := get(path) // RULE probes
	if errors.Is(err, unix.ENOENT) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	labkit.Opened("probes", labkit.ID(fd))
	return true, nil
}

func create(name, path string) error {
	m, err := ebpf.NewMap(&ebpf.MapSpec{
		Name: name, Type: ebpf.Hash, KeySize: 4, ValueSize: 8, MaxEntries: 64,
	})
	if err != nil {
		return err
	}
	defer m.Close()
	return m.Pin(path)
}

// ensure has all maps pinned, and says how many there were before.
func ensure() (found int, err error) {
	for _, name := range wanted {
		path := filepath.Join(folder, name)
		there, err := usable(path)
		if err != nil {
			return found, err
		}
		if there {
			found++
			continue
		}
		if err := create(name, path); err != nil {
			return found, fmt.Errorf("%s: %w", name, err)
		}
	}
	return found, nil
}

func main() {
	if err := rlimit.RemoveMemlock(); err != nil {
		log.Fatal(err)
	}
	if _, err := ensure(); err != nil {
		log.Fatal(err)
	}
	if err := labkit.Serve(func() error {
		found, err := ensure()
		if err == nil && found != len(wanted) {
			log.Printf("%d maps were missing", len(wanted)-found)
		}
		return err
	}); err != nil {
		log.Fatal(err)
	}
	for _, name := range wanted {
		if err := os.Remove(filepath.Join(folder, name)); err != nil {
			log.Print(err)
		}
	}
}
