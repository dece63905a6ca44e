#include "registry/credential-helper.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "oci/base/alloc.h"
#include "oci/base/clock.h"
#include "oci/base/fd.h"
#include "oci/base/json.h"
#include "oci/base/pool.h"
#include "oci/base/str.h"

#include "oci/base/poison.h"

#define MAX_ANSWER_BYTES 65536	/* tokens of 8 KiB are the longest secrets seen */
#define POLL_MS 100		/* how late a cancellation may be noticed */

extern char **environ;

struct helper {
	const char *program;
	pid_t pid;	/* also its process group; 0 when not running */
	int out;	/* its standard output */
	int64_t deadline_ns;
};

/* Kill what is left of the helper and its children, and wait for it. */
static void helper_done(struct helper *h)
{
	if (h->pid > 0) {
		(void)kill(-h->pid, SIGKILL);	/* may be gone already */
		while (waitpid(h->pid, NULL, 0) < 0 && errno == EINTR)
			;
	}
	ib_closep(&h->out);
}

/* A file with text in it, read from its start: a pipe could block us, or kill us when nobody reads. */
static int text_fd(const char *text, struct ib_err *err)
{
	ib_autoclose int fd = memfd_create("server", MFD_CLOEXEC);

	if (fd < 0 || ib_write_full(fd, text, strlen(text)) < 0 || lseek(fd, 0, SEEK_SET) < 0)
		return ib_fail_sys(err, errno, "pass the server to a credential helper");
	return ib_steal_fd(&fd);
}

static int spawn(struct helper *h, int in, int out)
{
	char *argv[] = {ib_strdup(h->program), ib_strdup("get"), NULL};
	posix_spawn_file_actions_t files;
	posix_spawnattr_t attr;
	sigset_t none, all;
	int sys;

	sigemptyset(&none);
	sigfillset(&all);
	posix_spawn_file_actions_init(&files);
	posix_spawn_file_actions_adddup2(&files, in, 0);
	posix_spawn_file_actions_adddup2(&files, out, 1);
	posix_spawn_file_actions_addopen(&files, 2, "/dev/null", O_WRONLY, 0);
	posix_spawnattr_init(&attr);
	/* Our workers block every signal and may ignore SIGPIPE; the helper must start like any program. */
	posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETPGROUP);
	posix_spawnattr_setsigmask(&attr, &none);
	posix_spawnattr_setsigdefault(&attr, &all);
	posix_spawnattr_setpgroup(&attr, 0);
	sys = posix_spawnp(&h->pid, h->program, &files, &attr, argv, environ);
	if (sys)
		h->pid = 0;
	posix_spawnattr_destroy(&attr);
	posix_spawn_file_actions_destroy(&files);
	free(argv[0]);
	free(argv[1]);
	return sys;
}

static int start(struct helper *h, const char *server, struct ib_err *err)
{
	ib_autoclose int in = text_fd(server, err);
	int ends[2], sys;

	if (in < 0)
		return -1;
	if (pipe2(ends, O_CLOEXEC) < 0)
		return ib_fail_sys(err, errno, "make a pipe");
	h->out = ends[0];
	sys = spawn(h, in, ends[1]);
	(void)close(ends[1]);
	return sys ? ib_fail_sys(err, sys, "cannot run %s", h->program) : 0;
}

/* Wait until fd is readable. */
static int wait_readable(const struct helper *h, int fd, struct ib_err *err)
{
	for (;;) {
		struct pollfd p = {.fd = fd, .events = POLLIN};

		if (ib_check_cancelled(err) < 0)
			return -1;
		if (ib_monotonic_ns() >= h->deadline_ns)
			return ib_fail(err, IB_FAILED, "%s did not answer in time", h->program);
		if (poll(&p, 1, POLL_MS) > 0)
			return 0;
	}
}

static int read_answer(const struct helper *h, struct ib_str *answer, struct ib_err *err)
{
	char buf[4096];
	ssize_t n;

	for (;;) {
		if (wait_readable(h, h->out, err) < 0)
			return -1;
		n = read(h->out, buf, sizeof buf);
		if (n > 0)
			ib_str_add(answer, buf, (size_t)n);
		explicit_bzero(buf, sizeof buf);
		if (n == 0)
			return 0;
		if (n < 0 && errno != EINTR)
			return ib_fail_sys(err, errno, "read the answer of %s", h->program);
		if (answer->overflow)
			return ib_fail(err, IB_LIMIT, "%s answers with over %d bytes", h->program, MAX_ANSWER_BYTES);
	}
}

/* The exit status, 128 for a signal, or -1 with err. */
static int wait_exit(struct helper *h, struct ib_err *err)
{
	ib_autoclose int pidfd = (int)syscall(SYS_pidfd_open, h->pid, 0);
	int status;

	if (pidfd < 0)
		return ib_fail_sys(err, errno, "wait for %s", h->program);
	if (wait_readable(h, pidfd, err) < 0)
		return -1;
	while (waitpid(h->pid, &status, 0) < 0)
		if (errno != EINTR)
			return ib_fail_sys(err, errno, "wait for %s", h->program);
	h->pid = 0;
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128;
}

static int parse_answer(const struct helper *h, const struct ib_str *answer, struct registry_credential *ret_cred,
			struct ib_err *err)
{
	ib_autoerr why = {0};	/* would quote the answer, which holds the secret */
	ib_autojson *json = ib_json_parse(answer->s ? answer->s : "", answer->len, &why);
	const char *user = json ? ib_json_get_string(json, "Username") : NULL;
	const char *secret = json ? ib_json_get_string(json, "Secret") : NULL;

	if (!user || !secret)
		return ib_fail(err, IB_INVALID, "%s does not answer with a Username and a Secret", h->program);
	*ret_cred = (struct registry_credential){
		.kind = strcmp(user, "<token>") == 0 ? REGISTRY_IDENTITY_TOKEN : REGISTRY_PASSWORD,
		.user = ib_strdup(user),
		.secret = ib_strdup(secret),
		.origin = ib_strdup(h->program),
	};
	return 1;
}

/* A helper's way to say "none" is a failure with these words on standard output. */
static bool says_not_found(const struct ib_str *answer)
{
	return answer->s && strstr(answer->s, "credentials not found");
}

static void answer_done(struct ib_str *answer)
{
	if (answer->s)
		explicit_bzero(answer->s, answer->cap);
	ib_str_done(answer);
}

int registry_credential_helper_get(const char *name, const char *server, int timeout_ms,
				   struct registry_credential *ret_cred, struct ib_err *err)
{
	ib_autofree char *shown = ib_printable(name, 64);
	ib_autofree char *program = ib_asprintf("docker-credential-%s", shown);
	IB_CLEANUP(answer_done) struct ib_str answer = IB_STR(MAX_ANSWER_BYTES);
	IB_CLEANUP(helper_done) struct helper h = {
		.program = program,
		.out = -1,
		.deadline_ns = ib_monotonic_ns() + (int64_t)timeout_ms * 1000000,
	};
	int status;

	if (!*name || strchr(name, '/') || strcmp(name, shown) != 0)
		return ib_fail(err, IB_USAGE, "'%s' is not the name of a credential helper", shown);
	if (start(&h, server, err) < 0 || read_answer(&h, &answer, err) < 0)
		return -1;
	status = wait_exit(&h, err);
	if (status < 0)
		return -1;
	if (status == 0)
		return parse_answer(&h, &answer, ret_cred, err);
	if (says_not_found(&answer))
		return 0;
	return ib_fail(err, IB_FAILED, "%s failed with status %d", program, status);
}
