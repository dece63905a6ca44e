#include "builder/progress/reader.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>

#include "builder/progress/frame.h"
#include "builder/progress/spool.h"
#include "oci/base/alloc.h"
#include "oci/base/clock.h"

#include "oci/base/poison.h"

/*
 * A picture is taken of the steps with the lock held and written without it, so a slow terminal sees fewer
 * pictures and the build does not notice. Each picture hides the cursor and turns wrapping off, and puts
 * both back: whenever the process dies, the terminal is as it was.
 */
#define FRAME_NS 100000000	/* shortest time between two pictures */
#define TICK_NS 250000000	/* running steps show their time at least so often */
#define BEGIN "\033[?25l\033[?7l\r"
#define END "\033[J\033[?7h\033[?25h"
#define COLUMNS 80		/* of a terminal that does not say */
#define ROWS 24

struct tty {
	struct progress_reader reader;
	struct progress_model *model;
	int fd;			/* fixed, as are these */
	bool colour;
	bool threaded;
	pthread_t thread;

	pthread_cond_t wake;	/* with the model's lock, which guards dirty */
	bool dirty;
	atomic_bool closing;
	struct progress_frame last;	/* what is on the screen; the drawing thread's, at the end free's */
};

static void size_of_terminal(int fd, size_t *ret_columns, size_t *ret_rows)
{
	struct winsize size = {0};

	if (ioctl(fd, TIOCGWINSZ, &size) < 0)
		size = (struct winsize){0};
	*ret_columns = size.ws_col ? size.ws_col : COLUMNS;
	*ret_rows = size.ws_row ? size.ws_row : ROWS;
}

/* Called with the lock held, which is let go while the terminal takes the picture. */
static int draw(struct tty *tty, bool final)
{
	struct progress_frame frame = PROGRESS_FRAME(0, 0);
	ib_autostr out = IB_STR(8u << 20);
	size_t up;

	size_of_terminal(tty->fd, &frame.columns, &frame.rows);
	frame.colour = tty->colour;
	frame.final = final;
	progress_frame_draw(&frame, tty->model);
	tty->dirty = false;
	(void)pthread_mutex_unlock(&tty->model->lock);

	/* A terminal that became narrower has wrapped what we drew; what has left its top is out of reach. */
	up = progress_frame_rows(&tty->last, frame.columns);
	if (up >= frame.rows)
		up = frame.rows - 1;
	ib_str_adds(&out, BEGIN);
	if (up)
		ib_str_addf(&out, "\033[%zuA", up);
	ib_str_add(&out, frame.text.s, frame.text.len);
	ib_str_adds(&out, END);
	progress_frame_done(&tty->last);
	tty->last = frame;
	ib_str_done(&tty->last.text);

	int failure = progress_write(tty->fd, out.s, out.len, &tty->closing);

	(void)pthread_mutex_lock(&tty->model->lock);
	return failure;
}

static bool running(const struct progress_model *model)
{
	for (size_t i = 0; i < model->n; i++)
		if (model->steps[i]->state == PROGRESS_RUNNING)
			return true;
	return false;
}

/* Wait, lock held, until ns have passed or the view is closed; with any, until something happens. */
static void wait_ns(struct tty *tty, int64_t ns, bool any)
{
	int64_t until_ns = ib_monotonic_ns() + ns;
	struct timespec until = {.tv_sec = until_ns / 1000000000, .tv_nsec = until_ns % 1000000000};
	int failure = 0;

	while (failure != ETIMEDOUT && !atomic_load(&tty->closing) && !(any && tty->dirty))
		failure = pthread_cond_timedwait(&tty->wake, &tty->model->lock, &until);
}

static void *run(void *arg)
{
	struct tty *tty = arg;

	(void)pthread_mutex_lock(&tty->model->lock);
	while (!atomic_load(&tty->closing)) {
		wait_ns(tty, FRAME_NS, false);
		if (!tty->dirty)
			wait_ns(tty, TICK_NS - FRAME_NS, true);
		if (atomic_load(&tty->closing))
			break;
		if ((tty->dirty || running(tty->model)) && draw(tty, false) < 0)
			break;	/* the terminal is gone */
	}
	(void)pthread_mutex_unlock(&tty->model->lock);
	return NULL;
}

/* Called with the lock held. */
static void touch(struct tty *tty)
{
	if (tty->dirty)
		return;
	tty->dirty = true;
	if (!tty->threaded)
		tty->threaded = progress_thread(&tty->thread, run, tty) == 0;
	(void)pthread_cond_signal(&tty->wake);
}

static void tty_changed(struct progress_reader *reader, struct progress_step *step)
{
	(void)step;
	touch((struct tty *)reader);
}

static void tty_text(struct progress_reader *reader, struct progress_step *step, const char *text)
{
	(void)step;
	(void)text;
	touch((struct tty *)reader);
}

static void tty_transfer(struct progress_reader *reader, struct progress_step *step,
			 struct progress_transfer *transfer)
{
	(void)step;
	(void)transfer;
	touch((struct tty *)reader);
}

static void tty_free(struct progress_reader *reader)
{
	struct tty *tty = (struct tty *)reader;

	(void)pthread_mutex_lock(&tty->model->lock);
	atomic_store(&tty->closing, true);
	(void)pthread_cond_signal(&tty->wake);
	(void)pthread_mutex_unlock(&tty->model->lock);
	if (tty->threaded)
		(void)pthread_join(tty->thread, NULL);
	(void)pthread_mutex_lock(&tty->model->lock);
	if (tty->model->n || tty->model->warnings.n)
		(void)draw(tty, true);	/* nobody is left to tell of a terminal that is gone */
	progress_failures_write(tty->model, tty->fd);
	(void)pthread_mutex_unlock(&tty->model->lock);
	progress_frame_done(&tty->last);
	(void)pthread_cond_destroy(&tty->wake);
	free(tty);
}

struct progress_reader *progress_tty_new(struct progress_model *model, int fd)
{
	static const struct progress_ops ops = {
		.changed = tty_changed,
		.line = tty_text,
		.transfer = tty_transfer,
		.warning = tty_text,
		.free = tty_free,
	};
	struct tty *tty = ib_new(struct tty);
	const char *no_colour = getenv("NO_COLOR");	/* no-color.org: any value but the empty one */
	pthread_condattr_t monotonic;

	tty->reader.ops = &ops;
	tty->model = model;
	tty->fd = fd;
	tty->colour = !no_colour || !*no_colour;
	(void)pthread_condattr_init(&monotonic);
	(void)pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
	(void)pthread_cond_init(&tty->wake, &monotonic);
	(void)pthread_condattr_destroy(&monotonic);
	return &tty->reader;
}
