#include "builder/sandbox/sandbox-internal.h"

#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>

#include "oci/base/alloc.h"
#include "oci/base/pool.h"

#include "oci/base/poison.h"

#define CANCEL_POLL_MS 50	/* how often a run that is silent looks for ib_cancelled() */
#define OUTPUT_BLOCK 65536u	/* what a pipe holds */

enum { OUT, ERR, REPORT, CHANNELS };

/* The builder's side of one run. */
struct running {
	struct pollfd channel[CHANNELS];	/* .fd is -1 once closed, which poll ignores */
	sandbox_output_fn *output;
	void *ctx;
	char *block;	/* OUTPUT_BLOCK bytes */
	const char *program;

	struct sandbox_made made;
	struct sandbox_result result;
	bool ended;	/* the launcher reported it */
	bool killed;	/* because of ib_cancelled() */
	bool failed;	/* err holds why the program was not started */
};

static void running_done(struct running *r)
{
	for (int i = 0; i < CHANNELS; i++)
		if (r->channel[i].fd >= 0)
			(void)close(r->channel[i].fd);
	free(r->block);
	sandbox_made_done(&r->made);
}

static void close_fds(int (*fds)[SANDBOX_ORDER_FDS])
{
	for (int i = 0; i < SANDBOX_ORDER_FDS; i++)
		if ((*fds)[i] >= 0)
			(void)close((*fds)[i]);
}

/* One channel of the run: our end into r, the other's into fds. */
static int open_pipe(struct running *r, int channel, int *ret_other, struct ib_err *err)
{
	int ends[2];

	if (pipe2(ends, O_CLOEXEC) < 0)
		return ib_fail_sys(err, errno, "pipe for the output");
	r->channel[channel].fd = ends[0];
	*ret_other = ends[1];
	/* Not the other end: the file is the program's, which does not expect it. */
	if (fcntl(ends[0], F_SETFL, O_NONBLOCK) < 0)
		return ib_fail_sys(err, errno, "pipe for the output");
	return 0;
}

static int start(struct sandbox_launcher *launcher, const struct sandbox_spec *spec, struct running *r,
		 struct ib_err *err)
{
	IB_CLEANUP(close_fds) int fds[SANDBOX_ORDER_FDS] = {-1, -1, -1, -1};
	struct sandbox_order order = {.network_none = spec->network == SANDBOX_NETWORK_NONE};
	int ends[2];

	fds[SANDBOX_ORDER_SPEC] = sandbox_spec_write(spec, &order.spec_size, err);
	if (fds[SANDBOX_ORDER_SPEC] < 0 || open_pipe(r, OUT, &fds[SANDBOX_ORDER_STDOUT], err) < 0 ||
	    open_pipe(r, ERR, &fds[SANDBOX_ORDER_STDERR], err) < 0)
		return -1;
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) < 0)
		return ib_fail_sys(err, errno, "socket to the launcher");
	r->channel[REPORT].fd = ends[0];
	fds[SANDBOX_ORDER_REPORT] = ends[1];
	return sandbox_launcher_order(launcher, &order, fds, err);
}

static void close_channel(struct running *r, int channel)
{
	(void)close(r->channel[channel].fd);
	r->channel[channel].fd = -1;
}

/* Pass on what is there. false: nothing more will come. */
static bool pass_output(struct running *r, int channel)
{
	ssize_t n = read(r->channel[channel].fd, r->block, OUTPUT_BLOCK);

	if (n > 0 && r->output)
		r->output(r->ctx, channel == OUT ? 1 : 2, r->block, (size_t)n);
	return n > 0 || (n < 0 && (errno == EAGAIN || errno == EINTR));
}

/* After the end: only what is in the pipe. Somebody outside may hold its other end, as it is passed around. */
static void pass_rest(struct running *r, int channel)
{
	ssize_t n;

	if (r->channel[channel].fd < 0)
		return;
	while ((n = read(r->channel[channel].fd, r->block, OUTPUT_BLOCK)) > 0)
		if (r->output)
			r->output(r->ctx, channel == OUT ? 1 : 2, r->block, (size_t)n);
}

