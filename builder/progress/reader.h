/*
 * builder/progress/reader.h - what the stream of events keeps about a build, and what a reader of it is.
 *
 * The stream calls its reader with the stream's lock held, one event at a time. Readers look at steps only
 * then; the terminal view, which draws from a thread of its own, takes the lock for it.
 */
#ifndef BUILDER_PROGRESS_READER_H
#define BUILDER_PROGRESS_READER_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "oci/base/str.h"

#define PROGRESS_TAIL_LINES 50
#define PROGRESS_LINE_MAX (16u << 10)	/* a longer line is shown as several */

enum progress_state {
	PROGRESS_WAITING,	/* announced */
	PROGRESS_RUNNING,
	PROGRESS_DONE,
	PROGRESS_CACHED,
	PROGRESS_FAILED,
	PROGRESS_CANCELLED,
};

struct progress_transfer {
	char *id;
	int64_t current, total;	/* bytes; total 0: unknown */
	int64_t started_ns, ended_ns;	/* monotonic; ended_ns 0: under way */
	int64_t shown_ns;	/* for the reader's use; 0 at first */
	double rate;		/* bytes per second, of late; at its end, of all */
	int64_t mark_ns, mark_bytes;	/* where rate was last measured */
};

struct progress_step {
	int number;
	char *name;		/* safe text, one line */
	enum progress_state state;
	int64_t started_ns, ended_ns;
	char *failure;		/* text of the error, else NULL */
	bool shown;		/* for the reader's use */
	struct ib_str part[2];	/* bytes of unfinished lines of stdout and stderr */
	bool after_return[2];	/* the last byte was a carriage return */
	char **tail;		/* ring of the last lines, safe text; NULL when nothing was printed */
	size_t tail_next, tail_n;
	bool tail_redo[2];	/* the last line of the ring is this stream's and ended in a carriage return */
	struct progress_transfer *transfers;
	size_t n_transfers, cap_transfers;
};

struct progress_model {
	pthread_mutex_t lock;	/* guards all below and every step */
	struct progress_step **steps;	/* steps[i] has number i + 1 */
	size_t n, cap;
	struct ib_strv warnings;	/* "#N WARN: text", in their order; none twice */
	int64_t started_ns;	/* fixed */
	int64_t epoch_ns;	/* fixed: wall clock minus monotonic clock */
};

struct progress_reader {
	const struct progress_ops *ops;
};

/* NULL members: the reader does not care. */
struct progress_ops {
	void (*changed)(struct progress_reader *reader, struct progress_step *step);	/* its state */
	void (*line)(struct progress_reader *reader, struct progress_step *step, const char *text);
	void (*raw)(struct progress_reader *reader, struct progress_step *step, int stream,
		    const void *bytes, size_t n);
	void (*transfer)(struct progress_reader *reader, struct progress_step *step,
			 struct progress_transfer *transfer);
	void (*warning)(struct progress_reader *reader, struct progress_step *step, const char *text);
	void (*free)(struct progress_reader *reader);	/* called without the lock; shows what is pending */
};

struct progress_reader *progress_quiet_new(const struct progress_model *model, int fd);
struct progress_reader *progress_plain_new(int fd);
struct progress_reader *progress_rawjson_new(const struct progress_model *model, int fd);
struct progress_reader *progress_tty_new(struct progress_model *model, int fd);

/* The last lines of the steps that failed, for readers that did not show all. Called from free. */
void progress_failures_write(const struct progress_model *model, int fd);

bool progress_step_over(const struct progress_step *step);	/* done, cached, failed or cancelled */
int64_t progress_step_ns(const struct progress_step *step);	/* its run time until now or its end */

/* Line i of the tail, 0 being the oldest. Borrowed. */
const char *progress_step_tail(const struct progress_step *step, size_t i);

/* Append "12.5MB / 40.0MB 1.2s 10.4MB/s done", without what is not known. */
void progress_transfer_add(struct ib_str *out, const struct progress_transfer *transfer);

/* The id as shown to people: a digest is cut after twelve digits. */
void progress_transfer_id(struct ib_str *out, const struct progress_transfer *transfer);

#endif
