/* Starts a server for each tenant. A helper fills the tenant's map of quotas before. */
#define _GNU_SOURCE
#include <bpf/bpf.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "labkit.h"

struct host {
	uint32_t tenants;
};

/* As the helper: the quotas of a tenant go into the map behind a descriptor. */
static int seed(int fd, uint32_t tenant)
{
	for (uint32_t resource = 0; resource < 4; resource++) {
		uint64_t quota = 1000 * (tenant + 1) + resource;

		if (bpf_map_update_elem(fd, &resource, &quota, BPF_ANY)) {
			perror("quota");
			return 1;
		}
	}
	return 0;
}

/* As a tenant's server: it lives for as long as the tenant is there, and knows nothing of maps. */
static int serve(uint32_t tenant)
{
	char name[16];

	snprintf(name, sizeof(name), "tenant-%u", tenant);
	prctl(PR_SET_NAME, name);
	for (;;)
		pause();
}

/* Starts this program as something else; returns when it runs, or why it does not. */
static int spawn(const char *role, const char *first, const char *second, pid_t *pid)
{
	int status[2], err = 0;

	if (pipe2(status, O_CLOEXEC))
		return -errno;
	*pid = fork();
	if (*pid < 0) {
		err = -errno;
		close(status[0]);
		close(status[1]);
		return err;
	}
	if (!*pid) {
		execl("/proc/self/exe", "tenantd", role, first, second, (char *)NULL);
		err = -errno;
		_exit(write(status[1], &err, sizeof(err)) == sizeof(err) ? 126 : 127);
	}
	close(status[1]);
	if (read(status[0], &err, sizeof(err)) > 0)
		waitpid(*pid, NULL, 0);
	close(status[0]);
	return err;
}

static int run_helper(int fd, const char *tenant)
{
	char number[12];
	int err, status;
	pid_t pid;

	/* The helper shall get this one across its exec. */
	if (fcntl(fd, F_SETFD, 0)) /* RULE quotas */
		return -errno;
	snprintf(number, sizeof(number), "%d", fd);
	err = spawn("seed", tenant, number, &pid);
	if (err)
		return err;
	if (waitpid(pid, &status, 0) < 0)
		return -errno;
	return WIFEXITED(status) && !WEXITSTATUS(status) ? 0 : -EPROTO;
}

static int add_tenant(struct host *host)
{
	char tenant[12];
	uint32_t id;
	pid_t server;
	int fd, err;

	snprintf(tenant, sizeof(tenant), "%u", host->tenants);
	fd = bpf_map_create(BPF_MAP_TYPE_HASH, "quotas", 4, 8, 8, NULL); /* LEAK quotas */
	if (fd < 0)
		return -errno;
	id = labkit_map_id(fd);
	err = run_helper(fd, tenant);
	if (!err)
		err = spawn("serve", tenant, NULL, &server);
	if (!err) {
		labkit_opened("quotas", id);
		host->tenants++;
	}
	close(fd);
	return err;
}

static int step(void *context)
{
	int err = add_tenant(context);

	if (err == -EAGAIN) {
		errno = EAGAIN;
		return LABKIT_STUCK;
	}
	return err;
}

int main(int argc, char **argv)
{
	struct host host = {};
	int err;

	if (argc == 4 && !strcmp(argv[1], "seed"))
		return seed(atoi(argv[3]), atoi(argv[2]));
	if (argc == 3 && !strcmp(argv[1], "serve"))
		return serve(atoi(argv[2]));
	err = labkit_serve(step, &host);
	if (err)
		fprintf(stderr, "tenant %u: %s\n", host.tenants, strerror(-err));
	return err ? 1 : 0;
}
