/* How a scenario talks to the lab: see lab/README.md. */
#ifndef LABKIT_H
#define LABKIT_H

#include <stdint.h>

/* What a step returns when it failed as it must some day; errno says how. */
#define LABKIT_STUCK 1

/* A handle on this object was made, or the object is held. */
void labkit_opened(const char *group, uint32_t id);
/* It was closed on purpose. */
void labkit_closed(const char *group, uint32_t id);
/* A parameter of the scenario, as the lab was told, or its default. */
const char *labkit_param(const char *name, const char *otherwise);
/*
 * Runs step(context) whenever the lab says so: 0, LABKIT_STUCK, or another number if it failed.
 * Returns 0 when the lab says stop or is gone.
 */
int labkit_serve(int (*step)(void *), void *context);

/* The id of the map, program or link behind a descriptor; 0 if there is none. */
uint32_t labkit_map_id(int fd);
uint32_t labkit_prog_id(int fd);
uint32_t labkit_link_id(int fd);

#endif
