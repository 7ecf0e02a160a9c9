// An agent that follows the events that its configuration names.
package main

import (
	_ "embed"
	"errors"
	"fmt"
	"log"
	"slices"
	"syscall"

	bpf "github.com/aquasecurity/libbpfgo"

	"scenario/labkit"
)

//go:embed bpf/events.bpf.o
var object []byte

type agent struct {
	module  *bpf.Module
	program *bpf.BPFProg
	active  []string
	reloads int
}

func newAgent() (*agent, error) {
	module, err := bpf.NewModuleFromBuffer(object, "events")
	if err != nil {
		return nil, err
	}
	a := &agent{module: module}
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
	var err error
	if a.program, err = a.module.GetProgram("on_event"); err != nil {
		return err
	}
	seen, err := a.module.GetMap("events_seen")
	if err != nil {
		return err
	}
	labkit.Opened("program", labkit.ID(a.program.FileDescriptor()))
	labkit.Opened("seen", labkit.ID(seen.FileDescriptor()))
	return a.apply(a.config())
}

// events are rare ones: nobody shall notice that they are followed.
var events = []string{
	"mark_victim", "oom_score_adj_update", "wake_reaper", "start_task_reaping",
	"finish_task_reaping", "skip_task_reaping", "cgroup_setup_root", "cgroup_destroy_root",
	"cgroup_remount", "cgroup_mkdir", "cgroup_rmdir", "cgroup_release", "cgroup_rename",
	"cgroup_freeze", "cgroup_unfreeze", "cgroup_attach_task", "cgroup_transfer_tasks",
	"cgroup_notify_populated", "cgroup_notify_frozen", "itimer_expire",
}

// config is what the file says by now.
func (a *agent) config() []string {
	return []string{events[a.reloads%len(events)]}
}

// apply follows these events, and no longer those before.
func (a *agent) apply(events []string) error {
	if slices.Equal(events, a.active) {
		return nil
	}
	a.active = a.active[:0]
	for _, event := range events {
		link, err := a.program.AttachRawTracepoint(event) // LEAK links
		if errors.Is(err, syscall.EEXIST) {
			// Before Linux 6.10 a program cannot be attached to an event twice.
			return fmt.Errorf("%s: %w: %w", event, labkit.ErrStuck, err)
		}
		if err != nil {
			return fmt.Errorf("%s: %w", event, err)
		}
		labkit.Opened("links", labkit.ID(link.FileDescriptor()))
		a.active = append(a.active, event)
	}
	return nil
}

func (a *agent) reload() error {
	a.reloads++
	return a.apply(a.config())
}

func main() {
	a, err := newAgent()
	if err != nil {
		log.Fatal(err)
	}
	defer a.module.Close()
	if err := labkit.Serve(a.reload); err != nil {
		log.Fatal(err)
	}
	log.Printf("%d reloads", a.reloads)
}
