#include "builder/progress/step.h"

#include <stdlib.h>
#include <string.h>

#include "builder/progress/text.h"
#include "oci/base/alloc.h"
#include "oci/base/clock.h"

#include "oci/base/poison.h"

#define NAME_MAX_BYTES 4096	/* a heredoc's text may be long; nobody reads more of a name */
#define RATE_NS 500000000	/* shorter measurements jump about */
#define TAIL_LINE_MAX 4096	/* of a line kept for the error message; the rest was shown when it came */

struct progress_step *progress_step_new(int number, const char *name)
{
	struct progress_step *step = ib_new(struct progress_step);

	step->number = number;
	step->name = progress_text_one_line(name, NAME_MAX_BYTES);
	step->part[0].max = step->part[1].max = PROGRESS_LINE_MAX;
	return step;
}

void progress_step_forget(struct progress_step *step)
{
	for (size_t i = 0; i < step->tail_n; i++)
		free(step->tail[i]);
	free(step->tail);
	step->tail = NULL;
	step->tail_n = step->tail_next = 0;
	step->tail_redo[0] = step->tail_redo[1] = false;
}

void progress_step_free(struct progress_step *step)
{
	if (!step)
		return;
	progress_step_forget(step);
	for (size_t i = 0; i < step->n_transfers; i++)
		free(step->transfers[i].id);
	ib_str_done(&step->part[0]);
	ib_str_done(&step->part[1]);
	free(step->transfers);
	free(step->failure);
	free(step->name);
	free(step);
}

bool progress_step_over(const struct progress_step *step)
{
	return step->state != PROGRESS_WAITING && step->state != PROGRESS_RUNNING;
}

int64_t progress_step_ns(const struct progress_step *step)
{
	if (step->state == PROGRESS_WAITING)
		return 0;
	return (progress_step_over(step) ? step->ended_ns : ib_monotonic_ns()) - step->started_ns;
}

const char *progress_step_tail(const struct progress_step *step, size_t i)
{
	size_t first = step->tail_n < PROGRESS_TAIL_LINES ? 0 : step->tail_next;

	return step->tail[(first + i) % PROGRESS_TAIL_LINES];
}

static void tail_add(struct progress_step *step, int which, const char *text)
{
	char **slot;

	if (!step->tail)
		step->tail = ib_calloc(PROGRESS_TAIL_LINES, sizeof *step->tail);
	if (step->tail_redo[which])
		step->tail_next = (step->tail_next + PROGRESS_TAIL_LINES - 1) % PROGRESS_TAIL_LINES;
	else if (step->tail_n < PROGRESS_TAIL_LINES)
		step->tail_n++;
	slot = &step->tail[step->tail_next];
	free(*slot);
	*slot = ib_strndup(text, progress_text_cut(text, strnlen(text, TAIL_LINE_MAX)));
	step->tail_next = (step->tail_next + 1) % PROGRESS_TAIL_LINES;
	step->tail_redo[0] = step->tail_redo[1] = false;
}

/* n bytes are a whole line. */
static void line_done(struct progress_step *step, int which, const char *bytes, size_t n,
		      progress_line_fn *line, void *arg)
{
	ib_autostr text = IB_STR(4 * PROGRESS_LINE_MAX)	/* every byte may become \xNN */;

	progress_text_add(&text, bytes, n);
	tail_add(step, which, text.s ? text.s : "");
	line(arg, step, text.s ? text.s : "");
}

/* Add to the unfinished line, passing on what would make it too long. */
static void part_add(struct progress_step *step, int which, const char *bytes, size_t n,
		     progress_line_fn *line, void *arg)
{
	struct ib_str *part = &step->part[which];

	while (n) {
		size_t room = part->max - part->len;
		size_t len = n < room ? n : room;

		ib_str_add(part, bytes, len);
		bytes += len;
		n -= len;
		if (part->len == part->max) {
			size_t cut = progress_text_cut(part->s, part->len);

			line_done(step, which, part->s, cut, line, arg);
			memmove(part->s, part->s + cut, part->len - cut + 1);
			part->len -= cut;
		}
	}
}

/* Length up to the first line end. */
static size_t line_length(const char *bytes, size_t n)
{
	const char *newline = memchr(bytes, '\n', n);
	size_t len = newline ? (size_t)(newline - bytes) : n;
	const char *back = memchr(bytes, '\r', len);

	return back ? (size_t)(back - bytes) : len;
}

