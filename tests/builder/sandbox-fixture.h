/*
 * tests/builder/sandbox-fixture.h - a root filesystem of busybox and nothing else, and commands run in it.
 */
#ifndef TESTS_BUILDER_SANDBOX_FIXTURE_H
#define TESTS_BUILDER_SANDBOX_FIXTURE_H

#include <dirent.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "builder/sandbox/sandbox.h"
#include "oci/base/alloc.h"
#include "oci/base/fd.h"
#include "oci/base/remove.h"

#define BUSYBOX "/bin/busybox"

static enum sandbox_privilege privilege;
static char *privilege_reason;
static struct sandbox_launcher *launcher;

struct fixture {
	char dir[64];
	char *lower, *upper, *work, *scratch;
	struct sandbox_spec spec;
	struct sandbox_result result;
	struct ib_str out, err;
};

static inline void make_dir(const char *base, const char *name)
{
	ib_autofree char *path = ib_asprintf("%s/%s", base, name);

	assert_int_equal(mkdir(path, 0755), 0);
}

static inline void write_file(const char *base, const char *name, const char *text, mode_t mode)
{
	ib_autofree char *path = ib_asprintf("%s/%s", base, name);
	ib_autoclose int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(ib_write_full(fd, text, strlen(text)), 0);
	assert_int_equal(fchmod(fd, mode), 0);
}

static inline void copy_busybox(const char *root)
{
	static const char *const names[] = {
		"sh", "cat", "ls", "echo", "id", "hostname", "mount", "umount", "unshare", "mknod", "true", "sleep",
		"readlink", "stat", "chmod", "chown", "rm", "mkdir", "touch", "dd", "ip", "grep", "ps", "kill", "head",
		"env", "pwd", "chroot", "ln", "tr", "wc", "yes", "test", "find", "ping", "printf", "setsid",
	};
	ib_autofree char *target = ib_asprintf("%s/bin/busybox", root);
	ib_autoclose int from = open(BUSYBOX, O_RDONLY | O_CLOEXEC);
	ib_autoclose int to = open(target, O_WRONLY | O_CREAT | O_CLOEXEC, 0755);
	char block[65536];
	ssize_t n;

	while ((n = read(from, block, sizeof block)) > 0)
		assert_int_equal(ib_write_full(to, block, (size_t)n), 0);
	for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
		ib_autofree char *link = ib_asprintf("%s/bin/%s", root, names[i]);

		assert_int_equal(symlink("busybox", link), 0);
	}
}

static inline void make_rootfs(const char *root)
{
	static const char *const dirs[] = {"bin", "etc", "tmp", "proc", "sys", "dev", "root"};
	ib_autofree char *tmp = ib_asprintf("%s/tmp", root);

	for (size_t i = 0; i < sizeof dirs / sizeof *dirs; i++)
		make_dir(root, dirs[i]);
	assert_int_equal(chmod(tmp, 01777), 0);
	copy_busybox(root);
	write_file(root, "etc/passwd", "root:x:0:0:root:/root:/bin/sh\nuser:x:1000:1000::/:/bin/sh\n", 0644);
}

static inline int fixture_setup(void **state)
{
	struct fixture *f = ib_new(struct fixture);
	const char *tmp = getenv("TMPDIR");

	*state = f;
	(void)snprintf(f->dir, sizeof f->dir, "%s/sandbox-XXXXXX", tmp && strlen(tmp) < 40 ? tmp : "/tmp");
	assert_non_null(mkdtemp(f->dir));
	assert_int_equal(chmod(f->dir, 0755), 0);
	make_dir(f->dir, "lower");
	make_dir(f->dir, "upper");
	make_dir(f->dir, "work");
	make_dir(f->dir, "scratch");
	f->lower = ib_asprintf("%s/lower", f->dir);
	f->upper = ib_asprintf("%s/upper", f->dir);
	f->work = ib_asprintf("%s/work", f->dir);
	f->scratch = ib_asprintf("%s/scratch", f->dir);
	f->out = (struct ib_str)IB_STR(1u << 20);
	f->err = (struct ib_str)IB_STR(1u << 20);
	make_rootfs(f->lower);
	ib_strv_add(&f->spec.env, "PATH=/usr/bin:/bin");
	ib_strv_add(&f->spec.lower, f->lower);
	f->spec.cwd = "/";
	f->spec.hostname = "buildkitsandbox";
	f->spec.upper = f->upper;
	f->spec.work = f->work;
	f->spec.scratch = f->scratch;
	return 0;
}

