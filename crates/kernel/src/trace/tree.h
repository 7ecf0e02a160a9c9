// SPDX-License-Identifier: (BSD-2-Clause OR GPL-2.0-only)
/* What is told of a process of the tree when it ends. Rust has these by generation. */
#ifndef LASTREF_TREE_H
#define LASTREF_TREE_H

#include "../holders/files/files.h"

/* `kind` of the row that follows all others of a process: its descriptors are `n`. */
#define TREE_ENDED 0
#define TREE_CUT 1    /* the table was longer than could be read */
#define TREE_FORKED 2 /* it never called exec: what it has may be its parent's */

/* A descriptor that stood in the table of a process when it ended; `kind` is a row_kind. */
struct tree_row {
	u32 kind;
	u32 pid; /* in our pid namespace */
	u32 fd;
	u32 id; /* of the object */
	u64 file;
	u64 refs;  /* of the file, all of them */
	u64 start; /* of the process, in ns since boot */
	u32 type;  /* of the object, in the kernel's numbers of its kind */
	u32 cut;   /* TREE_ENDED: TREE_CUT, TREE_FORKED; else: mappings of the process itself may be among
		    * the references */
	char name[BPF_OBJ_NAME_LEN]; /* of the object; TREE_ENDED: of the process */
};

#endif
