/*
 * builder/progress/progress.h - the one stream of events that a build makes, and its readers: a terminal
 * view, plain text, JSON lines, nothing.
 *
 * All calls may come from any thread; each reader sees events one at a time. Everything goes to stderr (fd);
 * stdout is for results.
 */
#ifndef BUILDER_PROGRESS_PROGRESS_H
#define BUILDER_PROGRESS_PROGRESS_H

#include <stdbool.h>
#include <stdint.h>

#include "oci/base/err.h"

enum builder_progress_mode {
	BUILDER_PROGRESS_AUTO,	/* TTY on a terminal that can, else PLAIN */
	BUILDER_PROGRESS_TTY,
	BUILDER_PROGRESS_PLAIN,
	BUILDER_PROGRESS_RAWJSON,	/* BuildKit's solve status, one JSON object per line */
	BUILDER_PROGRESS_QUIET,	/* nothing but the last lines of a step that failed */
};

/* "auto", "tty", "plain", "rawjson", "quiet" ("none"); IB_USAGE otherwise. */
int builder_progress_mode_parse(const char *text, enum builder_progress_mode *ret_mode, struct ib_err *err);

struct builder_progress;

/* fd stays the caller's. */
struct builder_progress *builder_progress_new(enum builder_progress_mode mode, int fd);

/* Flushes what is pending and, in the terminal view, leaves the final state on the screen. */
void builder_progress_free(struct builder_progress *progress);
IB_DEFINE_FREE(builder_progress);

/* Steps are numbered from 1 in the order in which they are announced; the number is the result. */
int builder_progress_step(struct builder_progress *progress, const char *name);
void builder_progress_start(struct builder_progress *progress, int step);
void builder_progress_cached(struct builder_progress *progress, int step);	/* done without running */

/* Ends a step. failure NULL: done. IB_CANCELLED shows as cancelled. */
void builder_progress_end(struct builder_progress *progress, int step, const struct ib_err *failure);

/* Output of a RUN: any bytes, in any cut; stream 1 or 2. Lines are put together again here. */
void builder_progress_output(struct builder_progress *progress, int step, int stream, const void *bytes,
			     size_t n);

/*
 * A part of a step that moves bytes ("sha256:abcd...", "extracting", "exporting layers"): current of total
 * (0: unknown). done marks its end. Rates are computed here.
 */
void builder_progress_transfer(struct builder_progress *progress, int step, const char *id, int64_t current,
			       int64_t total, bool done);

/* A remark on a step (0: on the build), shown once. */
void builder_progress_warning(struct builder_progress *progress, int step, const char *text);

#endif
