#include "builder/sandbox/sandbox-internal.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "oci/base/alloc.h"
#include "oci/base/fd.h"

#include "oci/base/poison.h"

/* The builder's handle. Orders are sent whole, so threads need no lock. */
struct sandbox_launcher {
	pid_t pid;
	int socket;
};

union fd_message {
	struct cmsghdr align;
	char bytes[CMSG_SPACE(SANDBOX_ORDER_FDS * sizeof(int))];
};

int sandbox_launcher_order(struct sandbox_launcher *launcher, const struct sandbox_order *order,
			   const int fds[static SANDBOX_ORDER_FDS], struct ib_err *err)
{
	struct sandbox_order copy = *order;
	struct iovec bytes = {.iov_base = &copy, .iov_len = sizeof copy};
	union fd_message control = {0};
	struct msghdr message = {
		.msg_iov = &bytes, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control,
	};
	struct cmsghdr *head = CMSG_FIRSTHDR(&message);

	head->cmsg_level = SOL_SOCKET;
	head->cmsg_type = SCM_RIGHTS;
	head->cmsg_len = CMSG_LEN(SANDBOX_ORDER_FDS * sizeof(int));
	memcpy(CMSG_DATA(head), fds, SANDBOX_ORDER_FDS * sizeof(int));
	while (sendmsg(launcher->socket, &message, MSG_NOSIGNAL) < 0)
		if (errno != EINTR)
			return ib_fail_sys(err, errno, "send to the process that starts commands");
	return 0;
}

/* One run, on the launcher's side. */
struct run {
	pid_t pid;
	int pidfd;
	int report;	/* the builder's end closed, or a byte on it: kill */
	bool told;	/* it was killed for that */
};

struct launcher {
	int socket;
	struct sandbox_prepared prepared;
	struct run *run;
	size_t n, cap;
	struct pollfd *poll;	/* the socket, then two for each run */
	size_t poll_cap;
	long long oom_kills;	/* of the whole machine, when last looked at */
};

/* How often the kernel has killed for want of memory since it started; -1 when it does not tell. */
static long long oom_kills(void)
{
	ib_autoclose int fd = open("/proc/vmstat", O_RDONLY | O_CLOEXEC);
	char text[16384];
	ssize_t n = fd < 0 ? -1 : ib_read_full(fd, text, sizeof text - 1);
	const char *line;

	if (n < 0)
		return -1;
	text[n] = '\0';
	line = strstr(text, "\noom_kill ");
	return line ? strtoll(line + strlen("\noom_kill "), NULL, 10) : -1;
}

/* A killed process, and a kill by the kernel since the last look: the one was the other. */
static bool ended_by_oom(struct launcher *l, const struct run *run, const siginfo_t *info)
{
	bool killed = info->si_code != CLD_EXITED ? info->si_status == SIGKILL : info->si_status == 128 + SIGKILL;
	long long before = l->oom_kills;

	if (!killed || run->told)
		return false;
	l->oom_kills = oom_kills();
	return before >= 0 && l->oom_kills > before;
}

static void send_report(int socket, const struct sandbox_report *report)
{
	/* The builder may be gone; that is noticed elsewhere. */
	(void)send(socket, report, sizeof report->head + strlen(report->text) + 1, MSG_NOSIGNAL | MSG_DONTWAIT);
}

static void report_failure(int socket, const struct ib_err *err)
{
	struct sandbox_report report = {
		.head = {.kind = SANDBOX_REPORT_FAILED, .code = (int32_t)err->code, .sys = err->sys},
	};

	(void)snprintf(report.text, sizeof report.text, "%s", err->text);
	send_report(socket, &report);
	report = (struct sandbox_report){.head = {.kind = SANDBOX_REPORT_ENDED, .status = 127}};
	send_report(socket, &report);
}

/*
 * fork() into new namespaces. The old clone call: containers refuse clone3 because filters cannot see its flags.
 */
static pid_t fork_into(unsigned long flags, int *ret_pidfd)
{
	flags |= CLONE_PIDFD | SIGCHLD;
#if defined(__s390__)
	return (pid_t)syscall(SYS_clone, NULL, flags, ret_pidfd, NULL, NULL);
#else
	return (pid_t)syscall(SYS_clone, flags, NULL, ret_pidfd, NULL, NULL);
#endif
}

