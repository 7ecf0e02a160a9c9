// SPDX-License-Identifier: (BSD-2-Clause OR GPL-2.0-only)
/* What all walks share: the row types for the generator, and one buffer. */
#include "rows.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

/* Not const: a .rodata section would be one more map, and libbpf would try out binding it. */
struct rows row_types;

struct text_buffer text_buffer;
struct last_written last;
