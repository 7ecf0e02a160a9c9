package main

// libbpfgo leaves it to the program which libbpf it is linked with.
//
// Before it opens an object it raises the limit of locked memory, and gives up where it may not
// (without CAP_SYS_RESOURCE). No kernel that the lab runs on counts BPF objects against that limit:
// where it may not be raised, libbpfgo is told that it was.

/*
#cgo LDFLAGS: -lbpf
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>

#define FIELD(name) BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, name))
#define UNLESS(value, skip) BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, value, 0, skip)

__attribute__((constructor)) static void memlock_limit(void)
{
	struct sock_filter filter[] = {
		FIELD(nr),
		UNLESS(SYS_prlimit64, 5),
		FIELD(args[1]),
		UNLESS(RLIMIT_MEMLOCK, 3),
		FIELD(args[2]), // What to set it to; null if it is only asked for.
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 0, 1, 0),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = { sizeof(filter) / sizeof(filter[0]), filter };
	struct rlimit limit = { 512 << 20, 512 << 20 };

	if (setrlimit(RLIMIT_MEMLOCK, &limit))
		prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program);
}
*/
import "C"