static void take_exec_failure(struct running *r, int sys, struct ib_err *err)
{
	r->failed = true;
	(void)ib_fail_sys(err, sys, "exec %s", r->program);
	/* The file is there, it was looked up. */
	if (sys == ENOENT)
		(void)ib_err_hint(err, "; its interpreter is missing");
	if (sys == ENOEXEC)
		(void)ib_err_hint(err, "; is it a program for another architecture?");
}

static void take_report(struct running *r, const struct sandbox_report *report, struct ib_err *err)
{
	switch ((enum sandbox_report_kind)report->head.kind) {
	case SANDBOX_REPORT_MADE:
		sandbox_made_add(&r->made, report);
		return;
	case SANDBOX_REPORT_FAILED:
		r->failed = true;
		(void)ib_fail(err, (enum ib_code)report->head.code, "%s", report->text);
		err->sys = report->head.sys;
		return;
	case SANDBOX_REPORT_EXEC:
		take_exec_failure(r, report->head.sys, err);
		return;
	case SANDBOX_REPORT_ENDED:
		r->ended = true;
		r->result = (struct sandbox_result){
			.signalled = report->head.signalled,
			.status = report->head.status,
			.out_of_memory = report->head.out_of_memory,
		};
		return;
	}
}

static int read_report(struct running *r, struct ib_err *err)
{
	struct sandbox_report report;
	ssize_t n = recv(r->channel[REPORT].fd, &report, sizeof report, MSG_DONTWAIT);

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return 0;
	if (n < (ssize_t)sizeof report.head)
		return ib_fail(err, IB_FAILED, "the process that starts commands has gone away");
	if ((size_t)n == sizeof report.head)
		report.text[0] = '\0';
	report.text[SANDBOX_REPORT_TEXT - 1] = '\0';
	take_report(r, &report, err);
	return 0;
}

static void kill_if_cancelled(struct running *r)
{
	if (r->killed || !ib_cancelled())
		return;
	r->killed = true;
	/* Any byte says it. When it cannot be sent the launcher is gone, and the run with it. */
	(void)send(r->channel[REPORT].fd, "", 1, MSG_NOSIGNAL);
}

static int follow(struct running *r, struct ib_err *err)
{
	while (!r->ended) {
		int n = poll(r->channel, CHANNELS, CANCEL_POLL_MS);

		if (n < 0 && errno != EINTR)
			return ib_fail_sys(err, errno, "wait for the command");
		kill_if_cancelled(r);
		for (int i = OUT; n > 0 && i <= ERR; i++)
			if (r->channel[i].revents && !pass_output(r, i))
				close_channel(r, i);
		if (n > 0 && r->channel[REPORT].revents && read_report(r, err) < 0)
			return -1;
	}
	pass_rest(r, OUT);
	pass_rest(r, ERR);
	return 0;
}

static int check_spec(const struct sandbox_spec *spec, struct ib_err *err)
{
	if (spec->argv.n == 0 || !*spec->argv.v[0])
		return ib_fail(err, IB_USAGE, "no command to run");
	if (spec->cwd[0] != '/')
		return ib_fail(err, IB_USAGE, "working directory '%s' is not absolute", spec->cwd);
	return 0;
}

int sandbox_run(struct sandbox_launcher *launcher, const struct sandbox_spec *spec, sandbox_output_fn *output,
		void *ctx, struct sandbox_result *ret_result, struct ib_err *err)
{
	IB_CLEANUP(running_done) struct running r = {
		.channel = { {.fd = -1, .events = POLLIN}, {.fd = -1, .events = POLLIN},
			     {.fd = -1, .events = POLLIN} },
		.output = output, .ctx = ctx,
	};
	ib_autoerr removal = {0};

	if (ib_check_cancelled(err) < 0 || check_spec(spec, err) < 0)
		return -1;
	r.program = spec->argv.v[0];
	r.block = ib_malloc(OUTPUT_BLOCK);
	if (start(launcher, spec, &r, err) < 0 || follow(&r, err) < 0)
		return -1;
	if (sandbox_made_remove(&r.made, spec->upper, &removal) < 0 && !r.failed) {
		r.failed = true;
		ib_err_move(err, &removal);
	}
	if (r.killed)
		return ib_check_cancelled(err);
	if (r.failed)
		return -1;
	*ret_result = r.result;
	return 0;
}
