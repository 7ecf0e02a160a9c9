/*
 * Loads a module again and again by a loader program: the kernel side makes its map and its
 * program, as with a light skeleton (bpftool gen skeleton -L).
 */
#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* The last of these relies on the others being there. */
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <bpf/skel_internal.h>

#include "labkit.h"
#include "module.skel.h"

/* What the loader reads and writes: first the maps, then the programs, in the object's order. */
struct module_light {
	struct bpf_loader_ctx ctx;
	struct {
		struct bpf_map_desc module_state;
	} maps;
	struct {
		struct bpf_prog_desc module_main;
	} progs;
};

struct loader {
	void *data, *insns;
	uint32_t data_size, insns_size;
	unsigned int loads;
};

static void *copy(const void *from, size_t size)
{
	void *to = malloc(size);

	return to ? memcpy(to, from, size) : NULL;
}

/* Makes the loader program; nothing is loaded yet. */
static int loader_generate(struct loader *loader)
{
	LIBBPF_OPTS(gen_loader_opts, opts);
	struct module *skel;
	int err;

	skel = module__open();
	if (!skel)
		return -errno;
	err = bpf_object__gen_loader(skel->obj, &opts);
	if (!err)
		err = bpf_object__load(skel->obj);
	if (!err) {
		loader->data = copy(opts.data, opts.data_sz);
		loader->data_size = opts.data_sz;
		loader->insns = copy(opts.insns, opts.insns_sz);
		loader->insns_size = opts.insns_sz;
		if (!loader->data || !loader->insns)
			err = -ENOMEM;
	}
	module__destroy(skel);
	return err;
}

static struct module_light *light_load(const struct loader *loader)
{
	struct bpf_load_and_run_opts opts = {
		.data = loader->data,
		.data_sz = loader->data_size,
		.insns = loader->insns,
		.insns_sz = loader->insns_size,
	};
	struct module_light *light = skel_alloc(sizeof(*light));
	int err;

	if (!light)
		return NULL;
	light->ctx.sz = (char *)(light + 1) - (char *)light;
	opts.ctx = &light->ctx;
	err = bpf_load_and_run(&opts); /* LEAK programs */
	if (err) {
		fprintf(stderr, "module: %s: %s\n", opts.errstr, strerror(-err));
		free(light);
		errno = -err;
		return NULL;
	}
	return light;
}

static void light_destroy(struct module_light *light)
{
	skel_closenz(light->maps.module_state.map_fd);
	free(light);
}

static int step(void *context)
{
	struct loader *loader = context;
	struct module_light *light;
	uint32_t zero = 0;
	uint64_t runs = 0;
	int err;

	light = light_load(loader);
	if (!light && errno == EMFILE)
		return LABKIT_STUCK;
	if (!light)
		return -errno;
	labkit_opened("programs", labkit_prog_id(light->progs.module_main.prog_fd));
	labkit_opened("maps", labkit_map_id(light->maps.module_state.map_fd));
	loader->loads++;
	err = skel_map_update_elem(light->maps.module_state.map_fd, &zero, &runs, BPF_ANY);
	light_destroy(light);
	return err;
}

int main(void)
{
	struct loader loader = {};
	int err;

	libbpf_set_strict_mode(LIBBPF_STRICT_ALL);
	err = loader_generate(&loader);
	if (err)
		fprintf(stderr, "module: no loader: %s\n", strerror(-err));
	else
		err = labkit_serve(step, &loader);
	free(loader.data);
	free(loader.insns);
	return err ? 1 : 0;
}
