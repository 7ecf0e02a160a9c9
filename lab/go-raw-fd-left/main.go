// An inspector that sums up the memory of the maps that are frozen.
package main

import (
	"bufio"
	"errors"
	"fmt"
	"log"
	"os"
	"runtime"
	"strconv"
	"strings"
	"unsafe"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/rlimit"
	"golang.org/x/sys/unix"

	"scenario/labkit"
)

func fdByID(id uint32) (int, error) {
	const mapGetFDByID = 14
	attr := &struct{ id, next, flags uint32 }{id: id}
	fd, _, errno := unix.Syscall(unix.SYS_BPF, mapGetFDByID, uintptr(unsafe.Pointer(attr)), unsafe.Sizeof(*attr)) // LEAK looks
	runtime.KeepAlive(attr)
	if errno != 0 {
		return -1, os.NewSyscallError("bpf", errno)
	}
	return int(fd), nil
}

// fdinfo has what the kernel tells of a descriptor.
func fdinfo(fd int) (map[string]string, error) {
	file, err := os.Open(fmt.Sprintf("/proc/self/fdinfo/%d", fd))
	if err != nil {
		return nil, err
	}
	defer file.Close()
	fields := map[string]string{}
	lines := bufio.NewScanner(file)
	for lines.Scan() {
		name, value, _ := strings.Cut(lines.Text(), ":")
		fields[name] = strings.TrimSpace(value)
	}
	return fields, lines.Err()
}

func inspect(ids []uint32) (memory uint64, err error) {
	for _, number := range ids {
		fd, err := fdByID(number) // RULE looks
		if err != nil {
			return 0, fmt.Errorf("map %d: %w", number, err)
		}
		fields, err := fdinfo(fd)
		if err != nil {
			unix.Close(fd)
			return 0, err
		}
		if fields["frozen"] != "1" {
			labkit.Opened("looks", number)
			continue
		}
		bytes, err := strconv.ParseUint(fields["memlock"], 10, 64)
		unix.Close(fd)
		if err != nil {
			return 0, fmt.Errorf("map %d: %w", number, err)
		}
		memory += bytes
	}
	return memory, nil
}

type tables struct{ rules, sessions *ebpf.Map }

func table(name string) (*ebpf.Map, error) {
	m, err := ebpf.NewMap(&ebpf.MapSpec{
		Name: name, Type: ebpf.Hash, KeySize: 4, ValueSize: 8, MaxEntries: 64,
	})
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	labkit.Opened("tables", labkit.IDOf(m))
	return m, nil
}

func newTables() (*tables, error) {
	rules, err := table("nat_rules")
	if err != nil {
		return nil, err
	}
	if err := rules.Freeze(); err != nil {
		rules.Close()
		return nil, fmt.Errorf("nat_rules: %w", err)
	}
	sessions, err := table("nat_sessions")
	if err != nil {
		rules.Close()
		return nil, err
	}
	return &tables{rules: rules, sessions: sessions}, nil
}

func (t *tables) step() error {
	memory, err := inspect([]uint32{labkit.IDOf(t.rules), labkit.IDOf(t.sessions)})
	if err == nil && memory == 0 {
		err = errors.New("the rules take no memory")
	}
	return err
}

func main() {
	if err := rlimit.RemoveMemlock(); err != nil {
		log.Fatal(err)
	}
	t, err := newTables()
	if err != nil {
		log.Fatal(err)
	}
	if err := labkit.Serve(t.step); err != nil {
		log.Fatal(err)
	}
}
