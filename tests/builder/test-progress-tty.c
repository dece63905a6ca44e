/*
 * The terminal view, seen by a small terminal: a pseudo-terminal whose other end is read into a screen of
 * cells, with the sequences of ECMA-48 and xterm that the view may use. Any other sequence fails the test.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <pty.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "builder/progress/progress.h"
#include "builder/progress/text.h"
#include "oci/base/alloc.h"
#include "oci/base/clock.h"
#include "oci/base/str.h"

#define ROWS_MAX 200
#define COLUMNS_MAX 200

struct screen {
	pthread_mutex_t lock;	/* guards all below */
	int rows, columns;
	int row, column;	/* of the cursor */
	char cell[ROWS_MAX][COLUMNS_MAX + 1];
	char kept[20000];	/* lines that scrolled out at the top */
	char sequence[32];
	size_t in_sequence;	/* bytes of it so far */
	bool hidden, no_wrap, colours, garbage;
	int frames;
	int most_rows;		/* lowest row ever reached */
};

struct fixture {
	struct screen screen;
	struct builder_progress *progress;
	int master, slave;
	pthread_t reader;
	bool reading;
};

static void scroll(struct screen *s)
{
	size_t used = strlen(s->kept);

	(void)snprintf(s->kept + used, sizeof s->kept - used, "%s\n", s->cell[0]);
	memmove(s->cell[0], s->cell[1], (size_t)(s->rows - 1) * sizeof s->cell[0]);
	memset(s->cell[s->rows - 1], 0, sizeof s->cell[0]);
}

static void newline(struct screen *s)
{
	if (++s->row == s->rows) {
		s->row--;
		scroll(s);
	}
	if (s->row > s->most_rows)
		s->most_rows = s->row;
}

static void put_cell(struct screen *s, char c)
{
	size_t len = strlen(s->cell[s->row]);

	if (s->column >= s->columns) {
		s->garbage |= s->no_wrap;	/* the view must cut its lines itself */
		s->column = 0;
		newline(s);
		len = strlen(s->cell[s->row]);
	}
	while (len < (size_t)s->column)
		s->cell[s->row][len++] = ' ';
	s->cell[s->row][s->column++] = c;
}

static void erase_below(struct screen *s)
{
	s->cell[s->row][s->column] = '\0';
	for (int i = s->row + 1; i < s->rows; i++)
		s->cell[i][0] = '\0';
}

static void sequence(struct screen *s, const char *text)
{
	int n;

	if (sscanf(text, "\033[%dA", &n) == 1 && ib_ends(text, "A"))
		s->row = s->row > n ? s->row - n : 0;
	else if (strcmp(text, "\033[K") == 0)
		s->cell[s->row][s->column] = '\0';
	else if (strcmp(text, "\033[J") == 0)
		erase_below(s);
	else if (ib_starts(text, "\033[?25"))
		s->hidden = ib_ends(text, "l");
	else if (ib_starts(text, "\033[?7"))
		s->no_wrap = ib_ends(text, "l");
	else if (ib_ends(text, "m"))
		s->colours = true;
	else
		s->garbage = true;
	if (ib_starts(text, "\033[?25l"))
		s->frames++;
}

static void feed(struct screen *s, char c)
{
	if (s->in_sequence || c == '\033') {
		s->sequence[s->in_sequence++] = c;
		s->sequence[s->in_sequence] = '\0';
		if ((s->in_sequence > 2 && c >= '@') || s->in_sequence > 20) {
			sequence(s, s->sequence);
			s->in_sequence = 0;
		}
	} else if (c == '\r') {
		s->column = 0;
	} else if (c == '\n') {
		newline(s);
	} else if ((unsigned char)c >= ' ' && c != 0x7f) {
		if (((unsigned char)c & 0xc0) != 0x80)	/* one cell for each character of more bytes */
			put_cell(s, (unsigned char)c < 0x80 ? c : '*');
	} else {
		s->garbage = true;
	}
}

static void *read_master(void *arg)
{
	struct fixture *f = arg;
	char buf[4096];
	ssize_t n;

	while ((n = read(f->master, buf, sizeof buf)) > 0) {
		(void)pthread_mutex_lock(&f->screen.lock);
		for (ssize_t i = 0; i < n; i++)
			feed(&f->screen, buf[i]);
		(void)pthread_mutex_unlock(&f->screen.lock);
	}
	return NULL;
}

