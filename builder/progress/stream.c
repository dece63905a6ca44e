#include "builder/progress/progress.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "builder/progress/reader.h"
#include "builder/progress/step.h"
#include "builder/progress/text.h"
#include "oci/base/alloc.h"
#include "oci/base/clock.h"
#include "oci/base/str.h"

#include "oci/base/poison.h"

#define TEXT_MAX (64u << 10)	/* of one error or warning; what is longer is cut */

struct builder_progress {
	struct progress_model model;
	struct progress_reader *reader;	/* fixed */
};

int builder_progress_mode_parse(const char *text, enum builder_progress_mode *ret_mode, struct ib_err *err)
{
	static const struct {
		const char *name;
		enum builder_progress_mode mode;
	} modes[] = {
		{"auto", BUILDER_PROGRESS_AUTO},	{"tty", BUILDER_PROGRESS_TTY},
		{"plain", BUILDER_PROGRESS_PLAIN},	{"rawjson", BUILDER_PROGRESS_RAWJSON},
		{"quiet", BUILDER_PROGRESS_QUIET},	{"none", BUILDER_PROGRESS_QUIET},
	};
	ib_autofree char *shown = NULL;

	for (size_t i = 0; i < sizeof modes / sizeof *modes; i++) {
		if (strcmp(text, modes[i].name) == 0) {
			*ret_mode = modes[i].mode;
			return 0;
		}
	}
	shown = ib_printable(text, 64);
	return ib_fail(err, IB_USAGE, "unknown progress mode '%s': use auto, tty, plain, rawjson or quiet", shown);
}

/* A terminal that understands cursor movement. */
static bool can_draw(int fd)
{
	const char *term = getenv("TERM");

	return isatty(fd) && term && *term && strcmp(term, "dumb") != 0;
}

static struct progress_reader *reader_new(struct progress_model *model, enum builder_progress_mode mode,
					  int fd)
{
	switch (mode) {
	case BUILDER_PROGRESS_AUTO:
		return can_draw(fd) ? progress_tty_new(model, fd) : progress_plain_new(fd);
	case BUILDER_PROGRESS_TTY:
		/* Cursor movement in a file would be garbage. */
		return isatty(fd) ? progress_tty_new(model, fd) : progress_plain_new(fd);
	case BUILDER_PROGRESS_PLAIN:
		return progress_plain_new(fd);
	case BUILDER_PROGRESS_RAWJSON:
		return progress_rawjson_new(model, fd);
	case BUILDER_PROGRESS_QUIET:
		break;
	}
	return progress_quiet_new(model, fd);
}

struct builder_progress *builder_progress_new(enum builder_progress_mode mode, int fd)
{
	struct builder_progress *progress = ib_new(struct builder_progress);
	struct timespec wall;

	(void)pthread_mutex_init(&progress->model.lock, NULL);
	(void)clock_gettime(CLOCK_REALTIME, &wall);
	progress->model.started_ns = ib_monotonic_ns();
	progress->model.epoch_ns =
		(int64_t)wall.tv_sec * 1000000000 + wall.tv_nsec - progress->model.started_ns;
	progress->reader = reader_new(&progress->model, mode, fd);
	return progress;
}

void builder_progress_free(struct builder_progress *progress)
{
	struct progress_model *model;

	if (!progress)
		return;
	model = &progress->model;
	progress->reader->ops->free(progress->reader);
	for (size_t i = 0; i < model->n; i++)
		progress_step_free(model->steps[i]);
	free(model->steps);
	ib_strv_done(&model->warnings);
	(void)pthread_mutex_destroy(&model->lock);
	free(progress);
}

/* The step of that number with the lock held; NULL, unlocked, when there is none. */
static struct progress_step *step_lock(struct builder_progress *progress, int number)
{
	struct progress_model *model = &progress->model;

	(void)pthread_mutex_lock(&model->lock);
	if (number >= 1 && (size_t)number <= model->n)
		return model->steps[number - 1];
	(void)pthread_mutex_unlock(&model->lock);
	return NULL;
}

static void unlock(struct builder_progress *progress)
{
	(void)pthread_mutex_unlock(&progress->model.lock);
}

