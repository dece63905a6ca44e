#include "peer.h"

#include <arpa/inet.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <cmocka.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "oci/base/alloc.h"
#include "oci/base/clock.h"
#include "oci/base/fd.h"
#include "oci/base/str.h"

extern char **environ;

#define LIMIT_NS 10000000000

/* A test that fails jumps over its peer_stop(): what still runs at exit is ended then. */
static pid_t running[16];

static void note(pid_t from, pid_t to)
{
	for (size_t i = 0; i < sizeof running / sizeof *running; i++) {
		if (running[i] == from) {
			running[i] = to;
			return;
		}
	}
}

static void end_all(void)
{
	for (size_t i = 0; i < sizeof running / sizeof *running; i++)
		if (running[i] > 0)
			kill(running[i], SIGKILL);
}

bool peer_start(struct peer *peer, const char *const *argv)
{
	ib_autostrv args = {0};
	posix_spawn_file_actions_t files;
	int in[2], out[2], rc;

	for (size_t i = 0; argv[i]; i++)
		ib_strv_add(&args, argv[i]);
	assert_int_equal(pipe2(in, O_CLOEXEC), 0);
	assert_int_equal(pipe2(out, O_CLOEXEC), 0);
	posix_spawn_file_actions_init(&files);
	posix_spawn_file_actions_adddup2(&files, in[0], 0);
	posix_spawn_file_actions_adddup2(&files, out[1], 1);
	posix_spawn_file_actions_addopen(&files, 2, "/dev/null", O_WRONLY, 0);	/* a registry logs every 404 */
	rc = posix_spawnp(&peer->pid, args.v[0], &files, NULL, args.v, environ);
	posix_spawn_file_actions_destroy(&files);
	close(in[0]);
	close(out[1]);
	peer->in = in[1];
	peer->out = out[0];
	if (rc == 0) {
		static bool registered;

		if (!registered)
			registered = atexit(end_all) == 0;
		note(0, peer->pid);
		return true;
	}
	peer->pid = 0;
	peer_stop(peer);
	return false;
}

char *peer_line(struct peer *peer)
{
	ib_autostr line = IB_STR(4096);
	int64_t deadline = ib_monotonic_ns() + LIMIT_NS;
	char c = 0;

	while (c != '\n') {
		struct pollfd p = {.fd = peer->out, .events = POLLIN};

		assert_true(ib_monotonic_ns() < deadline);
		if (poll(&p, 1, 100) <= 0)
			continue;
		assert_int_equal(read(peer->out, &c, 1), 1);
		if (c != '\n')
			ib_str_addc(&line, c);
	}
	return ib_str_steal(&line);
}

void peer_stop(struct peer *peer)
{
	if (peer->pid > 0) {
		kill(peer->pid, SIGKILL);
		while (waitpid(peer->pid, NULL, 0) < 0 && errno == EINTR)
			;
		note(peer->pid, 0);
	}
	close(peer->in);
	close(peer->out);
	*peer = (struct peer){.in = -1, .out = -1};
}

int peer_run(const char *const *argv, char **ret_output)
{
	struct peer peer;
	ib_autofree char *text = NULL;
	ib_autoerr err = {0};
	size_t len;
	int status;

	if (!peer_start(&peer, argv))
		return -1;
	assert_int_equal(ib_read_all(peer.out, 1 << 20, argv[0], &text, &len, &err), 0);
	while (waitpid(peer.pid, &status, 0) < 0 && errno == EINTR)
		;
	note(peer.pid, 0);
	peer.pid = 0;
	peer_stop(&peer);
	if (ret_output)
		*ret_output = ib_steal_ptr(&text);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128;
}

bool peer_in_path(const char *program)
{
	ib_autofree char *path = ib_strdup(getenv("PATH") ? getenv("PATH") : "");
	char *rest = path, *dir;

	while ((dir = strsep(&rest, ":"))) {
		ib_autofree char *file = ib_asprintf("%s/%s", dir, program);

		if (access(file, X_OK) == 0)
			return true;
	}
	return false;
}

const char *peer_python(const char *modules)
{
	/* A python of one's own in front of the system's has none of the packaged modules. */
	static const char *const pythons[] = {"python3", "/usr/bin/python3"};
	ib_autofree char *code = ib_asprintf("import importlib.util, sys\n"
					     "sys.exit(any(importlib.util.find_spec(m) is None for m in '%s'.split()))",
					     modules);

	for (size_t i = 0; i < 2; i++) {
		const char *argv[] = {pythons[i], "-c", code, NULL};

		if (peer_run(argv, NULL) == 0)
			return pythons[i];
	}
	return NULL;
}

int peer_free_port(void)
{
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof a;
	ib_autoclose int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_int_equal(bind(fd, (struct sockaddr *)&a, len), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&a, &len), 0);
	return ntohs(a.sin_port);
}

void peer_wait_for_port(int port)
{
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
				.sin_port = htons((uint16_t)port)};
	int64_t deadline = ib_monotonic_ns() + LIMIT_NS;

	for (;;) {
		ib_autoclose int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

		if (connect(fd, (struct sockaddr *)&a, sizeof a) == 0)
			return;
		assert_true(ib_monotonic_ns() < deadline);
		(void)poll(NULL, 0, 10);
	}
}

void peer_write_file(const char *dir, const char *name, const char *text)
{
	ib_autoclose int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	ib_autoerr err = {0};

	assert_true(fd >= 0);
	assert_int_equal(ib_replace_file(fd, name, text, strlen(text), 0600, &err), 0);
}