static void resize(struct fixture *f, int rows, int columns)
{
	struct winsize size = {.ws_row = (unsigned short)rows, .ws_col = (unsigned short)columns};

	(void)pthread_mutex_lock(&f->screen.lock);
	f->screen.rows = rows;
	f->screen.columns = columns;
	assert_int_equal(ioctl(f->master, TIOCSWINSZ, &size), 0);
	(void)pthread_mutex_unlock(&f->screen.lock);
}

static int setup(void **state)
{
	struct fixture *f = ib_new(struct fixture);

	assert_int_equal(setenv("TERM", "xterm", 1), 0);
	assert_int_equal(unsetenv("NO_COLOR"), 0);
	assert_int_equal(openpty(&f->master, &f->slave, NULL, NULL, NULL), 0);
	assert_int_equal(pthread_mutex_init(&f->screen.lock, NULL), 0);
	resize(f, 24, 80);
	*state = f;
	return 0;
}

static struct builder_progress *begin(struct fixture *f)
{
	f->progress = builder_progress_new(BUILDER_PROGRESS_AUTO, f->slave);
	assert_int_equal(pthread_create(&f->reader, NULL, read_master, f), 0);
	f->reading = true;
	return f->progress;
}

/* Close the view; all that it wrote is on the screen afterwards. */
static void finish(struct fixture *f)
{
	builder_progress_free(ib_steal_ptr(&f->progress));
	ib_closep(&f->slave);	/* the reader gets EIO after the last byte */
	f->slave = -1;
	if (f->reading)
		assert_int_equal(pthread_join(f->reader, NULL), 0);
	f->reading = false;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	finish(f);
	ib_closep(&f->master);
	(void)pthread_mutex_destroy(&f->screen.lock);
	free(f);
	return 0;
}

static bool on_screen(struct fixture *f, const char *text)
{
	bool found = false;

	(void)pthread_mutex_lock(&f->screen.lock);
	for (int i = 0; i < f->screen.rows; i++)
		found |= strstr(f->screen.cell[i], text) != NULL;
	(void)pthread_mutex_unlock(&f->screen.lock);
	return found;
}

/* Wait until text is shown: the view draws when it likes, so the test asks until a generous deadline. */
static void await_text(struct fixture *f, const char *text)
{
	int64_t deadline_ns = ib_monotonic_ns() + INT64_C(20000000000);
	const struct timespec pause = {.tv_nsec = 5000000};

	while (!on_screen(f, text)) {
		if (ib_monotonic_ns() > deadline_ns)
			fail_msg("'%s' did not appear", text);
		(void)nanosleep(&pause, NULL);
	}
}

static void say(struct builder_progress *progress, int step, const char *text)
{
	builder_progress_output(progress, step, 1, text, strlen(text));
}

/* Whatever happened, the terminal is left as it was found. */
static void assert_clean(const struct fixture *f)
{
	assert_false(f->screen.garbage);
	assert_false(f->screen.hidden);
	assert_false(f->screen.no_wrap);
	assert_int_equal(f->screen.in_sequence, 0);
	assert_int_equal(f->screen.column, 0);
	assert_string_equal(f->screen.cell[f->screen.row], "");
}

static void the_last_picture_shows_how_every_step_ended(void **state)
{
	struct fixture *f = *state;
	struct builder_progress *p = begin(f);
	ib_autoerr failure = {0};

	(void)builder_progress_step(p, "[1/3] FROM debian");
	(void)builder_progress_step(p, "[2/3] RUN make");
	(void)builder_progress_step(p, "[3/3] RUN false");
	(void)builder_progress_step(p, "never begun");
	builder_progress_cached(p, 1);
	builder_progress_start(p, 2);
	say(p, 2, "compiling\n");
	builder_progress_end(p, 2, NULL);
	(void)ib_fail(&failure, IB_FAILED, "exit code: 1");
	builder_progress_end(p, 3, &failure);
	builder_progress_warning(p, 3, "odd");
	finish(f);
	assert_clean(f);
	assert_true(ib_starts(f->screen.cell[0], "[+] Building 0.") && ib_ends(f->screen.cell[0], "s (3/4) FAILED"));
	assert_true(ib_starts(f->screen.cell[1], " => CACHED [1/3] FROM debian    "));
	assert_true(ib_starts(f->screen.cell[2], " => [2/3] RUN make    "));
	assert_true(ib_starts(f->screen.cell[3], " => ERROR [3/3] RUN false    "));
	assert_string_equal(f->screen.cell[4], "#3 WARN: odd");
	assert_string_equal(f->screen.cell[5], "");
	for (int i = 1; i < 4; i++) {
		assert_int_equal(strlen(f->screen.cell[i]), 80);	/* times end at the right edge */
		assert_int_equal(f->screen.cell[i][79], 's');
	}
	assert_true(f->screen.colours);
}

