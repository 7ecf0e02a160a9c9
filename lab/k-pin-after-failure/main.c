/* Puts a filter on interfaces as they come, and pins it so that a restart finds it again. */
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <linux/if_link.h>
#include <net/if.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "labkit.h"

#define PIN_DIR "/sys/fs/bpf/ifguard"
#define PIN_PATH_SIZE 64

struct guard {
	unsigned int number;
	unsigned int failures;
};

/* r0 = XDP_PASS; exit */
static const struct bpf_insn pass_all[] = {
	{ .code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_0, .imm = 2 },
	{ .code = BPF_JMP | BPF_EXIT },
};

static int load_filter(void)
{
	int fd = bpf_prog_load(BPF_PROG_TYPE_XDP, "ifguard", "GPL", pass_all,
			       sizeof(pass_all) / sizeof(pass_all[0]), NULL);

	return fd < 0 ? -errno : fd;
}

static void pin_path(char *path, const char *interface)
{
	snprintf(path, PIN_PATH_SIZE, PIN_DIR "/%s", interface);
}

static int attach(const char *interface, int prog_fd)
{
	unsigned int ifindex = if_nametoindex(interface);

	if (!ifindex)
		return -errno;
	return bpf_xdp_attach(ifindex, prog_fd, XDP_FLAGS_SKB_MODE, NULL);
}

static int protect(const char *interface)
{
	char path[PIN_PATH_SIZE];
	uint32_t id;
	int fd, err;

	fd = load_filter();
	if (fd < 0)
		return fd;
	id = labkit_prog_id(fd);
	pin_path(path, interface);
	if (bpf_obj_pin(fd, path)) { /* LEAK pins */
		err = -errno;
		goto out;
	}
	labkit_opened("pins", id);
	err = attach(interface, fd);
out:
	close(fd);
	return err;
}

static int unprotect(const char *interface)
{
	char path[PIN_PATH_SIZE];
	uint32_t id;
	int fd, err;

	pin_path(path, interface);
	fd = bpf_obj_get(path);
	if (fd < 0)
		return -errno;
	id = labkit_prog_id(fd);
	err = bpf_xdp_detach(if_nametoindex(interface), XDP_FLAGS_SKB_MODE, NULL);
	if (!err && unlink(path))
		err = -errno;
	if (!err)
		labkit_closed("pins", id);
	close(fd);
	return err;
}

/* One interface that is there for a moment, and one that was gone before we heard of it. */
static int step(void *context)
{
	struct guard *guard = context;
	char gone[IF_NAMESIZE];
	int err;

	err = protect("lo");
	if (!err)
		err = unprotect("lo");
	if (err)
		return err;
	snprintf(gone, sizeof(gone), "veth%08x", ++guard->number);
	err = protect(gone);
	if (err == -ENODEV) {
		guard->failures++;
		err = 0;
	}
	return err;
}

int main(void)
{
	struct guard guard = {};

	libbpf_set_strict_mode(LIBBPF_STRICT_ALL);
	if (mkdir(PIN_DIR, 0700) && errno != EEXIST) {
		perror(PIN_DIR);
		return 1;
	}
	return labkit_serve(step, &guard) ? 1 : 0;
}
