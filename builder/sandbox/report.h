/*
 * builder/sandbox/report.h - what a run tells the builder, one message each, on its own socket.
 *
 * Fixed layout: exec-stub.c, which has no C library, writes one too.
 */
#ifndef BUILDER_SANDBOX_REPORT_H
#define BUILDER_SANDBOX_REPORT_H

#include <stdint.h>

enum sandbox_report_kind {
	SANDBOX_REPORT_MADE = 1,	/* a mount point was made at text; directory */
	SANDBOX_REPORT_FAILED,		/* setting up failed: code, sys, text */
	SANDBOX_REPORT_EXEC,		/* the program cannot be executed: sys */
	SANDBOX_REPORT_ENDED,		/* the process ended: status, signalled, out_of_memory */
};

#define SANDBOX_REPORT_FD 3		/* where exec-stub finds the socket */
#define SANDBOX_REPORT_TEXT 4096	/* PATH_MAX */

struct sandbox_report_head {
	int32_t kind;
	int32_t code;
	int32_t sys;
	int32_t status;
	int32_t signalled;
	int32_t out_of_memory;
	int32_t directory;
};

struct sandbox_report {
	struct sandbox_report_head head;
	char text[SANDBOX_REPORT_TEXT];	/* sent as far as its NUL */
};

#endif