static int start_run(struct launcher *l, const struct sandbox_order *order, const int fds[static SANDBOX_ORDER_FDS],
		     struct ib_err *err)
{
	const struct sandbox_child child = {
		.prepared = &l->prepared,
		.spec_fd = fds[SANDBOX_ORDER_SPEC],
		.stdout_fd = fds[SANDBOX_ORDER_STDOUT],
		.stderr_fd = fds[SANDBOX_ORDER_STDERR],
		.report_fd = fds[SANDBOX_ORDER_REPORT],
		.spec_size = order->spec_size,
	};
	unsigned long namespaces = CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWIPC | CLONE_NEWUTS | CLONE_NEWCGROUP;
	struct run run = {.report = fds[SANDBOX_ORDER_REPORT], .pidfd = -1};

	if (l->prepared.err.code != IB_OK)
		return ib_fail(err, l->prepared.err.code, "%s", l->prepared.err.text);
	run.pid = fork_into(namespaces | (order->network_none ? CLONE_NEWNET : 0), &run.pidfd);
	if (run.pid == 0)
		sandbox_child_main(&child);
	if (run.pid < 0) {
		int sys = errno;
		ib_autofree char *hint = sandbox_namespace_hint(sys);

		(void)ib_fail_sys(err, sys, "make namespaces for the command");
		return hint ? ib_err_hint(err, "; %s", hint) : -1;
	}
	ib_grow(l->run, l->n, l->cap);
	l->run[l->n++] = run;
	return 0;
}

/* Receive one order. false: the builder is gone. */
static bool take_order(struct launcher *l)
{
	struct sandbox_order order;
	int fds[SANDBOX_ORDER_FDS];
	struct iovec bytes = {.iov_base = &order, .iov_len = sizeof order};
	union fd_message control = {0};
	struct msghdr message = {
		.msg_iov = &bytes, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control,
	};
	ssize_t n = recvmsg(l->socket, &message, MSG_CMSG_CLOEXEC);
	struct cmsghdr *head = CMSG_FIRSTHDR(&message);
	ib_autoerr err = {0};

	if (n < 0)
		return errno == EINTR || errno == EAGAIN;
	if (n != sizeof order || !head || head->cmsg_len != CMSG_LEN(sizeof fds))
		return false;
	memcpy(fds, CMSG_DATA(head), sizeof fds);
	if (start_run(l, &order, fds, &err) < 0) {
		report_failure(fds[SANDBOX_ORDER_REPORT], &err);
		(void)close(fds[SANDBOX_ORDER_REPORT]);
	}
	(void)close(fds[SANDBOX_ORDER_SPEC]);
	(void)close(fds[SANDBOX_ORDER_STDOUT]);
	(void)close(fds[SANDBOX_ORDER_STDERR]);
	return true;
}

static void kill_run(struct run *run)
{
	char byte;

	/* Unread, it would make the builder see a reset instead of our last report. */
	(void)recv(run->report, &byte, 1, MSG_DONTWAIT);
	/* pid 1 of its namespace: all the others die with it. */
	(void)syscall(SYS_pidfd_send_signal, run->pidfd, SIGKILL, NULL, 0);
	run->told = true;
}

/* Wait for a run that has ended, or will now, and tell. */
static void end_run(struct launcher *l, struct run *run)
{
	struct sandbox_report report = {.head = {.kind = SANDBOX_REPORT_ENDED}};
	siginfo_t info = {0};

	while (waitid(P_PID, (id_t)run->pid, &info, WEXITED) < 0 && errno == EINTR)
		;
	report.head.signalled = info.si_code != CLD_EXITED;
	report.head.status = info.si_status;
	report.head.out_of_memory = ended_by_oom(l, run, &info);
	send_report(run->report, &report);
	(void)close(run->report);
	(void)close(run->pidfd);
	*run = l->run[--l->n];
}

static size_t fill_poll(struct launcher *l)
{
	size_t n = 1 + 2 * l->n;

	if (n > l->poll_cap) {
		l->poll_cap = 2 * n;
		l->poll = ib_realloc(l->poll, l->poll_cap, sizeof *l->poll);
	}
	l->poll[0] = (struct pollfd){.fd = l->socket, .events = POLLIN};
	for (size_t i = 0; i < l->n; i++) {
		l->poll[1 + 2 * i] = (struct pollfd){.fd = l->run[i].pidfd, .events = POLLIN};
		/* One that was killed for it needs no second look: its hang-up would keep us busy. */
		l->poll[2 + 2 * i] = (struct pollfd){.fd = l->run[i].told ? -1 : l->run[i].report, .events = POLLIN};
	}
	return n;
}

