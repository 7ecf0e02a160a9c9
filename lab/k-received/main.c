/* A broker: clients register the map of their metrics with it, over a Unix socket. */
#define _GNU_SOURCE
#include <bpf/bpf.h>
#include <errno.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "labkit.h"

#define NAME_SIZE 16

struct client {
	char name[NAME_SIZE];
	int metrics;
};

struct broker {
	int listener;
	struct client *clients;
	size_t count, room;
	unsigned int started;
};

union rights {
	struct cmsghdr header;
	char space[CMSG_SPACE(sizeof(int))];
};

static socklen_t broker_address(struct sockaddr_un *address)
{
	static const char name[] = "metrics-broker";

	/* An abstract one: it is gone with the network namespace. */
	memset(address, 0, sizeof(*address));
	address->sun_family = AF_UNIX;
	memcpy(address->sun_path + 1, name, sizeof(name) - 1);
	return offsetof(struct sockaddr_un, sun_path) + sizeof(name);
}

static int client_send(int socket, const char *name, int fd)
{
	union rights control = {};
	struct iovec data = { .iov_base = (void *)name, .iov_len = NAME_SIZE };
	struct msghdr message = { .msg_iov = &data, .msg_iovlen = 1, .msg_control = &control,
				  .msg_controllen = sizeof(control) };
	struct cmsghdr *header = CMSG_FIRSTHDR(&message);

	header->cmsg_level = SOL_SOCKET;
	header->cmsg_type = SCM_RIGHTS;
	header->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(header), &fd, sizeof(fd));
	return sendmsg(socket, &message, MSG_NOSIGNAL) == NAME_SIZE ? 0 : -1;
}

/* A client's whole life: it registers, waits until it is heard, and goes. */
static void client(unsigned int number)
{
	struct sockaddr_un address;
	socklen_t length = broker_address(&address);
	char name[NAME_SIZE] = {}, answer;
	int fd, server;

	/* A client is no part of the broker. */
	close_range(3, ~0U, 0);
	snprintf(name, sizeof(name), "client-%u", number);
	fd = bpf_map_create(BPF_MAP_TYPE_ARRAY, "metrics", 4, 8, 8, NULL);
	server = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	if (fd < 0 || server < 0 || connect(server, (struct sockaddr *)&address, length))
		_exit(1);
	if (client_send(server, name, fd) || read(server, &answer, 1) != 1)
		_exit(1);
	_exit(answer == '+' ? 0 : 1);
}

static int receive(int socket, struct client *client)
{
	union rights control;
	struct iovec data = { .iov_base = client->name, .iov_len = sizeof(client->name) };
	struct msghdr message = { .msg_iov = &data, .msg_iovlen = 1, .msg_control = &control,
				  .msg_controllen = sizeof(control) };
	struct cmsghdr *header;

	if (recvmsg(socket, &message, MSG_CMSG_CLOEXEC) < 0) /* LEAK metrics */
		return -errno;
	header = CMSG_FIRSTHDR(&message);
	if (!header || header->cmsg_type != SCM_RIGHTS || header->cmsg_len != CMSG_LEN(sizeof(int)))
		return -EPROTO;
	memcpy(&client->metrics, CMSG_DATA(header), sizeof(client->metrics));
	client->name[NAME_SIZE - 1] = '\0';
	return 0;
}

static int keep(struct broker *broker, const struct client *client)
{
	if (broker->count == broker->room) {
		size_t room = broker->room ? 2 * broker->room : 8;
		struct client *clients = realloc(broker->clients, room * sizeof(*clients));

		if (!clients)
			return -ENOMEM;
		broker->clients = clients;
		broker->room = room;
	}
	broker->clients[broker->count++] = *client;
	return 0;
}

/* Takes one registration. That a client hangs up later is of no interest: it may come back. */
static int serve_one(struct broker *broker)
{
	struct client client;
	int err, socket;

	socket = accept4(broker->listener, NULL, NULL, SOCK_CLOEXEC);
	if (socket < 0)
		return -errno;
	err = receive(socket, &client);
	if (err)
		goto out;
	err = keep(broker, &client);
	if (err) {
		close(client.metrics);
		goto out;
	}
	labkit_opened("metrics", labkit_map_id(client.metrics));
out:
	if (write(socket, err ? "-" : "+", 1) != 1 && !err)
		err = -errno;
	close(socket);
	return err;
}

static int step(void *context)
{
	struct broker *broker = context;
	int status, err;
	pid_t pid = fork();

	if (pid < 0)
		return -errno;
	if (!pid)
		client(broker->started);
	broker->started++;
	err = serve_one(broker);
	if (err)
		kill(pid, SIGKILL);
	if (waitpid(pid, &status, 0) < 0)
		return -errno;
	if (err == -EMFILE || err == -EPROTO) {
		errno = EMFILE;
		return LABKIT_STUCK;
	}
	return err;
}

int main(void)
{
	struct broker broker = {};
	struct sockaddr_un address;
	socklen_t length = broker_address(&address);

	broker.listener = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	if (broker.listener < 0 || bind(broker.listener, (struct sockaddr *)&address, length) ||
	    listen(broker.listener, 8)) {
		perror("metrics-broker");
		return 1;
	}
	return labkit_serve(step, &broker) ? 1 : 0;
}
