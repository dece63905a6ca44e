/*
 * The stream of events and its readers but the terminal view. Expected text is that of BuildKit's
 * "plain progress" and of BuildKit's client.SolveStatus.
 */
#include <fcntl.h>
#include <pthread.h>
#include <regex.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "builder/progress/progress.h"
#include "builder/progress/text.h"
#include "oci/base/alloc.h"
#include "oci/base/fd.h"
#include "oci/base/json.h"
#include "oci/base/str.h"

#define READ_MAX (64u << 20)

struct fixture {
	struct builder_progress *progress;
	int file;	/* what the reader wrote to */
};

static int temp_file(void)
{
	const char *dir = getenv("TMPDIR");
	ib_autofree char *path = ib_asprintf("%s/progress.XXXXXX", dir ? dir : "/tmp");
	int fd = mkstemp(path);

	assert_true(fd >= 0);
	assert_int_equal(unlink(path), 0);
	return fd;
}

static int setup(void **state)
{
	struct fixture *f = ib_new(struct fixture);

	f->file = temp_file();
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	builder_progress_free(f->progress);
	ib_closep(&f->file);
	free(f);
	return 0;
}

static struct builder_progress *begin(struct fixture *f, enum builder_progress_mode mode)
{
	return f->progress = builder_progress_new(mode, f->file);
}

static char *read_back(int fd)
{
	ib_autoerr err = {0};
	char *text;
	size_t len;

	assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
	assert_int_equal(ib_read_all(fd, READ_MAX, "output", &text, &len, &err), 0);
	return text;
}

/* Close the stream; the text that it wrote, times replaced by T. */
static char *finish(struct fixture *f)
{
	ib_autofree char *text = NULL;
	ib_autostr out = IB_STR(READ_MAX);
	regmatch_t m;
	regex_t times;

	builder_progress_free(ib_steal_ptr(&f->progress));
	text = read_back(f->file);
	assert_int_equal(regcomp(&times, "[0-9]+\\.[0-9]{3} |[0-9]+\\.[0-9]s|[0-9]+\\.[0-9]{3}$",
				 REG_EXTENDED | REG_NEWLINE), 0);
	for (const char *p = text; *p;) {
		bool hit = regexec(&times, p, 1, &m, 0) == 0;

		ib_str_add(&out, p, hit ? (size_t)m.rm_so : strlen(p));
		if (!hit)
			break;
		ib_str_adds(&out, p[m.rm_eo - 1] == ' ' ? "T " : "T");
		p += m.rm_eo;
	}
	regfree(&times);
	return ib_str_steal(&out);
}

static void say(struct builder_progress *progress, int step, const char *text)
{
	builder_progress_output(progress, step, 1, text, strlen(text));
}

static void modes_have_the_names_of_buildx(void **state)
{
	static const struct {
		const char *name;
		enum builder_progress_mode mode;
	} good[] = {{"auto", BUILDER_PROGRESS_AUTO},	   {"tty", BUILDER_PROGRESS_TTY},
		    {"plain", BUILDER_PROGRESS_PLAIN},	   {"rawjson", BUILDER_PROGRESS_RAWJSON},
		    {"quiet", BUILDER_PROGRESS_QUIET},	   {"none", BUILDER_PROGRESS_QUIET}};
	enum builder_progress_mode mode;
	ib_autoerr err = {0};

	(void)state;
	for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
		assert_int_equal(builder_progress_mode_parse(good[i].name, &mode, &err), 0);
		assert_int_equal(mode, good[i].mode);
	}
	assert_int_equal(builder_progress_mode_parse("fancy\033", &mode, &err), -1);
	assert_int_equal(err.code, IB_USAGE);
	assert_string_equal(err.text,
			    "unknown progress mode 'fancy\\x1b': use auto, tty, plain, rawjson or quiet");
}

