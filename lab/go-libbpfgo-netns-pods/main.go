// An agent that sees which ports are asked for in the network namespaces of pods.
package main

import (
	_ "embed"
	"fmt"
	"log"
	"runtime"

	bpf "github.com/aquasecurity/libbpfgo"
	"golang.org/x/sys/unix"

	"scenario/labkit"
)

//go:embed bpf/steer.bpf.o
var object []byte

// How many pods a node has at once.
const room = 3

// A pod lives as long as the thread that has its namespace.
type pod struct {
	name string
	tid  int
	stop chan struct{}
}

func startPod(name string) (*pod, error) {
	p := &pod{name: name, stop: make(chan struct{})}
	ready := make(chan error)
	go func() {
		// Never unlocked: the thread ends with the goroutine.
		runtime.LockOSThread()
		p.tid = unix.Gettid()
		err := unix.Unshare(unix.CLONE_NEWNET)
		ready <- err
		if err == nil {
			<-p.stop
		}
	}()
	if err := <-ready; err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return p, nil
}

type agent struct {
	module  *bpf.Module
	program *bpf.BPFProg
	pods    map[string]bool
}

func newAgent() (*agent, error) {
	module, err := bpf.NewModuleFromBuffer(object, "steer")
	if err != nil {
		return nil, err
	}
	a := &agent{module: module, pods: map[string]bool{}}
	if err := a.load(); err != nil {
		module.Close()
		return nil, err
	}
	return a, nil
}

func (a *agent) load() error {
	if err := a.module.BPFLoadObject(); err != nil {
		return err
	}
	steered, err := a.module.GetMap("steered")
	if err != nil {
		return err
	}
	a.program, err = a.module.GetProgram("steer")
	if err != nil {
		return err
	}
	labkit.Opened("program", labkit.ID(a.program.FileDescriptor()))
	labkit.Opened("steered", labkit.ID(steered.FileDescriptor()))
	return nil
}

func (a *agent) podStarted(p *pod) error {
	netns := fmt.Sprintf("/proc/self/task/%d/ns/net", p.tid)
	link, err := a.program.AttachNetns(netns) // LEAK links
	if err != nil {
		return fmt.Errorf("%s: %w", p.name, err)
	}
	labkit.Opened("links", labkit.ID(link.FileDescriptor()))
	a.pods[p.name] = true
	return nil
}

// podStopped: its namespace goes, and with it what is attached to it.
func (a *agent) podStopped(p *pod) {
	delete(a.pods, p.name)
}

type node struct {
	agent   *agent
	running []*pod
	started int
}

// step starts a pod, and stops the oldest if there are too many.
func (n *node) step() error {
	n.started++
	p, err := startPod(fmt.Sprintf("pod-%d", n.started))
	if err != nil {
		return err
	}
	n.running = append(n.running, p)
	if err := n.agent.podStarted(p); err != nil {
		return err
	}
	if len(n.running) > room {
		oldest := n.running[0]
		n.running = n.running[1:]
		close(oldest.stop)
		n.agent.podStopped(oldest)
	}
	return nil
}

func main() {
	a, err := newAgent()
	if err != nil {
		log.Fatal(err)
	}
	defer a.module.Close()
	n := &node{agent: a}
	if err := n.step(); err != nil {
		log.Fatal(err)
	}
	if err := labkit.Serve(n.step); err != nil {
		log.Fatal(err)
	}
	log.Printf("%d pods of %d", len(a.pods), n.started)
}