static void a_running_step_shows_its_last_six_lines(void **state)
{
	struct fixture *f = *state;
	struct builder_progress *p = begin(f);

	(void)builder_progress_step(p, "make");
	builder_progress_start(p, 1);
	for (int i = 1; i <= 20; i++) {
		char text[20];

		(void)snprintf(text, sizeof text, "line %d\n", i);
		say(p, 1, text);
	}
	await_text(f, " => => # line 20");
	assert_true(on_screen(f, "=> => # line 15"));
	assert_false(on_screen(f, "line 14"));
	builder_progress_end(p, 1, NULL);
	finish(f);
	assert_clean(f);
	assert_false(on_screen(f, "line 20"));
	assert_true(on_screen(f, "(1/1) FINISHED"));
}

static void escape_sequences_of_a_container_do_not_reach_the_terminal(void **state)
{
	struct fixture *f = *state;
	struct builder_progress *p = begin(f);

	(void)builder_progress_step(p, "RUN printf '\033[5A\033[?1049h'");
	say(p, 1, "\033[2J\033[1;1H\033]0;owned\007one\b\b\b\a\n\233" "31mtwo\033[999B\n\tthree\n");
	await_text(f, "# \\x9b31mtwo");
	assert_true(on_screen(f, "# one\\x08\\x08\\x08\\x07"));
	assert_true(on_screen(f, "#        three"));
	finish(f);
	assert_clean(f);
}

static void the_picture_fits_a_small_terminal(void **state)
{
	struct fixture *f = *state;
	struct builder_progress *p;

	resize(f, 10, 30);
	p = begin(f);
	for (int i = 1; i <= 40; i++) {
		ib_autofree char *name = ib_asprintf("step %d with a name that is far too long for it", i);
		int step = builder_progress_step(p, name);

		builder_progress_start(p, step);
		say(p, step, "and output that is also wider than this terminal is\n");
		builder_progress_transfer(p, step, "a transfer", 10, 100, false);
		if (i <= 30)
			builder_progress_end(p, step, NULL);
		if (i == 20)
			await_text(f, "step 20");
	}
	await_text(f, "(30/40)");
	(void)pthread_mutex_lock(&f->screen.lock);
	assert_int_equal(f->screen.kept[0], '\0');	/* nothing scrolled out: the head is on top */
	assert_true(ib_starts(f->screen.cell[0], "[+] Building"));
	assert_true(f->screen.most_rows <= 9);
	(void)pthread_mutex_unlock(&f->screen.lock);
	finish(f);
	assert_clean(f);
	/* The final picture is whole, even if it scrolls. */
	assert_non_null(strstr(f->screen.kept, "step 1 with"));
	assert_true(on_screen(f, "step 40 with"));
}

static void a_resized_terminal_is_drawn_anew(void **state)
{
	struct fixture *f = *state;
	struct builder_progress *p = begin(f);

	(void)builder_progress_step(p, "make");
	say(p, 1, "first\n");
	await_text(f, "# first");
	resize(f, 24, 40);
	say(p, 1, "second\n");
	await_text(f, "# second");
	builder_progress_end(p, 1, NULL);
	finish(f);
	assert_clean(f);
	for (int i = 0; i < f->screen.row; i++)
		assert_true(strlen(f->screen.cell[i]) <= 40);
	assert_true(ib_starts(f->screen.cell[f->screen.row - 1], " => make   "));
	assert_int_equal(strlen(f->screen.cell[f->screen.row - 1]), 40);
}

static void transfers_show_bytes_a_bar_and_time(void **state)
{
	struct fixture *f = *state;
	struct builder_progress *p = begin(f);

	resize(f, 24, 100);
	(void)builder_progress_step(p, "pull");
	builder_progress_transfer(p, 1, "layer", 10000000, 40000000, false);
	await_text(f, "=> => layer");
	assert_true(on_screen(f, " [=====               ] 10.0MB / 40.0MB "));
	builder_progress_transfer(p, 1, "layer", 40000000, 40000000, true);
	await_text(f, " 40.0MB / 40.0MB ");
	finish(f);
	assert_clean(f);
}

