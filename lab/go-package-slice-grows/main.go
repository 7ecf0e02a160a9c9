// A daemon that loads and unloads policies, each with a map of the networks that it is about.
package main

import (
	"encoding/binary"
	"fmt"
	"log"
	"net/netip"
	"slices"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/rlimit"

	"scenario/labkit"
)

// allMaps is what the status page lists.
var allMaps []*ebpf.Map

type policy struct {
	name    string
	filter  *ebpf.Map
	actions []string
}

type policies struct {
	loaded []*policy
	serial int
}

func key(prefix netip.Prefix) []byte {
	addr := prefix.Masked().Addr().As4()
	return append(binary.NativeEndian.AppendUint32(nil, uint32(prefix.Bits())), addr[:]...)
}

func load(name string, networks ...netip.Prefix) (*policy, error) {
	filter, err := ebpf.NewMap(&ebpf.MapSpec{ // LEAK policies
		Name: "policy_filter", Type: ebpf.LPMTrie, KeySize: 8, ValueSize: 4, MaxEntries: 64,
		Flags: 1, // BPF_F_NO_PREALLOC
	})
	if err != nil {
		return nil, fmt.Errorf("policy %s: %w", name, err)
	}
	for i, network := range networks {
		if err := filter.Put(key(network), uint32(i)); err != nil {
			filter.Close()
			return nil, fmt.Errorf("policy %s: %s: %w", name, network, err)
		}
	}
	allMaps = append(allMaps, filter) // RULE policies
	labkit.Opened("policies", labkit.IDOf(filter))
	return &policy{name: name, filter: filter, actions: []string{"log"}}, nil
}

func (p *policies) unload(name string) {
	p.loaded = slices.DeleteFunc(p.loaded, func(l *policy) bool { return l.name == name })
}

func (p *policies) step() error {
	p.serial++
	network := netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(p.serial), 0, 0}), 16)
	loaded, err := load(fmt.Sprintf("egress-%d", p.serial), network)
	if err != nil {
		return err
	}
	p.loaded = append(p.loaded, loaded)
	if len(p.loaded) > 2 {
		p.unload(p.loaded[0].name)
	}
	return nil
}

func main() {
	if err := rlimit.RemoveMemlock(); err != nil {
		log.Fatal(err)
	}
	p := &policies{}
	if err := labkit.Serve(p.step); err != nil {
		log.Fatal(err)
	}
}
