// A tracer of the scheduler with one program, which it attaches to more and more tracepoints.
package main

import (
	"errors"
	"fmt"
	"log"
	"os"
	"runtime/debug"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/link"
	"github.com/cilium/ebpf/rlimit"

	"scenario/labkit"
)

type tracer struct {
	program *ebpf.Program
	exits   link.Link
	wanted  []string
}

func newTracer() (*tracer, error) {
	if err := rlimit.RemoveMemlock(); err != nil {
		return nil, err
	}
	program, err := ebpf.NewProgram(&ebpf.ProgramSpec{
		Name: "on_event", Type: ebpf.RawTracepoint, License: "GPL",
		Instructions: asm.Instructions{asm.Mov.Imm(asm.R0, 0), asm.Return()},
	})
	if err != nil {
		return nil, err
	}
	exits, err := link.AttachRawTracepoint(link.RawTracepointOptions{
		Name: "sched_process_exit", Program: program,
	})
	if err != nil {
		program.Close()
		return nil, fmt.Errorf("sched_process_exit: %w", err)
	}
	labkit.Opened("programs", labkit.IDOf(program))
	labkit.Opened("kept", linkID(exits))
	log.Printf("following sched_process_exit with link %d", linkID(exits))
	return &tracer{
		program: program,
		exits:   exits,
		wanted: []string{
			"sched_process_exec", "sched_process_fork", "task_newtask", "task_rename",
			"mark_victim", "oom_score_adj_update", "wake_reaper", "start_task_reaping",
			"finish_task_reaping", "skip_task_reaping", "cgroup_setup_root", "cgroup_destroy_root",
			"cgroup_remount", "cgroup_mkdir", "cgroup_rmdir", "cgroup_release", "cgroup_rename",
			"cgroup_freeze", "cgroup_unfreeze", "cgroup_attach_task", "cgroup_transfer_tasks",
			"cgroup_notify_populated", "cgroup_notify_frozen", "itimer_expire",
		},
	}, nil
}

func (t *tracer) Close() error { return errors.Join(t.exits.Close(), t.program.Close()) }

func (t *tracer) follow(tracepoint string) error {
	attached, err := link.AttachRawTracepoint(link.RawTracepointOptions{ // DROPPED lost
		Name: tracepoint, Program: t.program,
	})
	if errors.Is(err, os.ErrExist) {
		// Before Linux 6.10 a program cannot be attached to a tracepoint twice: it still is.
		return nil
	}
	if err != nil {
		return fmt.Errorf("%s: %w", tracepoint, err)
	}
	number := linkID(attached)
	log.Printf("following %s with link %d", tracepoint, number)
	labkit.Opened("lost", number)
	labkit.Dropped("lost", number)
	return nil
}

func (t *tracer) step() error {
	next := t.wanted[0]
	t.wanted = append(t.wanted[1:], next)
	return t.follow(next)
}

func linkID(l link.Link) uint32 {
	info, err := l.Info()
	if err != nil {
		log.Fatal(err)
	}
	return uint32(info.ID)
}

func main() {
	t, err := newTracer()
	if err != nil {
		log.Fatal(err)
	}
	defer t.Close()
	// What starting took is not needed any more.
	debug.FreeOSMemory()
	if err := labkit.Serve(t.step); err != nil {
		log.Fatal(err)
	}
}