static void plain_shows_steps_as_buildkit_does(void **state)
{
	struct fixture *f = *state;
	struct builder_progress *p = begin(f, BUILDER_PROGRESS_PLAIN);
	ib_autofree char *text = NULL;
	ib_autoerr failure = {0};
	ib_autoerr stop = {0};

	assert_int_equal(builder_progress_step(p, "[1/4] FROM debian"), 1);
	assert_int_equal(builder_progress_step(p, "[2/4] RUN make"), 2);
	assert_int_equal(builder_progress_step(p, "[3/4] RUN false"), 3);
	assert_int_equal(builder_progress_step(p, "[4/4] RUN sleep"), 4);
	assert_int_equal(builder_progress_step(p, "never begun"), 5);
	builder_progress_cached(p, 1);
	builder_progress_start(p, 2);
	say(p, 2, "cc a.c\n");
	builder_progress_end(p, 2, NULL);
	builder_progress_start(p, 3);
	(void)ib_fail(&failure, IB_FAILED, "exit code: 1");
	builder_progress_end(p, 3, &failure);
	(void)ib_fail(&stop, IB_CANCELLED, "interrupted");
	builder_progress_end(p, 4, &stop);
	text = finish(f);
	assert_string_equal(text, "#1 [1/4] FROM debian\n"
				  "#1 CACHED\n"
				  "\n"
				  "#2 [2/4] RUN make\n"
				  "#2 T cc a.c\n"
				  "#2 DONE T\n"
				  "\n"
				  "#3 [3/4] RUN false\n"
				  "#3 ERROR: exit code: 1\n"
				  "\n"
				  "#4 [4/4] RUN sleep\n"
				  "#4 CANCELED\n");
}

static void output_is_put_together_to_lines_however_it_is_cut(void **state)
{
	static const char bytes[] = "one\r\n\ntwo\n10%\r20%\r\nend";
	struct fixture *f = *state;
	struct builder_progress *p = begin(f, BUILDER_PROGRESS_PLAIN);
	ib_autofree char *text = NULL;
	ib_autostr want = IB_STR(READ_MAX);

	for (size_t cut = 1; cut < sizeof bytes; cut++) {
		int step = builder_progress_step(p, "s");

		for (size_t i = 0; i < sizeof bytes - 1; i += cut) {
			size_t rest = sizeof bytes - 1 - i;

			builder_progress_output(p, step, 1, bytes + i, rest < cut ? rest : cut);
		}
		builder_progress_end(p, step, NULL);
		ib_str_addf(&want, "%s#%d s\n", step > 1 ? "\n" : "", step);
		ib_str_addf(&want, "#%d T one\n#%d T\n#%d T two\n", step, step, step);
		ib_str_addf(&want, "#%d T 10%%\n#%d T 20%%\n#%d T end\n#%d DONE T\n", step, step, step, step);
	}
	text = finish(f);
	assert_string_equal(text, want.s);
}

static void streams_do_not_mix_within_a_line(void **state)
{
	struct fixture *f = *state;
	struct builder_progress *p = begin(f, BUILDER_PROGRESS_PLAIN);
	ib_autofree char *text = NULL;
	int step = builder_progress_step(p, "s");

	builder_progress_output(p, step, 1, "out", 3);
	builder_progress_output(p, step, 2, "err\n", 4);
	builder_progress_output(p, step, 1, "put\n", 4);
	text = finish(f);
	assert_string_equal(text, "#1 s\n#1 T err\n#1 T output\n");
}

