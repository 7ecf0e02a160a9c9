/*
 * A container runtime that restricts devices. Its update command loads a program, attaches it to
 * the container's cgroup, and exits; what was attached by the update before stays.
 */
#define _GNU_SOURCE
#include <bpf/bpf.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "labkit.h"

struct container {
	char cgroup[512];
	unsigned int updates;
};

/* Where the hierarchy of version 2 is mounted. */
static int find_cgroup2(char *path, size_t size)
{
	char place[256], kind[64], line[1024];
	FILE *mounts = fopen("/proc/self/mounts", "re");
	int err = -ENOENT;

	if (!mounts)
		return -errno;
	while (err && fgets(line, sizeof(line), mounts)) {
		if (sscanf(line, "%*s %255s %63s", place, kind) == 2 && !strcmp(kind, "cgroup2")) {
			snprintf(path, size, "%s", place);
			err = 0;
		}
	}
	fclose(mounts);
	return err;
}

static int container_create(struct container *container)
{
	const char *mark = getenv("LAB_MARK");
	char root[256];
	int err = find_cgroup2(root, sizeof(root));

	if (err)
		return err;
	snprintf(container->cgroup, sizeof(container->cgroup), "%s/%s", root,
		 mark ? mark : "lastref-lab-test");
	if (mkdir(container->cgroup, 0755) && errno != EEXIST)
		return -errno;
	return 0;
}

static void container_remove(const struct container *container)
{
	if (rmdir(container->cgroup))
		perror(container->cgroup);
}

/* Lets the devices with this major number through, and no others. */
static int device_filter(int major)
{
	struct bpf_insn insns[] = {
		{ .code = BPF_LDX | BPF_MEM | BPF_W, .dst_reg = BPF_REG_2, .src_reg = BPF_REG_1, .off = 4 },
		{ .code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_0, .imm = 0 },
		{ .code = BPF_JMP | BPF_JNE | BPF_K, .dst_reg = BPF_REG_2, .off = 1, .imm = major },
		{ .code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_0, .imm = 1 },
		{ .code = BPF_JMP | BPF_EXIT },
	};
	int fd = bpf_prog_load(BPF_PROG_TYPE_CGROUP_DEVICE, "devices", "GPL", insns,
			       sizeof(insns) / sizeof(insns[0]), NULL);

	return fd < 0 ? -errno : fd;
}

/* The update command. Says on out which program it has attached. */
static int update(const struct container *container, int major, int out)
{
	int prog, cgroup, err = 0;
	uint32_t id;

	prog = device_filter(major);
	if (prog < 0)
		return -prog;
	id = labkit_prog_id(prog);
	cgroup = open(container->cgroup, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (cgroup < 0)
		return errno;
	if (bpf_prog_attach(prog, cgroup, BPF_CGROUP_DEVICE, BPF_F_ALLOW_MULTI)) /* LEAK devices */
		err = errno;
	else if (write(out, &id, sizeof(id)) != sizeof(id))
		err = EPIPE;
	close(cgroup);
	close(prog);
	return err;
}

static int step(void *context)
{
	struct container *container = context;
	int out[2], status;
	uint32_t id = 0;
	ssize_t n;
	pid_t pid;

	if (pipe2(out, O_CLOEXEC))
		return -errno;
	pid = fork();
	if (!pid) {
		prctl(PR_SET_NAME, "update");
		_exit(update(container, 1 + container->updates % 200, out[1]));
	}
	close(out[1]);
	n = pid < 0 ? 0 : read(out[0], &id, sizeof(id));
	close(out[0]);
	if (pid < 0 || waitpid(pid, &status, 0) < 0)
		return -errno;
	if (n == sizeof(id)) {
		labkit_opened("devices", id);
		container->updates++;
		return 0;
	}
	errno = WIFEXITED(status) ? WEXITSTATUS(status) : EIO;
	/* A cgroup takes 64. */
	return errno == E2BIG ? LABKIT_STUCK : -errno;
}

int main(void)
{
	struct container container = {};
	int err;

	/* The cgroup is not in our namespaces: at the lab's end we live on until it is removed. */
	prctl(PR_SET_PDEATHSIG, 0);
	err = container_create(&container);
	if (err) {
		fprintf(stderr, "cgroup: %s\n", strerror(-err));
		return 1;
	}
	err = labkit_serve(step, &container);
	container_remove(&container);
	return err ? 1 : 0;
}
