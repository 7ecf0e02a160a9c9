/* Makes a map of samples for each interval, and sends it to the process that evaluates them. */
#include <bpf/bpf.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "labkit.h"

struct interval {
	uint32_t number;
	uint32_t samples;
};

struct sampler {
	int socket;
	pid_t evaluator;
	uint32_t intervals;
};

/* Evaluates once a day; until then it does not look at what has come. */
static void evaluate(int socket)
{
	sigset_t wake;

	prctl(PR_SET_NAME, "evaluator");
	sigemptyset(&wake);
	sigaddset(&wake, SIGALRM);
	sigprocmask(SIG_BLOCK, &wake, NULL);
	alarm(24 * 60 * 60);
	sigwaitinfo(&wake, NULL);
	close(socket);
	_exit(0);
}

static int sampler_start(struct sampler *sampler)
{
	int ends[2];

	memset(sampler, 0, sizeof(*sampler));
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends))
		return -errno;
	sampler->evaluator = fork();
	if (sampler->evaluator < 0) {
		int err = -errno;

		close(ends[0]);
		close(ends[1]);
		return err;
	}
	if (!sampler->evaluator) {
		close(ends[0]);
		evaluate(ends[1]);
	}
	close(ends[1]);
	sampler->socket = ends[0];
	return 0;
}

static int send_map(int socket, int fd, struct interval *interval)
{
	union {
		struct cmsghdr header;
		char space[CMSG_SPACE(sizeof(int))];
	} control = {};
	struct iovec data = { .iov_base = interval, .iov_len = sizeof(*interval) };
	struct msghdr message = {
		.msg_iov = &data,
		.msg_iovlen = 1,
		.msg_control = &control,
		.msg_controllen = sizeof(control),
	};
	struct cmsghdr *rights = CMSG_FIRSTHDR(&message);

	rights->cmsg_level = SOL_SOCKET;
	rights->cmsg_type = SCM_RIGHTS;
	rights->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(rights), &fd, sizeof(fd));
	if (sendmsg(socket, &message, MSG_DONTWAIT | MSG_NOSIGNAL) < 0)
		return -errno;
	return 0;
}

static int sample(int fd, struct interval *interval)
{
	for (uint32_t i = 0; i < 10; i++) {
		uint64_t value = interval->number * 100 + i;

		if (bpf_map_update_elem(fd, &i, &value, BPF_ANY))
			return -errno;
		interval->samples++;
	}
	return 0;
}

static int step(void *context)
{
	struct sampler *sampler = context;
	struct interval interval = { .number = sampler->intervals };
	int fd, err;

	fd = bpf_map_create(BPF_MAP_TYPE_HASH, "samples", 4, 8, 16, NULL); /* LEAK samples */
	if (fd < 0)
		return -errno;
	err = sample(fd, &interval);
	if (!err)
		err = send_map(sampler->socket, fd, &interval);
	if (!err) {
		labkit_opened("samples", labkit_map_id(fd));
		sampler->intervals++;
	}
	/* The message has it. */
	close(fd);
	if (err == -EAGAIN || err == -ETOOMANYREFS) {
		errno = -err;
		return LABKIT_STUCK;
	}
	return err;
}

int main(void)
{
	struct sampler sampler;
	int err = sampler_start(&sampler);

	if (!err)
		err = labkit_serve(step, &sampler);
	if (err) {
		fprintf(stderr, "interval %u: %s\n", sampler.intervals, strerror(-err));
		return 1;
	}
	kill(sampler.evaluator, SIGKILL);
	waitpid(sampler.evaluator, NULL, 0);
	close(sampler.socket);
	return 0;
}
