// libbpfgo 0.5 wants a function that libbpf has since 1.2; where it is older this stands before it.
#ifndef LAB_BPF_H
#define LAB_BPF_H

#include_next <bpf/bpf.h>
#include <bpf/libbpf_version.h>

#if LIBBPF_MAJOR_VERSION == 1 && LIBBPF_MINOR_VERSION < 2
static inline int bpf_map_get_info_by_fd(int fd, struct bpf_map_info *info, __u32 *size)
{
	return bpf_obj_get_info_by_fd(fd, info, size);
}
#endif

#endif
