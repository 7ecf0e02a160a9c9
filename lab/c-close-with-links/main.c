/* Traces a few kernel events for each session that a client opens. */
#include <bpf/libbpf.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "labkit.h"
#include "probe.skel.h"

/* Rare ones: nobody shall notice that they are traced. */
static const char *const events[] = { "oom_score_adj_update", "mark_victim" };
#define EVENTS (sizeof(events) / sizeof(events[0]))

struct session {
	struct probe *skel;
	struct bpf_link *links[EVENTS];
	unsigned long hits;
};

static void session_free(struct session *session)
{
	if (!session)
		return;
	/* Closes its maps, programs and links. */
	probe__destroy(session->skel);
	free(session);
}

static int attach(struct session *session, size_t event)
{
	struct bpf_program *prog = session->skel->progs.session_probe;
	struct bpf_link *link;

	link = bpf_program__attach_raw_tracepoint(prog, events[event]); /* LEAK links */
	if (!link) {
		fprintf(stderr, "%s: %s\n", events[event], strerror(errno));
		return -errno;
	}
	session->links[event] = link;
	labkit_opened("links", labkit_link_id(bpf_link__fd(link)));
	if (!event) {
		labkit_opened("programs", labkit_prog_id(bpf_program__fd(prog)));
		labkit_opened("hits", labkit_map_id(bpf_map__fd(session->skel->maps.session_hits)));
	}
	return 0;
}

static int session_new(struct session **result)
{
	struct session *session = calloc(1, sizeof(*session));
	int err;

	if (!session)
		return -ENOMEM;
	session->skel = probe__open_and_load();
	if (!session->skel) {
		err = -errno;
		goto fail;
	}
	for (size_t i = 0; i < EVENTS; i++) {
		err = attach(session, i);
		if (err)
			goto fail;
	}
	*result = session;
	return 0;

fail:
	session_free(session);
	return err;
}

static int session_read(struct session *session)
{
	uint32_t zero = 0;
	uint64_t hits;
	int err;

	err = bpf_map__lookup_elem(session->skel->maps.session_hits, &zero, sizeof(zero), &hits,
				   sizeof(hits), 0);
	if (!err)
		session->hits = hits;
	return err;
}

/* A client comes, looks, and goes. */
static int step(void *context)
{
	unsigned long *total = context;
	struct session *session = NULL;
	int err;

	err = session_new(&session);
	if (err == -EMFILE) {
		errno = EMFILE;
		return LABKIT_STUCK;
	}
	if (err)
		return err;
	err = session_read(session);
	*total += session->hits;
	session_free(session);
	return err;
}

int main(void)
{
	unsigned long total = 0;

	libbpf_set_strict_mode(LIBBPF_STRICT_ALL);
	return labkit_serve(step, &total) ? 1 : 0;
}
