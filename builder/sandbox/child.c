#include "builder/sandbox/sandbox-internal.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <net/if.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "oci/base/alloc.h"

#include "oci/base/poison.h"

static int set_names(const struct sandbox_spec *spec, struct ib_err *err)
{
	if (sethostname(spec->hostname, strlen(spec->hostname)) < 0)
		return ib_fail_sys(err, errno, "set host name '%s'", spec->hostname);
	return 0;
}

/* A new network namespace has a loopback interface that is down. */
static int start_loopback(struct ib_err *err)
{
	ib_autoclose int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct ifreq request = {.ifr_name = "lo", .ifr_flags = IFF_UP | IFF_RUNNING};

	if (fd < 0 || ioctl(fd, SIOCSIFFLAGS, &request) < 0)
		return ib_fail_sys(err, errno, "start loopback interface");
	return 0;
}

static int add_etc_file(struct sandbox_root *root, const char *path, const char *content, struct ib_err *err)
{
	ib_autofree char *target = ib_strdup(path);
	const struct sandbox_mount mount = {
		.kind = SANDBOX_MOUNT_FILE, .target = target, .mode = 0644,
		.content = content, .content_size = content ? strlen(content) : 0,
	};

	return content ? sandbox_mounts_add(root, &mount, err) : 0;
}

static int make_root(const struct sandbox_child *child, const struct sandbox_spec *spec, struct ib_err *err)
{
	struct sandbox_root root = {.fd = -1, .files = -1, .report_fd = child->report_fd};

	if (sandbox_root_mount(spec, &root, err) < 0 || sandbox_proc_mount(&root, err) < 0 ||
	    sandbox_sys_mount(&root, err) < 0 || sandbox_dev_mount(&root, spec->shm_size, err) < 0 ||
	    add_etc_file(&root, "/etc/resolv.conf", spec->resolv_conf, err) < 0 ||
	    add_etc_file(&root, "/etc/hosts", spec->hosts, err) < 0)
		return -1;
	for (size_t i = 0; i < spec->n_mounts; i++)
		if (sandbox_mounts_add(&root, &spec->mounts[i], err) < 0)
			return -1;
	return sandbox_root_enter(&root, err);
}

/* mkdir -p; we are inside, so links lead nowhere else. */
static int make_directories(const char *path)
{
	ib_autofree char *copy = ib_strdup(path);

	for (char *p = copy; *p; p++) {
		if (*p != '/' || p == copy)
			continue;
		*p = '\0';
		if (mkdir(copy, 0755) < 0 && errno != EEXIST)
			return -1;
		*p = '/';
	}
	return mkdir(copy, 0755) < 0 && errno != EEXIST ? -1 : 0;
}

static int enter_directory(const char *cwd, struct ib_err *err)
{
	if (chdir(cwd) == 0)
		return 0;
	if (errno != ENOENT || make_directories(cwd) < 0 || chdir(cwd) < 0)
		return ib_fail_sys(err, errno, "enter working directory '%s'", cwd);
	return 0;
}

static int set_ids(const struct sandbox_child *child, const struct sandbox_spec *spec, struct ib_err *err)
{
	static const char one_id[] = "; only one id is available here: /etc/subuid and /etc/subgid give more";
	bool single = child->prepared->single_id;

	/* /dev/stdout and its like are opened anew by some programs, which must be theirs for that. */
	(void)!fchown(child->stdout_fd, spec->uid, spec->gid);
	(void)!fchown(child->stderr_fd, spec->uid, spec->gid);
	/* With one id the kernel refuses setgroups() to everybody; the groups are those of the caller then. */
	if (!single && setgroups(spec->n_groups, spec->groups) < 0)
		return ib_fail_sys(err, errno, "set supplementary groups");
	if (setresgid(spec->gid, spec->gid, spec->gid) < 0) {
		(void)ib_fail_sys(err, errno, "become group %u", (unsigned int)spec->gid);
		return single ? ib_err_hint(err, one_id) : -1;
	}
	if (setresuid(spec->uid, spec->uid, spec->uid) < 0) {
		(void)ib_fail_sys(err, errno, "become user %u", (unsigned int)spec->uid);
		return single ? ib_err_hint(err, one_id) : -1;
	}
	return 0;
}