static void no_color_is_respected(void **state)
{
	struct fixture *f = *state;
	struct builder_progress *p;

	assert_int_equal(setenv("NO_COLOR", "1", 1), 0);
	p = begin(f);
	builder_progress_cached(p, builder_progress_step(p, "make"));
	finish(f);
	assert_int_equal(unsetenv("NO_COLOR"), 0);
	assert_true(on_screen(f, "CACHED make"));
	assert_false(f->screen.colours);
}

static void a_dumb_terminal_gets_plain_text(void **state)
{
	struct fixture *f = *state;
	struct builder_progress *p;

	assert_int_equal(setenv("TERM", "dumb", 1), 0);
	p = begin(f);
	builder_progress_cached(p, builder_progress_step(p, "make"));
	finish(f);
	assert_string_equal(f->screen.cell[0], "#1 make");
	assert_string_equal(f->screen.cell[1], "#1 CACHED");
	assert_int_equal(f->screen.frames, 0);
}

static void a_busy_build_is_drawn_ten_times_a_second_at_most(void **state)
{
	struct fixture *f = *state;
	struct builder_progress *p = begin(f);
	int64_t began_ns = ib_monotonic_ns();
	double seconds;

	(void)builder_progress_step(p, "make");
	do
		say(p, 1, "line\n");
	while (ib_monotonic_ns() - began_ns < INT64_C(1000000000));
	finish(f);
	seconds = (double)(ib_monotonic_ns() - began_ns) / 1e9;
	assert_true(f->screen.frames >= 3);
	assert_true(f->screen.frames <= 10 * seconds + 2);	/* and the final one */
}

static void a_terminal_that_takes_nothing_does_not_stop_the_build(void **state)
{
	struct fixture *f = *state;

	/* Nobody reads the master: the view's thread fills it and waits. */
	f->progress = builder_progress_new(BUILDER_PROGRESS_TTY, f->slave);
	(void)builder_progress_step(f->progress, "make");
	for (int round = 0; round < 20; round++) {
		const struct timespec pause = {.tv_nsec = 20000000};

		for (int i = 0; i < 5000; i++)
			say(f->progress, 1, "a line of text that is not all that short, to fill the buffer\n");
		(void)nanosleep(&pause, NULL);
	}
	builder_progress_end(f->progress, 1, NULL);
	assert_int_equal(pthread_create(&f->reader, NULL, read_master, f), 0);
	f->reading = true;
	finish(f);
	assert_clean(f);
	assert_true(on_screen(f, "(1/1) FINISHED"));
}

static void text_is_cut_by_cells_not_bytes(void **state)
{
	static const struct {
		const char *in;
		size_t width;
		const char *out;
		size_t cells;
	} cases[] = {
		{"abc", 3, "abc", 3},
		{"abcd", 3, "ab\342\200\246", 3},
		{"gr\303\274n", 4, "gr\303\274n", 4},
		{"\346\227\245\346\234\254", 4, "\346\227\245\346\234\254", 4},	/* two cells each */
		{"\346\227\245\346\234\254", 3, "\346\227\245\342\200\246", 3},
		{"e\314\201x", 2, "e\314\201x", 2},	/* a combining accent takes none */
		{"a\tb", 9, "a       b", 9},
		{"abc", 0, "", 0},
	};

	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		ib_autostr out = IB_STR(100);

		assert_int_equal(progress_text_fit(&out, cases[i].in, cases[i].width), cases[i].cells);
		assert_string_equal(out.s ? out.s : "", cases[i].out);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(the_last_picture_shows_how_every_step_ended, setup, teardown),
		cmocka_unit_test_setup_teardown(a_running_step_shows_its_last_six_lines, setup, teardown),
		cmocka_unit_test_setup_teardown(escape_sequences_of_a_container_do_not_reach_the_terminal, setup,
						teardown),
		cmocka_unit_test_setup_teardown(the_picture_fits_a_small_terminal, setup, teardown),
		cmocka_unit_test_setup_teardown(a_resized_terminal_is_drawn_anew, setup, teardown),
		cmocka_unit_test_setup_teardown(transfers_show_bytes_a_bar_and_time, setup, teardown),
		cmocka_unit_test_setup_teardown(no_color_is_respected, setup, teardown),
		cmocka_unit_test_setup_teardown(a_dumb_terminal_gets_plain_text, setup, teardown),
		cmocka_unit_test_setup_teardown(a_busy_build_is_drawn_ten_times_a_second_at_most, setup, teardown),
		cmocka_unit_test_setup_teardown(a_terminal_that_takes_nothing_does_not_stop_the_build, setup,
						teardown),
		cmocka_unit_test(text_is_cut_by_cells_not_bytes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