static void tell_changed(struct builder_progress *progress, struct progress_step *step)
{
	if (progress->reader->ops->changed)
		progress->reader->ops->changed(progress->reader, step);
}

static void tell_line(void *arg, struct progress_step *step, const char *text)
{
	struct builder_progress *progress = arg;

	if (progress->reader->ops->line)
		progress->reader->ops->line(progress->reader, step, text);
}

int builder_progress_step(struct builder_progress *progress, const char *name)
{
	struct progress_model *model = &progress->model;
	struct progress_step *step;
	int number;

	(void)pthread_mutex_lock(&model->lock);
	ib_grow(model->steps, model->n, model->cap);
	number = (int)model->n + 1;
	step = model->steps[model->n++] = progress_step_new(number, name);
	tell_changed(progress, step);
	unlock(progress);
	return number;
}

/* Whatever happens in a step starts it. */
static void start(struct builder_progress *progress, struct progress_step *step)
{
	if (step->state != PROGRESS_WAITING)
		return;
	step->state = PROGRESS_RUNNING;
	step->started_ns = ib_monotonic_ns();
	tell_changed(progress, step);
}

void builder_progress_start(struct builder_progress *progress, int step)
{
	struct progress_step *record = step_lock(progress, step);

	if (!record)
		return;
	start(progress, record);
	unlock(progress);
}

/* Once over, a step stays what it is. */
static void end(struct builder_progress *progress, struct progress_step *step, enum progress_state state)
{
	if (progress_step_over(step))
		return;
	start(progress, step);
	progress_step_flush(step, tell_line, progress);
	step->state = state;
	step->ended_ns = ib_monotonic_ns();
	if (state == PROGRESS_DONE || state == PROGRESS_CACHED)
		progress_step_forget(step);
	tell_changed(progress, step);
}

void builder_progress_cached(struct builder_progress *progress, int step)
{
	struct progress_step *record = step_lock(progress, step);

	if (!record)
		return;
	end(progress, record, PROGRESS_CACHED);
	unlock(progress);
}

void builder_progress_end(struct builder_progress *progress, int step, const struct ib_err *failure)
{
	struct progress_step *record = step_lock(progress, step);
	enum progress_state state = PROGRESS_DONE;

	if (!record)
		return;
	if (failure && !progress_step_over(record)) {
		state = failure->code == IB_CANCELLED ? PROGRESS_CANCELLED : PROGRESS_FAILED;
		record->failure = progress_text_one_line(failure->text ? failure->text : "failed", TEXT_MAX);
	}
	end(progress, record, state);
	unlock(progress);
}

void builder_progress_output(struct builder_progress *progress, int step, int stream, const void *bytes,
			     size_t n)
{
	struct progress_step *record = step_lock(progress, step);

	if (!record)
		return;
	start(progress, record);
	if (n && progress->reader->ops->raw)
		progress->reader->ops->raw(progress->reader, record, stream, bytes, n);
	progress_step_output(record, stream, bytes, n, tell_line, progress);
	unlock(progress);
}

void builder_progress_transfer(struct builder_progress *progress, int step, const char *id, int64_t current,
			       int64_t total, bool done)
{
	struct progress_step *record = step_lock(progress, step);
	struct progress_transfer *transfer;

	if (!record)
		return;
	start(progress, record);
	transfer = progress_step_transfer(record, id, current, total, done);
	if (progress->reader->ops->transfer)
		progress->reader->ops->transfer(progress->reader, record, transfer);
	unlock(progress);
}

void builder_progress_warning(struct builder_progress *progress, int step, const char *text)
{
	struct progress_model *model = &progress->model;
	ib_autofree char *shown = progress_text_one_line(text, TEXT_MAX);
	ib_autofree char *line = step > 0 ? ib_asprintf("#%d WARN: %s", step, shown) :
					      ib_asprintf("WARN: %s", shown);
	struct progress_step *record;

	(void)pthread_mutex_lock(&model->lock);
	record = step > 0 && (size_t)step <= model->n ? model->steps[step - 1] : NULL;
	if (!ib_strv_has(&model->warnings, line)) {
		ib_strv_add(&model->warnings, line);
		if (progress->reader->ops->warning)
			progress->reader->ops->warning(progress->reader, record, shown);
	}
	unlock(progress);
}
