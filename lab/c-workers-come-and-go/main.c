/* Runs jobs, each in a process of its own, a few at a time. */
#include <bpf/bpf.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "labkit.h"

#define AT_ONCE 3

struct job {
	pid_t pid;
	int order;	/* its end tells the worker to finish */
	uint32_t map_id;
};

struct pool {
	int limits;	/* of all jobs: each worker inherits it */
	struct job jobs[AT_ONCE];
	unsigned int started;
};

static int scratch_new(uint64_t limit)
{
	uint32_t zero = 0;
	int fd = bpf_map_create(BPF_MAP_TYPE_ARRAY, "job_scratch", 4, 8, 16, NULL);

	if (fd < 0)
		return -errno;
	if (bpf_map_update_elem(fd, &zero, &limit, BPF_ANY)) {
		int err = -errno;

		close(fd);
		return err;
	}
	return fd;
}

/* In the worker. Its map is closed by its exit. */
static int work(int limits, int order, int answer)
{
	uint32_t zero = 0, id;
	uint64_t limit;
	char end;
	int fd;

	if (bpf_map_lookup_elem(limits, &zero, &limit))
		return 1;
	fd = scratch_new(limit);
	if (fd < 0)
		return 1;
	id = labkit_map_id(fd);
	if (write(answer, &id, sizeof(id)) != sizeof(id))
		return 1;
	close(answer);
	return read(order, &end, 1) ? 1 : 0;
}

static int job_start(struct pool *pool, struct job *job)
{
	int order[2], answer[2];
	ssize_t n;

	if (pipe(order))
		return -errno;
	if (pipe(answer)) {
		close(order[0]);
		close(order[1]);
		return -errno;
	}
	job->pid = fork();
	if (!job->pid) {
		/* Else a worker would keep others of its age from hearing the end. */
		for (int i = 0; i < AT_ONCE; i++)
			if (pool->jobs[i].order > 0)
				close(pool->jobs[i].order);
		close(order[1]);
		close(answer[0]);
		prctl(PR_SET_NAME, "job");
		_exit(work(pool->limits, order[0], answer[1]));
	}
	close(order[0]);
	close(answer[1]);
	n = job->pid < 0 ? 0 : read(answer[0], &job->map_id, sizeof(job->map_id));
	close(answer[0]);
	job->order = order[1];
	if (n != sizeof(job->map_id)) {
		close(job->order);
		job->order = -1;
		return -ECHILD;
	}
	labkit_opened("scratch", job->map_id);
	pool->started++;
	return 0;
}

static int job_finish(struct job *job)
{
	int status;

	close(job->order);
	job->order = -1;
	if (waitpid(job->pid, &status, 0) < 0)
		return -errno;
	labkit_closed("scratch", job->map_id);
	return WIFEXITED(status) && !WEXITSTATUS(status) ? 0 : -EPROTO;
}

/* The oldest job is done, and the next one starts. */
static int step(void *context)
{
	struct pool *pool = context;
	struct job *oldest = &pool->jobs[pool->started % AT_ONCE];
	int err = job_finish(oldest);

	return err ? err : job_start(pool, oldest);
}

int main(void)
{
	struct pool pool = {};
	uint64_t limit = 100;
	uint32_t zero = 0;
	int err = 0;

	pool.limits = bpf_map_create(BPF_MAP_TYPE_ARRAY, "job_limits", 4, 8, 1, NULL);
	if (pool.limits < 0 || bpf_map_update_elem(pool.limits, &zero, &limit, BPF_ANY)) {
		perror("job_limits");
		return 1;
	}
	labkit_opened("limits", labkit_map_id(pool.limits));
	for (int i = 0; i < AT_ONCE && !err; i++)
		err = job_start(&pool, &pool.jobs[i]);
	if (!err)
		err = labkit_serve(step, &pool);
	if (err)
		fprintf(stderr, "job %u: %s\n", pool.started, strerror(-err));
	close(pool.limits);
	return err ? 1 : 0;
}