static void serve(struct launcher *l)
{
	for (;;) {
		size_t n = fill_poll(l);

		if (poll(l->poll, (nfds_t)n, -1) < 0) {
			if (errno == EINTR)
				continue;
			return;
		}
		/* From the last: end_run() moves the last run into the gap. */
		for (size_t i = l->n; i-- > 0;) {
			if (l->poll[2 + 2 * i].revents)
				kill_run(&l->run[i]);
			if (l->poll[1 + 2 * i].revents)
				end_run(l, &l->run[i]);
		}
		if (l->poll[0].revents && !take_order(l))
			return;
	}
}

static bool is_single_id(void)
{
	char text[8] = "";
	ib_autoclose int fd = open("/proc/self/setgroups", O_RDONLY | O_CLOEXEC);

	return fd >= 0 && ib_read_full(fd, text, sizeof text - 1) > 0 && strncmp(text, "deny", 4) == 0;
}

/* Nothing of the builder's stays open here: whoever waits for the end of its output must not wait for us. */
static void let_go_of_descriptors(struct launcher *l)
{
	const int socket = 3;
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);

	for (int fd = 0; fd < 3; fd++)
		(void)dup2(null, fd);
	if (null < 0 || (l->socket != socket && dup3(l->socket, socket, O_CLOEXEC) < 0))
		_exit(1);	/* the builder sees its socket closed */
	if (syscall(SYS_close_range, socket + 1, ~0u, 0) < 0)	/* Linux 5.9 */
		for (int fd = socket + 1; fd < 4096; fd++)
			(void)close(fd);
	l->socket = socket;
	l->prepared.null_fd = fcntl(0, F_DUPFD_CLOEXEC, socket + 1);
}

/* Signals as a program expects to find them, but held back here: Ctrl-C is the builder's to act on. */
static void let_go_of_signals(void)
{
	struct sigaction action = {.sa_handler = SIG_DFL};
	sigset_t all;

	sigfillset(&all);
	(void)sigprocmask(SIG_BLOCK, &all, NULL);
	for (int sig = 1; sig < NSIG; sig++)
		(void)sigaction(sig, &action, NULL);	/* those that cannot be changed say so */
	(void)setsid();	/* away from the terminal too */
}

/* What all runs have in common. A failure is told to each of them. */
static void prepare(struct launcher *l)
{
	struct sandbox_prepared *p = &l->prepared;

	p->single_id = is_single_id();
	p->stub_fd = sandbox_stub_open();
	l->oom_kills = oom_kills();
	if (sandbox_caps_limit(&p->err) == 0)
		(void)sandbox_seccomp_build(p->single_id, &p->filter, &p->err);
}

static void launcher_main(int socket) __attribute__((noreturn));

static void launcher_main(int socket)
{
	struct launcher l = {.socket = socket};

	(void)prctl(PR_SET_NAME, "imgbuild-run", 0, 0, 0);
	let_go_of_signals();
	let_go_of_descriptors(&l);
	prepare(&l);
	serve(&l);
	for (size_t i = 0; i < l.n; i++)
		kill_run(&l.run[i]);
	while (l.n)
		end_run(&l, &l.run[l.n - 1]);
	_exit(0);
}

int sandbox_launcher_start(struct sandbox_launcher **ret_launcher, struct ib_err *err)
{
	struct sandbox_launcher *launcher;
	int ends[2];
	pid_t pid;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) < 0)
		return ib_fail_sys(err, errno, "socket for the process that starts commands");
	pid = fork();
	if (pid == 0)
		launcher_main(ends[1]);
	(void)close(ends[1]);
	if (pid < 0) {
		int sys = errno;

		(void)close(ends[0]);
		return ib_fail_sys(err, sys, "start the process that starts commands");
	}
	launcher = ib_new(struct sandbox_launcher);
	*launcher = (struct sandbox_launcher){.pid = pid, .socket = ends[0]};
	*ret_launcher = launcher;
	return 0;
}

void sandbox_launcher_free(struct sandbox_launcher *launcher)
{
	if (!launcher)
		return;
	(void)close(launcher->socket);
	while (waitpid(launcher->pid, NULL, 0) < 0 && errno == EINTR)
		;
	free(launcher);
}