static void line_end(struct progress_step *step, int which, char end, progress_line_fn *line, void *arg)
{
	struct ib_str *part = &step->part[which];
	bool bare = part->len == 0;

	if (bare && (end == '\r' || step->after_return[which])) {
		/* "\r\n" ends the line only once, and for good. */
		if (end == '\n')
			step->tail_redo[which] = false;
	} else {
		line_done(step, which, part->s ? part->s : "", part->len, line, arg);
		ib_str_reset(part);
		step->tail_redo[which] = end == '\r';
	}
	step->after_return[which] = end == '\r';
}

void progress_step_output(struct progress_step *step, int stream, const char *bytes, size_t n,
			  progress_line_fn *line, void *arg)
{
	int which = stream == 2;

	while (n) {
		size_t len = line_length(bytes, n);

		part_add(step, which, bytes, len, line, arg);
		if (len == n)
			break;
		line_end(step, which, bytes[len], line, arg);
		bytes += len + 1;
		n -= len + 1;
	}
}

void progress_step_flush(struct progress_step *step, progress_line_fn *line, void *arg)
{
	for (int which = 0; which < 2; which++)
		if (step->part[which].len)
			line_end(step, which, '\n', line, arg);
}

static struct progress_transfer *find_transfer(struct progress_step *step, const char *id)
{
	struct progress_transfer *transfer;

	/* The newest first: it is the one that moves. */
	for (size_t i = step->n_transfers; i > 0; i--)
		if (strcmp(step->transfers[i - 1].id, id) == 0)
			return &step->transfers[i - 1];
	ib_grow(step->transfers, step->n_transfers, step->cap_transfers);
	transfer = &step->transfers[step->n_transfers++];
	*transfer = (struct progress_transfer){.id = ib_printable(id, NAME_MAX_BYTES)};
	transfer->started_ns = transfer->mark_ns = ib_monotonic_ns();
	return transfer;
}

static void measure(struct progress_transfer *transfer, int64_t now_ns)
{
	int64_t span_ns = now_ns - transfer->mark_ns;
	double latest;

	if (span_ns < RATE_NS)
		return;
	latest = (double)(transfer->current - transfer->mark_bytes) * 1e9 / (double)span_ns;
	transfer->rate = transfer->rate > 0 ? 0.7 * transfer->rate + 0.3 * latest : latest;
	transfer->mark_ns = now_ns;
	transfer->mark_bytes = transfer->current;
}

struct progress_transfer *progress_step_transfer(struct progress_step *step, const char *id, int64_t current,
						 int64_t total, bool done)
{
	struct progress_transfer *transfer = find_transfer(step, id);
	int64_t now_ns = ib_monotonic_ns();

	transfer->current = current;
	transfer->total = total;
	measure(transfer, now_ns);
	transfer->ended_ns = 0;
	if (done) {
		int64_t span_ns = now_ns - transfer->started_ns;

		transfer->ended_ns = now_ns;
		transfer->rate = (double)current * 1e9 / (double)(span_ns > 0 ? span_ns : 1);
	}
	return transfer;
}

void progress_transfer_id(struct ib_str *out, const struct progress_transfer *transfer)
{
	bool digest = ib_starts(transfer->id, "sha256:") && strlen(transfer->id) == 7 + 64;

	ib_str_add(out, transfer->id, digest ? 7 + 12 : strlen(transfer->id));
}

void progress_transfer_add(struct ib_str *out, const struct progress_transfer *transfer)
{
	int64_t end_ns = transfer->ended_ns ? transfer->ended_ns : ib_monotonic_ns();
	bool bytes = transfer->current > 0 || transfer->total > 0;
	char buf[32];

	if (bytes)
		ib_str_addf(out, "%s ", progress_size(transfer->current, buf));
	if (transfer->total > 0)
		ib_str_addf(out, "/ %s ", progress_size(transfer->total, buf));
	ib_str_addf(out, "%.1fs", (double)(end_ns - transfer->started_ns) / 1e9);
	if (bytes && transfer->rate >= 1 && end_ns - transfer->started_ns >= RATE_NS)
		ib_str_addf(out, " %s/s", progress_size((int64_t)transfer->rate, buf));
	if (transfer->ended_ns)
		ib_str_adds(out, " done");
}
