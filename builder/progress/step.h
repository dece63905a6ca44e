/*
 * builder/progress/step.h - the record of one step: its output put together to lines, its transfers.
 */
#ifndef BUILDER_PROGRESS_STEP_H
#define BUILDER_PROGRESS_STEP_H

#include "builder/progress/reader.h"

struct progress_step *progress_step_new(int number, const char *name);
void progress_step_free(struct progress_step *step);

/* Drop the last lines of a step that nobody will ask about. */
void progress_step_forget(struct progress_step *step);

typedef void progress_line_fn(void *arg, struct progress_step *step, const char *text);

/*
 * Take bytes of stream (1 or 2) in; call line for each line that became complete. "\n", "\r" and "\r\n" end
 * a line; in the tail, a line that ended in "\r" is replaced by the next of its stream, as on a terminal.
 */
void progress_step_output(struct progress_step *step, int stream, const char *bytes, size_t n,
			  progress_line_fn *line, void *arg);

/* The unfinished lines are as finished as they will be. */
void progress_step_flush(struct progress_step *step, progress_line_fn *line, void *arg);

/* Note how far a transfer is; a new id begins one. The result is valid until the next call. */
struct progress_transfer *progress_step_transfer(struct progress_step *step, const char *id, int64_t current,
						 int64_t total, bool done);

#endif
