// A checker of files with limits, which people write. It tries whether the kernel takes them.
package main

import (
	"bufio"
	"errors"
	"fmt"
	"log"
	"runtime/debug"
	"strconv"
	"strings"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/rlimit"

	"scenario/labkit"
)

type file struct{ name, text string }

// files are those that are checked, one after another.
var files = []file{
	{"default", "22 1000\n80 50000\n443 50000\n"},
	{"guests", "22 1000\n80 50k\n"},
	{"lab", "8080 5000\nhttps 5000\n"},
}

func parseLine(line string) (port uint16, limit uint64, err error) {
	first, second, _ := strings.Cut(line, " ")
	number, err := strconv.ParseUint(first, 10, 16)
	if err != nil {
		return 0, 0, err
	}
	limit, err = strconv.ParseUint(second, 10, 64)
	return uint16(number), limit, err
}

// check says how many limits a file has.
func check(text string) (limits int, err error) {
	m, err := ebpf.NewMap(&ebpf.MapSpec{ // DROPPED limits
		Name: "limits", Type: ebpf.Hash, KeySize: 2, ValueSize: 8, MaxEntries: 128,
	})
	if err != nil {
		return 0, err
	}
	number := labkit.IDOf(m)
	labkit.Opened("limits", number)

	lines := bufio.NewScanner(strings.NewReader(text))
	for lines.Scan() {
		limits++
		port, limit, err := parseLine(lines.Text())
		if err != nil {
			labkit.Dropped("limits", number)
			return 0, fmt.Errorf("line %d: %w", limits, err)
		}
		if err := m.Put(port, limit); err != nil {
			m.Close()
			labkit.Closed("limits", number)
			return 0, fmt.Errorf("line %d: %w", limits, err)
		}
	}
	labkit.Closed("limits", number)
	return limits, errors.Join(lines.Err(), m.Close())
}

type checker struct {
	checked int
	refused int
}

func (c *checker) step() error {
	f := files[c.checked%len(files)]
	c.checked++
	limits, err := check(f.text)
	if bad := (*strconv.NumError)(nil); errors.As(err, &bad) {
		c.refused++
		log.Printf("%s: %v", f.name, err)
		return nil
	}
	if err != nil {
		return fmt.Errorf("%s: %w", f.name, err)
	}
	log.Printf("%s: %d limits", f.name, limits)
	return nil
}

func main() {
	if err := rlimit.RemoveMemlock(); err != nil {
		log.Fatal(err)
	}
	c := &checker{}
	if err := c.step(); err != nil {
		log.Fatal(err)
	}
	// What starting took is not needed any more.
	debug.FreeOSMemory()
	if err := labkit.Serve(c.step); err != nil {
		log.Fatal(err)
	}
}