static void bytes_of_a_container_cannot_hurt(void **state)
{
	static const struct {
		const char *in, *out;
	} cases[] = {
		{"a\tb", "a\tb"},
		{"\033[1;31mred\033[0m", "red"},	/* ECMA-48 SGR */
		{"\033]0;title\007x", "x"},		/* xterm: set title */
		{"\033]8;;http://h\033\\link\033]8;;\033\\", "link"},
		{"\033Pq#0\033\\x", "x"},		/* DCS */
		{"\033(Bx\0337y\033cz", "xyz"},		/* charset, save cursor, reset */
		{"\033[2J\033[999Ax", "x"},
		{"\033]0;open", "\\x1b]0;open"},	/* never closed: kept in sight */
		{"\033[12", "\\x1b[12"},
		{"\033", "\\x1b"},
		{"\033\033[mx", "\\x1bx"},
		{"\a\b\177", "\\x07\\x08\\x7f"},
		{"\302\233" "2Jx", "\\xc2\\x9b2Jx"},	/* C1 CSI as UTF-8 */
		{"\233" "2Jx", "\\x9b2Jx"},
		{"gr\303\274n \342\202\254 \360\237\230\200", "gr\303\274n \342\202\254 \360\237\230\200"},
		{"\300\257", "\\xc0\\xaf"},		/* overlong */
		{"\355\240\200", "\\xed\\xa0\\x80"},	/* surrogate */
		{"\364\220\200\200", "\\xf4\\x90\\x80\\x80"},
		{"\342\202", "\\xe2\\x82"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		ib_autostr out = IB_STR(1000);

		progress_text_add(&out, cases[i].in, strlen(cases[i].in));
		assert_string_equal(out.s, cases[i].out);
	}
}

static void a_long_line_is_split_between_characters_and_nothing_is_lost(void **state)
{
	struct fixture *f = *state;
	struct builder_progress *p = begin(f, BUILDER_PROGRESS_PLAIN);
	ib_autofree char *text = NULL;
	size_t euros = 0, lines = 0;

	(void)builder_progress_step(p, "s");
	for (int i = 0; i < 100000; i++)
		say(p, 1, "\342\202\254");
	builder_progress_end(p, 1, NULL);
	text = finish(f);
	assert_null(strstr(text, "\\x"));
	for (const char *c = text; *c; c++) {
		euros += strncmp(c, "\342\202\254", 3) == 0;
		lines += *c == '\n';
	}
	assert_int_equal(euros, 100000);
	assert_true(lines > 300000 / (16 << 10) && lines < 30);
}

static void names_and_errors_are_one_line(void **state)
{
	struct fixture *f = *state;
	struct builder_progress *p = begin(f, BUILDER_PROGRESS_PLAIN);
	ib_autofree char *text = NULL;
	ib_autoerr failure = {0};

	(void)builder_progress_step(p, "RUN <<EOF\necho \033[2J\nEOF");
	(void)ib_fail(&failure, IB_FAILED, "a\nb");
	builder_progress_end(p, 1, &failure);
	text = finish(f);
	assert_string_equal(text, "#1 RUN <<EOF echo  EOF\n#1 ERROR: a b\n");
}

static void a_warning_is_shown_once(void **state)
{
	struct fixture *f = *state;
	struct builder_progress *p = begin(f, BUILDER_PROGRESS_PLAIN);
	ib_autofree char *text = NULL;

	(void)builder_progress_step(p, "s");
	builder_progress_warning(p, 1, "odd");
	builder_progress_warning(p, 1, "odd");
	builder_progress_warning(p, 0, "odd");
	builder_progress_warning(p, 0, "odd");
	text = finish(f);
	assert_string_equal(text, "#1 s\n#1 WARN: odd\nWARN: odd\n");
}

static void a_transfer_is_shown_at_its_end(void **state)
{
	struct fixture *f = *state;
	struct builder_progress *p = begin(f, BUILDER_PROGRESS_PLAIN);
	ib_autofree char *id = ib_asprintf("sha256:%064d", 7);
	ib_autofree char *text = NULL;

	(void)builder_progress_step(p, "pull");
	for (int i = 0; i < 1000; i++)
		builder_progress_transfer(p, 1, id, i * 40000, 40000000, false);
	builder_progress_transfer(p, 1, id, 40000000, 40000000, true);
	builder_progress_transfer(p, 1, "extracting", 0, 0, true);
	builder_progress_transfer(p, 1, "exporting", 999, 0, true);
	text = finish(f);
	assert_string_equal(text, "#1 pull\n"
				  "#1 sha256:000000000000 40.0MB / 40.0MB T done\n"
				  "#1 extracting T done\n"
				  "#1 exporting 999B T done\n");
}

static void sizes_are_decimal(void **state)
{
	static const struct {
		int64_t bytes;
		const char *text;
	} cases[] = {{0, "0B"},		     {999, "999B"},	    {1000, "1.0kB"},
		     {12500000, "12.5MB"},   {999949, "999.9kB"},   {999951, "1.0MB"},
		     {INT64_MAX, "9.2EB"}};
	char buf[32];

	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
		assert_string_equal(progress_size(cases[i].bytes, buf), cases[i].text);
}

static void the_tail_is_the_last_fifty_lines(void **state)
{
	struct fixture *f = *state;
	struct builder_progress *p = begin(f, BUILDER_PROGRESS_QUIET);
	ib_autofree char *written = NULL;
	ib_autostr want = IB_STR(10000);
	ib_autoerr failure = {0};

	(void)builder_progress_step(p, "s");
	ib_str_adds(&want, "------\n > s:\n");
	for (int i = 0; i < 120; i++) {
		ib_autofree char *line = ib_asprintf("line %d\n", i);

		say(p, 1, line);
		if (i >= 72)
			ib_str_adds(&want, line);
	}
	say(p, 1, "1%\r2%\r100%\r\nlast");	/* a bar is one line on a terminal */
	ib_str_adds(&want, "100%\nlast\n------\n");
	(void)ib_fail(&failure, IB_FAILED, "exit code: 1");
	builder_progress_end(p, 1, &failure);
	written = finish(f);
	assert_string_equal(written, want.s);
}

static void a_step_that_is_not_there_is_ignored(void **state)
{
	struct fixture *f = *state;
	struct builder_progress *p = begin(f, BUILDER_PROGRESS_PLAIN);
	ib_autofree char *text = NULL;

	say(p, 1, "x\n");
	builder_progress_end(p, 0, NULL);
	builder_progress_transfer(p, -1, "x", 1, 1, true);
	text = finish(f);
	assert_string_equal(text, "");
}

static void a_step_ends_once(void **state)
{
	struct fixture *f = *state;
	struct builder_progress *p = begin(f, BUILDER_PROGRESS_PLAIN);
	ib_autofree char *text = NULL;
	ib_autoerr failure = {0};

	(void)builder_progress_step(p, "s");
	(void)ib_fail(&failure, IB_FAILED, "no");
	builder_progress_end(p, 1, &failure);
	builder_progress_end(p, 1, &failure);
	builder_progress_end(p, 1, NULL);
	builder_progress_cached(p, 1);
	text = finish(f);
	assert_string_equal(text, "#1 s\n#1 ERROR: no\n");
}

static void without_a_terminal_auto_and_tty_are_plain(void **state)
{
	static const enum builder_progress_mode modes[] = {BUILDER_PROGRESS_AUTO, BUILDER_PROGRESS_TTY};
	struct fixture *f = *state;

	for (size_t i = 0; i < 2; i++) {
		ib_autofree char *text = NULL;

		assert_int_equal(ftruncate(f->file, 0), 0);
		assert_int_equal(lseek(f->file, 0, SEEK_SET), 0);
		(void)begin(f, modes[i]);
		builder_progress_cached(f->progress, builder_progress_step(f->progress, "s"));
		text = finish(f);
		assert_string_equal(text, "#1 s\n#1 CACHED\n");
	}
}

static void *read_pipe(void *arg)
{
	const int *fd = arg;
	struct ib_str *all = ib_new(struct ib_str);
	char buf[8192];
	ssize_t n;

	all->max = READ_MAX;
	while ((n = read(*fd, buf, sizeof buf)) > 0)
		ib_str_add(all, buf, (size_t)n);
	return all;
}

static void nothing_is_lost_when_nobody_reads_for_a_while(void **state)
{
	enum { LINES = 200000 };	/* about 5 MB: far more than a pipe and the memory limit hold */
	struct ib_str *all;
	pthread_t reader;
	void *result;
	int ends[2];
	const char *line;

	(void)state;
	assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
	struct builder_progress *p = builder_progress_new(BUILDER_PROGRESS_PLAIN, ends[1]);

	(void)builder_progress_step(p, "s");
	for (int i = 0; i < LINES; i++) {
		char text[40];

		(void)snprintf(text, sizeof text, "this is line %d\n", i);
		say(p, 1, text);	/* would hang here if it waited for the reader */
	}
	builder_progress_end(p, 1, NULL);
	assert_int_equal(pthread_create(&reader, NULL, read_pipe, &ends[0]), 0);
	builder_progress_free(p);
	assert_int_equal(close(ends[1]), 0);
	assert_int_equal(pthread_join(reader, &result), 0);
	all = result;
	assert_int_equal(close(ends[0]), 0);
	line = all->s;
	for (int i = 0; i < LINES; i++) {
		char text[40];

		(void)snprintf(text, sizeof text, " this is line %d\n", i);
		line = strchr(line, '\n') + 1;
		assert_int_equal(strncmp(strchr(strchr(line, ' ') + 1, ' '), text, strlen(text)), 0);
	}
	assert_non_null(strstr(line, "#1 DONE "));
	ib_str_done(all);
	free(all);
}

static void a_reader_that_went_away_ends_nothing(void **state)
{
	int ends[2];

	(void)state;
	assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
	struct builder_progress *p = builder_progress_new(BUILDER_PROGRESS_PLAIN, ends[1]);

	assert_int_equal(close(ends[0]), 0);
	(void)builder_progress_step(p, "s");
	for (int i = 0; i < 100000; i++)
		say(p, 1, "x\n");
	builder_progress_free(p);	/* SIGPIPE would have ended the test */
	assert_int_equal(close(ends[1]), 0);
}

struct talker {
	struct builder_progress *progress;
	int step;
};

#define TALK 2000

static void *talk(void *arg)
{
	struct talker *talker = arg;

	builder_progress_start(talker->progress, talker->step);
	for (int i = 0; i < TALK; i++) {
		char text[40];
		int n = snprintf(text, sizeof text, "step %d line %d\n", talker->step, i);

		builder_progress_output(talker->progress, talker->step, 1, text, (size_t)n / 2);
		builder_progress_output(talker->progress, talker->step, 1, text + n / 2, (size_t)(n - n / 2));
		builder_progress_transfer(talker->progress, talker->step, "t", i, TALK, i == TALK - 1);
	}
	builder_progress_warning(talker->progress, 0, "same");
	builder_progress_end(talker->progress, talker->step, NULL);
	return talker;
}

static void threads_do_not_break_each_others_lines(void **state)
{
	struct fixture *f = *state;
	struct builder_progress *p = begin(f, BUILDER_PROGRESS_PLAIN);
	struct talker talkers[4];
	pthread_t threads[4];
	ib_autofree char *text = NULL;
	const char *line;
	int next[5] = {0};

	for (int i = 0; i < 4; i++) {
		talkers[i] = (struct talker){p, builder_progress_step(p, "talk")};
		assert_int_equal(pthread_create(&threads[i], NULL, talk, &talkers[i]), 0);
	}
	for (int i = 0; i < 4; i++) {
		void *result;

		assert_int_equal(pthread_join(threads[i], &result), 0);
		assert_ptr_equal(result, &talkers[i]);
	}
	text = finish(f);
	for (line = text; line && *line; line = strchr(line, '\n'), line = line ? line + 1 : NULL) {
		int number, named, count;

		if (sscanf(line, "#%d T step %d line %d\n", &number, &named, &count) != 3)
			continue;
		assert_int_equal(number, named);
		assert_int_equal(count, next[number]++);
	}
	for (int i = 1; i <= 4; i++)
		assert_int_equal(next[i], TALK);
	assert_non_null(strstr(text, "WARN: same\n"));
	assert_null(strstr(strstr(text, "WARN: same\n") + 1, "WARN: same\n"));
}

/* Member key of the one element of the one array of a line. */
static const struct ib_json *record(const struct ib_json *line, const char *kind)
{
	const struct ib_json *array = ib_json_get(line, kind);

	assert_int_equal(line->n, 1);
	if (!array)
		return NULL;
	assert_int_equal(array->n, 1);
	return array->child[0];
}

static void rawjson_lines_are_buildkits_solve_status(void **state)
{
	static const char *const kinds[] = {"vertexes", "vertexes", "logs",	 "statuses",
					    "warnings", "vertexes", "vertexes", "vertexes"};
	struct fixture *f = *state;
	struct builder_progress *p = begin(f, BUILDER_PROGRESS_RAWJSON);
	ib_autofree char *text = NULL;
	ib_autoerr failure = {0};
	const char *vertex = NULL;
	char *save = NULL;
	size_t n = 0;

	(void)builder_progress_step(p, "one");
	builder_progress_start(p, 1);
	builder_progress_output(p, 1, 2, "a\377\n", 3);	/* RFC 4648: Yf8K */
	builder_progress_transfer(p, 1, "blob", 5, 5, true);
	builder_progress_warning(p, 0, "hm");		/* aG0= */
	(void)ib_fail(&failure, IB_FAILED, "exit code: 3");
	builder_progress_end(p, 1, &failure);
	(void)builder_progress_step(p, "two");
	builder_progress_cached(p, 2);
	builder_progress_free(ib_steal_ptr(&f->progress));
	text = read_back(f->file);
	for (char *line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save), n++) {
		ib_autojson *json = ib_json_parse(line, strlen(line), &failure);
		const struct ib_json *r = json ? record(json, n < 8 ? kinds[n] : "vertexes") : NULL;
		int64_t number;

		assert_non_null(r);
		if (n == 0) {
			assert_string_equal(ib_json_get_string(r, "name"), "one");
			vertex = ib_strdup(ib_json_get_string(r, "digest"));
			assert_true(ib_starts(vertex, "sha256:"));
			assert_null(ib_json_get(r, "started"));
		} else if (n == 1) {
			assert_non_null(ib_json_get_string(r, "started"));
			assert_null(ib_json_get(r, "completed"));
		} else if (n == 2) {
			assert_string_equal(ib_json_get_string(r, "vertex"), vertex);
			assert_string_equal(ib_json_get_string(r, "data"), "Yf8K");
			assert_true(ib_json_get_int(r, "stream", &number) && number == 2);
		} else if (n == 3) {
			assert_string_equal(ib_json_get_string(r, "id"), "blob");
			assert_true(ib_json_get_int(r, "current", &number) && number == 5);
			assert_non_null(ib_json_get_string(r, "completed"));
		} else if (n == 4) {
			assert_string_equal(ib_json_get_string(r, "short"), "aG0=");
		} else if (n == 5) {
			assert_string_equal(ib_json_get_string(r, "digest"), vertex);
			assert_string_equal(ib_json_get_string(r, "error"), "exit code: 3");
			assert_non_null(ib_json_get_string(r, "completed"));
		}
	}
	free((char *)(uintptr_t)vertex);
	assert_non_null(strstr(text, "{"));
	assert_int_equal(n, 9);	/* "two" is announced, started, cached */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(modes_have_the_names_of_buildx),
		cmocka_unit_test_setup_teardown(plain_shows_steps_as_buildkit_does, setup, teardown),
		cmocka_unit_test_setup_teardown(output_is_put_together_to_lines_however_it_is_cut, setup, teardown),
		cmocka_unit_test_setup_teardown(streams_do_not_mix_within_a_line, setup, teardown),
		cmocka_unit_test(bytes_of_a_container_cannot_hurt),
		cmocka_unit_test_setup_teardown(a_long_line_is_split_between_characters_and_nothing_is_lost, setup,
						teardown),
		cmocka_unit_test_setup_teardown(names_and_errors_are_one_line, setup, teardown),
		cmocka_unit_test_setup_teardown(a_warning_is_shown_once, setup, teardown),
		cmocka_unit_test_setup_teardown(a_transfer_is_shown_at_its_end, setup, teardown),
		cmocka_unit_test(sizes_are_decimal),
		cmocka_unit_test_setup_teardown(the_tail_is_the_last_fifty_lines, setup, teardown),
		cmocka_unit_test_setup_teardown(a_step_that_is_not_there_is_ignored, setup, teardown),
		cmocka_unit_test_setup_teardown(a_step_ends_once, setup, teardown),
		cmocka_unit_test_setup_teardown(without_a_terminal_auto_and_tty_are_plain, setup, teardown),
		cmocka_unit_test(nothing_is_lost_when_nobody_reads_for_a_while),
		cmocka_unit_test(a_reader_that_went_away_ends_nothing),
		cmocka_unit_test_setup_teardown(threads_do_not_break_each_others_lines, setup, teardown),
		cmocka_unit_test_setup_teardown(rawjson_lines_are_buildkits_solve_status, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