static inline int fixture_teardown(void **state)
{
	struct fixture *f = *state;
	ib_autoerr err = {0};

	assert_int_equal(ib_remove_tree(AT_FDCWD, f->dir, &err), 0);
	free(f->lower);
	free(f->upper);
	free(f->work);
	free(f->scratch);
	ib_str_done(&f->out);
	ib_str_done(&f->err);
	ib_strv_done(&f->spec.argv);
	ib_strv_done(&f->spec.env);
	ib_strv_done(&f->spec.lower);
	free(f);
	return 0;
}

static inline void collect(void *ctx, int stream, const void *bytes, size_t n)
{
	struct fixture *f = ctx;

	ib_str_add(stream == 1 ? &f->out : &f->err, bytes, n);
}

static inline int try_argv(struct fixture *f, struct ib_err *err)
{
	ib_str_reset(&f->out);
	ib_str_reset(&f->err);
	return sandbox_run(launcher, &f->spec, collect, f, &f->result, err);
}

static inline void set_sh(struct fixture *f, const char *script)
{
	ib_strv_done(&f->spec.argv);
	ib_strv_add(&f->spec.argv, "/bin/sh");
	ib_strv_add(&f->spec.argv, "-c");
	ib_strv_add(&f->spec.argv, script);
}

/* Run a shell script that must be started; its outcome is in f. */
static inline void sh(struct fixture *f, const char *script)
{
	ib_autoerr err = {0};

	set_sh(f, script);
	if (try_argv(f, &err) < 0)
		fail_msg("%s", err.text);
}

static inline const char *out(const struct fixture *f)
{
	return f->out.s ? f->out.s : "";
}

static inline const char *errors(const struct fixture *f)
{
	return f->err.s ? f->err.s : "";
}

/* What is in a directory, names in byte order with blanks between. The caller's. */
static inline char *list(const char *base, const char *name)
{
	ib_autofree char *path = ib_asprintf("%s/%s", base, name);
	ib_autostrv names = {0};
	ib_autostr text = IB_STR(65536);
	DIR *dir = opendir(path);
	struct dirent *de;

	if (!dir)
		return ib_strdup("(none)");
	while ((de = readdir(dir)))
		if (strcmp(de->d_name, ".") != 0 && strcmp(de->d_name, "..") != 0)
			ib_strv_add(&names, de->d_name);
	closedir(dir);
	ib_strv_sort(&names);
	for (size_t i = 0; i < names.n; i++)
		ib_str_addf(&text, "%s%s", i ? " " : "", names.v[i]);
	return ib_str_steal(&text);
}

/*
 * SANDBOX_TEST_AS lets root run the same tests with less: "nobody" has one id, "no-sys-admin" is a root that
 * needs a user namespace, as in most containers.
 */
static inline void give_up_privileges(const char *as)
{
	struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct data[2];

	if (geteuid() != 0) {
		print_message("skipped: needs root\n");
		exit(77);
	}
	if (strcmp(as, "nobody") == 0) {
		assert_int_equal(setgroups(0, NULL), 0);
		assert_int_equal(setresgid(65534, 65534, 65534), 0);
		assert_int_equal(setresuid(65534, 65534, 65534), 0);
		/* Changed ids close /proc/self to us, which a program that was started as nobody has open. */
		assert_int_equal(prctl(PR_SET_DUMPABLE, 1, 0, 0, 0), 0);
		return;
	}
	assert_int_equal(syscall(SYS_capget, &header, data), 0);
	data[0].effective &= ~CAP_TO_MASK(CAP_SYS_ADMIN);
	data[0].permitted &= ~CAP_TO_MASK(CAP_SYS_ADMIN);
	assert_int_equal(syscall(SYS_capset, &header, data), 0);
}

/* Enter, start the launcher, or say why nothing can be tested here. */
static inline void sandbox_open(void)
{
	const char *as = getenv("SANDBOX_TEST_AS");
	ib_autoerr err = {0};

	if (access(BUSYBOX, X_OK) < 0) {
		print_message("skipped: " BUSYBOX " is not installed\n");
		exit(77);
	}
	if (as)
		give_up_privileges(as);
	if (sandbox_enter(&privilege, &privilege_reason, &err) < 0)
		fail_msg("%s", err.text);
	if (privilege == SANDBOX_NOTHING) {
		print_message("skipped: needs user namespaces: %s\n", privilege_reason);
		exit(77);
	}
	if (privilege_reason)
		print_message("with limits: %s\n", privilege_reason);
	if (sandbox_launcher_start(&launcher, &err) < 0)
		fail_msg("%s", err.text);
}

static inline void sandbox_close(void)
{
	sandbox_launcher_free(launcher);
	free(privilege_reason);
}

#endif