/* The filter needs CAP_SYS_ADMIN, which goes with the ids; what follows it is among what it allows. */
static int drop_privileges(const struct sandbox_child *child, const struct sandbox_spec *spec, struct ib_err *err)
{
	if (sandbox_seccomp_load(&child->prepared->filter, err) < 0 || set_ids(child, spec, err) < 0 ||
	    sandbox_caps_drop(spec->uid, err) < 0)
		return -1;
	/* Changed ids forget it. The launcher kills us itself; this is for the case that it is killed. */
	if (prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) < 0)
		return ib_fail_sys(err, errno, "tie to the launcher");
	return 0;
}

/* Standard streams and the report's socket at their numbers, nothing else open but the stub. */
static int arrange_descriptors(const struct sandbox_child *child, int *ret_stub, struct ib_err *err)
{
	const int wanted[] = {child->prepared->null_fd, child->stdout_fd, child->stderr_fd, child->report_fd};
	int moved[5];

	/* Out of the way first: any of them may have a number that another one is to get. */
	for (int i = 0; i < 4; i++)
		moved[i] = fcntl(wanted[i], F_DUPFD_CLOEXEC, 16);
	moved[4] = child->prepared->stub_fd < 0 ? -1 : fcntl(child->prepared->stub_fd, F_DUPFD_CLOEXEC, 16);
	for (int i = 0; i < 4; i++)
		if (moved[i] < 0 || dup2(moved[i], i) < 0)
			return ib_fail_sys(err, errno, "arrange descriptors");
	if (moved[4] >= 0 && dup3(moved[4], SANDBOX_REPORT_FD + 1, O_CLOEXEC) < 0)
		return ib_fail_sys(err, errno, "arrange descriptors");
	*ret_stub = moved[4] < 0 ? -1 : SANDBOX_REPORT_FD + 1;
	if (syscall(SYS_close_range, SANDBOX_REPORT_FD + 2, ~0u, 0) < 0)	/* Linux 5.9 */
		for (int fd = SANDBOX_REPORT_FD + 2; fd < 4096; fd++)
			(void)close(fd);
	return 0;
}

static void tell_exec_failure(int sys)
{
	const struct sandbox_report_head head = {.kind = SANDBOX_REPORT_EXEC, .sys = sys};

	(void)send(SANDBOX_REPORT_FD, &head, sizeof head, MSG_NOSIGNAL);
}

/*
 * exec-stub executes the program in our place. Until then /proc/self/exe is this program's file on the host,
 * and an image whose shell is a link or a script that names it would get hold of that.
 */
static void execute(const struct sandbox_spec *spec, char *path, int stub)
{
	char **argv = ib_calloc(spec->argv.n + 2, sizeof *argv);

	memcpy(argv + 1, spec->argv.v, spec->argv.n * sizeof *argv);
	argv[0] = path;
	if (stub >= 0)
		(void)syscall(SYS_execveat, stub, "", argv, spec->env.v, AT_EMPTY_PATH);
	else if (fcntl(SANDBOX_REPORT_FD, F_SETFD, FD_CLOEXEC) == 0)
		(void)execve(path, spec->argv.v, spec->env.v);
	tell_exec_failure(errno);
}

static int run(const struct sandbox_child *child, struct ib_err *err)
{
	ib_autofree char *path = NULL;
	struct sandbox_spec spec;
	sigset_t none;
	int stub = -1;

	umask(0);
	(void)setsid();	/* fails only if we lead a session already */
	if (sandbox_spec_read(child->spec_fd, child->spec_size, &spec, err) < 0 || set_names(&spec, err) < 0 ||
	    (spec.network == SANDBOX_NETWORK_NONE && start_loopback(err) < 0) || make_root(child, &spec, err) < 0)
		return -1;
	umask(0022);
	if (enter_directory(spec.cwd, err) < 0 || drop_privileges(child, &spec, err) < 0 ||
	    sandbox_program_find(spec.argv.v[0], &spec.env, &path, err) < 0 ||
	    arrange_descriptors(child, &stub, err) < 0)
		return -1;
	sigemptyset(&none);
	(void)sigprocmask(SIG_SETMASK, &none, NULL);
	execute(&spec, path, stub);
	return 0;
}

void sandbox_child_main(const struct sandbox_child *child)
{
	struct sandbox_report report = {.head = {.kind = SANDBOX_REPORT_FAILED}};
	struct ib_err err = {0};

	if (run(child, &err) < 0) {
		report.head.code = (int32_t)err.code;
		report.head.sys = err.sys;
		(void)snprintf(report.text, sizeof report.text, "%s", err.text);
		(void)send(child->report_fd, &report, sizeof report.head + strlen(report.text) + 1, MSG_NOSIGNAL);
	}
	_exit(127);
}
