// A policy engine with an object file for each policy; a policy that does not suit is refused.
package main

import (
	_ "embed"
	"errors"
	"fmt"
	"log"
	"strconv"
	"strings"

	bpf "github.com/aquasecurity/libbpfgo"

	"scenario/labkit"
)

//go:embed bpf/policy.bpf.o
var object []byte

var errEvent = errors.New("no such event")

type rule struct {
	name  string
	event string
}

type policy struct {
	rule
	module  *bpf.Module
	program *bpf.BPFProg
	hits    *bpf.BPFMap
}

func load(r rule) (*policy, error) {
	module, err := bpf.NewModuleFromBuffer(object, r.name)
	if err != nil {
		return nil, err
	}
	if err := module.BPFLoadObject(); err != nil { // LEAK programs
		module.Close()
		return nil, fmt.Errorf("%s: %w", r.name, err)
	}
	p := &policy{rule: r, module: module}
	if p.program, err = module.GetProgram("on_exec"); err != nil {
		module.Close()
		return nil, err
	}
	if p.hits, err = module.GetMap("policy_hits"); err != nil {
		module.Close()
		return nil, err
	}
	return p, nil
}

// note tells the lab whose program and map these are.
func (p *policy) note(group string) {
	labkit.Opened(group+" programs", labkit.ID(p.program.FileDescriptor()))
	labkit.Opened(group+" maps", labkit.ID(p.hits.FileDescriptor()))
}

func apply(r rule) (*policy, error) {
	p, err := load(r) // RULE refused
	if err != nil {
		return nil, err
	}
	if !strings.HasPrefix(r.event, "oom_") {
		p.note("refused")
		return nil, fmt.Errorf("%s: %w: %s", r.name, errEvent, r.event)
	}
	link, err := p.program.AttachRawTracepoint(r.event)
	if err != nil {
		p.module.Close()
		return nil, fmt.Errorf("%s: %w", r.name, err)
	}
	p.note("applied")
	labkit.Opened("applied links", labkit.ID(link.FileDescriptor()))
	return p, nil
}

type engine struct {
	policies []*policy
	received int
}

// step takes the next policy. This controller sends nonsense.
func (e *engine) step() error {
	e.received++
	r := rule{name: fmt.Sprintf("policy_%d", e.received), event: "ook_" + strconv.Itoa(e.received)}
	p, err := apply(r)
	if errors.Is(err, errEvent) {
		log.Print(err)
		return nil
	}
	if err != nil {
		return err
	}
	e.policies = append(e.policies, p)
	return nil
}

func (e *engine) Close() {
	for _, p := range e.policies {
		p.module.Close()
	}
}

func main() {
	first, err := apply(rule{name: "built_in", event: "oom_score_adj_update"})
	if err != nil {
		log.Fatal(err)
	}
	e := &engine{policies: []*policy{first}}
	defer e.Close()
	if err := labkit.Serve(e.step); err != nil {
		log.Fatal(err)
	}
}
