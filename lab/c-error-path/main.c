/* Keeps the filter policy of a host in a map, and takes a new one whenever it is told to. */
#include <bpf/bpf.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "labkit.h"

#define MAX_RULES 32

enum verdict { PASS, DROP, REJECT };

struct rule {
	uint32_t prefix;
	uint32_t length;
	enum verdict verdict;
};

struct policy {
	unsigned int version;
	size_t count;
	struct rule rules[MAX_RULES];
};

struct filter {
	int map_fd;
	unsigned int version;
	unsigned int next;
	unsigned int refused;
};

/* A policy as the controller sends it. In every second one a rule stands twice. */
static void receive(struct filter *filter, struct policy *policy)
{
	memset(policy, 0, sizeof(*policy));
	policy->version = ++filter->next;
	for (policy->count = 0; policy->count < 8; policy->count++) {
		struct rule *rule = &policy->rules[policy->count];

		rule->prefix = 0x0a000000 + (policy->version << 8) + policy->count;
		rule->length = 32;
		rule->verdict = policy->count % 3;
	}
	if (policy->version % 2 == 0)
		policy->rules[policy->count++] = policy->rules[3];
}

static bool sane(const struct rule *rule)
{
	return rule->length <= 32 && rule->verdict <= REJECT;
}

static int write_rule(int fd, const struct rule *rule)
{
	uint64_t key = (uint64_t)rule->length << 32 | rule->prefix;
	uint32_t value = rule->verdict;

	if (!sane(rule))
		return -EINVAL;
	if (bpf_map_update_elem(fd, &key, &value, BPF_NOEXIST))
		return -errno;
	return 0;
}

/* The map of a policy, or an error. */
static int compile(const struct policy *policy)
{
	int fd, err;

	if (policy->count > MAX_RULES)
		return -E2BIG;
	fd = bpf_map_create(BPF_MAP_TYPE_HASH, "policy_rules", 8, 4, MAX_RULES, NULL); /* LEAK rejected */
	if (fd < 0)
		return -errno;
	for (size_t i = 0; i < policy->count; i++) {
		err = write_rule(fd, &policy->rules[i]);
		if (err) {
			labkit_opened("rejected", labkit_map_id(fd));
			return err;
		}
	}
	return fd;
}

static int apply(struct filter *filter, const struct policy *policy)
{
	int fd = compile(policy);

	if (fd < 0)
		return fd;
	labkit_opened("policy", labkit_map_id(fd));
	if (filter->map_fd >= 0) {
		labkit_closed("policy", labkit_map_id(filter->map_fd));
		close(filter->map_fd);
	}
	filter->map_fd = fd;
	filter->version = policy->version;
	return 0;
}

static int step(void *context)
{
	struct filter *filter = context;
	struct policy policy;
	int err;

	for (int i = 0; i < 2; i++) {
		receive(filter, &policy);
		err = apply(filter, &policy);
		if (err == -EMFILE || err == -ENOMEM) {
			errno = -err;
			return LABKIT_STUCK;
		}
		/* The one in force stays. */
		if (err == -EEXIST)
			filter->refused++;
		else if (err)
			return err;
	}
	return 0;
}

int main(void)
{
	struct filter filter = { .map_fd = -1 };
	struct policy policy;
	int err;

	receive(&filter, &policy);
	err = apply(&filter, &policy);
	if (err) {
		fprintf(stderr, "first policy: %s\n", strerror(-err));
		return 1;
	}
	filter.next = 1;
	err = labkit_serve(step, &filter);
	close(filter.map_fd);
	return err ? 1 : 0;
}
