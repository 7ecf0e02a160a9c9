/* How a scenario talks to the lab: see lab/README.md. Needs nothing but the C library. */
#include "labkit.h"

#include <ctype.h>
#include <errno.h>
#include <linux/bpf.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

/* No scenario has more groups. */
#define GROUPS 8

static struct group {
	const char *name;
	uint32_t *held;
	size_t count, room;
} groups[GROUPS];

static struct group *group_of(const char *name)
{
	for (size_t i = 0; i < GROUPS; i++) {
		if (!groups[i].name)
			groups[i].name = name;
		if (!strcmp(groups[i].name, name))
			return &groups[i];
	}
	fprintf(stderr, "labkit: more than %d groups\n", GROUPS);
	exit(2);
}

void labkit_opened(const char *name, uint32_t id)
{
	struct group *g = group_of(name);

	if (g->count == g->room) {
		g->room = g->room ? 2 * g->room : 64;
		g->held = realloc(g->held, g->room * sizeof(*g->held));
		if (!g->held)
			abort();
	}
	g->held[g->count++] = id;
}

void labkit_closed(const char *name, uint32_t id)
{
	struct group *g = group_of(name);

	for (size_t i = 0; i < g->count; i++) {
		if (g->held[i] != id)
			continue;
		memmove(&g->held[i], &g->held[i + 1], (--g->count - i) * sizeof(*g->held));
		return;
	}
	fprintf(stderr, "labkit: %s %u is not open\n", name, id);
	exit(2);
}

const char *labkit_param(const char *name, const char *otherwise)
{
	char variable[64];
	const char *value;
	int n = snprintf(variable, sizeof(variable), "LAB_%s", name);

	for (int i = 0; i < n && i < (int)sizeof(variable); i++)
		variable[i] = toupper((unsigned char)variable[i]);
	value = getenv(variable);
	return value ? value : otherwise;
}

/* False if the lab is gone. */
static bool say(const char *what, int error)
{
	printf("{\"said\":\"%s\",\"groups\":{", what);
	for (size_t i = 0; i < GROUPS && groups[i].name; i++) {
		printf("%s\"%s\":{\"held\":[", i ? "," : "", groups[i].name);
		for (size_t n = 0; n < groups[i].count; n++)
			printf("%s%u", n ? "," : "", groups[i].held[n]);
		printf("],\"dropped\":[]}");
	}
	if (error)
		printf("},\"error\":\"%s\"}\n", strerror(error));
	else
		printf("},\"error\":null}\n");
	return !fflush(stdout);
}

int labkit_serve(int (*step)(void *), void *context)
{
	char line[64];
	bool heard;

	/* When the lab is gone a write fails, and main still cleans up. */
	signal(SIGPIPE, SIG_IGN);
	heard = say("ready", 0);
	while (heard && fgets(line, sizeof(line), stdin)) {
		if (!strcmp(line, "step\n")) {
			int failed = step(context);

			if (failed && failed != LABKIT_STUCK)
				return failed;
			heard = say(failed ? "stuck" : "step", failed ? errno : 0);
		} else if (!strcmp(line, "gc\n")) {
			heard = say("gc", 0);
		} else if (!strcmp(line, "stop\n")) {
			return 0;
		} else {
			fprintf(stderr, "labkit: the lab said %s", line);
			return 2;
		}
	}
	return 0;
}

/*
 * Of maps, programs and links alike, the kernel tells the type first, and then the id. That takes no
 * further descriptor: it works also when none is left.
 */
static uint32_t id_of(int fd)
{
	uint32_t info[2] = {};
	struct {
		uint32_t fd;
		uint32_t size;
		uint64_t info;
	} attr = { .fd = fd, .size = sizeof(info), .info = (uintptr_t)info };

	if (syscall(SYS_bpf, BPF_OBJ_GET_INFO_BY_FD, &attr, sizeof(attr)))
		return 0;
	return info[1];
}

uint32_t labkit_map_id(int fd)
{
	return id_of(fd);
}

uint32_t labkit_prog_id(int fd)
{
	return id_of(fd);
}

uint32_t labkit_link_id(int fd)
{
	return id_of(fd);
}
