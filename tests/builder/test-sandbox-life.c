/* Beginnings and ends: side by side, cancelled, abandoned; mounts of the spec; the cost of a run. */
#include "tests/builder/sandbox-fixture.h"

#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>

#include "oci/base/clock.h"
#include "oci/base/pool.h"

#include "oci/base/poison.h"

#define MS 1000000ll	/* nanoseconds */

/* Is there a process with this word in its command line? Only processes of the tests have such words. */
static bool process_exists(const char *word)
{
	DIR *dir = opendir("/proc");
	struct dirent *de;
	bool found = false;

	while (!found && (de = readdir(dir))) {
		ib_autofree char *path = ib_asprintf("/proc/%s/cmdline", de->d_name);
		ib_autoclose int fd = -1;
		char text[4096] = "";
		ssize_t n;

		if (de->d_name[0] < '0' || de->d_name[0] > '9')
			continue;
		fd = open(path, O_RDONLY | O_CLOEXEC);
		n = fd < 0 ? 0 : ib_read_full(fd, text, sizeof text);
		found = n > 0 && memmem(text, (size_t)n, word, strlen(word));
	}
	closedir(dir);
	return found;
}

/* A number that no other test, or run of this one, uses as the argument of sleep. */
static char *unique_seconds(void)
{
	return ib_asprintf("%ld.%06d", 4000 + (long)(ib_monotonic_ns() % 1000), (int)getpid());
}

static void daemons_left_behind_are_gone(void **state)
{
	struct fixture *f = *state;
	ib_autofree char *seconds = unique_seconds();
	ib_autofree char *script = ib_asprintf("setsid sleep %s & setsid sleep %s >/dev/null 2>&1 </dev/null & exit 3",
					       seconds, seconds);
	int64_t start = ib_monotonic_ns();

	sh(f, script);
	assert_int_equal(f->result.status, 3);
	assert_true(ib_monotonic_ns() - start < 2000 * MS);	/* it did not wait for their output either */
	assert_false(process_exists(seconds));
}

static void *run_on_a_thread(void *arg)
{
	struct fixture *f = arg;
	ib_autoerr err = {0};

	return sandbox_run(launcher, &f->spec, collect, f, &f->result, &err) < 0 ? ib_strdup(err.text) : NULL;
}

static void two_runs_go_side_by_side(void **state)
{
	struct fixture *f[2] = {*state, NULL};
	char target[] = "/meet";
	const struct sandbox_mount meeting = {
		.kind = SANDBOX_MOUNT_BIND, .source = f[0]->work, .target = target,
	};
	void *second = NULL;
	pthread_t thread[2];

	assert_int_equal(fixture_setup(&second), 0);
	f[1] = second;
	/* Each waits for the other's file in a directory that both have. */
	set_sh(f[0], "touch /meet/a; until test -e /meet/b; do sleep 0.01; done; echo first");
	set_sh(f[1], "touch /meet/b; until test -e /meet/a; do sleep 0.01; done; echo second");
	for (int i = 0; i < 2; i++) {
		f[i]->spec.mounts = &meeting;
		f[i]->spec.n_mounts = 1;
	}
	ib_strv_done(&f[0]->spec.lower);	/* its work directory is the meeting place */
	f[0]->spec.upper = f[0]->lower;
	for (int i = 0; i < 2; i++)
		assert_int_equal(pthread_create(&thread[i], NULL, run_on_a_thread, f[i]), 0);
	for (int i = 0; i < 2; i++) {
		void *failure;

		assert_int_equal(pthread_join(thread[i], &failure), 0);
		assert_null(failure);
	}
	assert_string_equal(out(f[0]), "first\n");
	assert_string_equal(out(f[1]), "second\n");
	assert_int_equal(fixture_teardown(&second), 0);
}

static void mounts_of_all_kinds(void **state)
{
	struct fixture *f = *state;
	char bind_source[128], cache[] = "/var/cache/x", file[] = "/run/secrets/key", tmp[] = "/scratch",
	     stack[] = "/from", one[] = "/one/passwd";
	char all[] = "/", passwd[] = "/etc/passwd";
	ib_autofree char *names = NULL, *made = NULL;
	struct sandbox_mount mounts[] = {
		{.kind = SANDBOX_MOUNT_BIND, .source = bind_source, .target = cache},
		{.kind = SANDBOX_MOUNT_TMPFS, .target = tmp, .tmpfs_size = 1 << 20, .tmpfs_mode = 01777},
		{.kind = SANDBOX_MOUNT_FILE, .target = file, .content = "a\0b", .content_size = 3, .mode = 0400},
		{.kind = SANDBOX_MOUNT_OVERLAY, .target = stack, .source = all, .lower = f->spec.lower},
		{.kind = SANDBOX_MOUNT_OVERLAY, .target = one, .source = passwd, .lower = f->spec.lower,
		 .read_only = true},
	};

	make_dir(f->dir, "cache");
	(void)snprintf(bind_source, sizeof bind_source, "%s/cache", f->dir);
	f->spec.mounts = mounts;
	f->spec.n_mounts = sizeof mounts / sizeof *mounts;
	sh(f, "echo kept > /var/cache/x/file; wc -c < /run/secrets/key; stat -c %a /run/secrets/key; "
	      "(echo x > /run/secrets/key) 2>&1; stat -c %a /scratch; (dd if=/dev/zero of=/scratch/x bs=1k count=2048 "
	      "2>&1) | grep -c 'No space'; (touch /from/x) 2>&1; head -n 1 /one/passwd; ls /from | wc -l");
	assert_string_equal(errors(f), "");
	assert_string_equal(out(f), "3\n400\n/bin/sh: can't create /run/secrets/key: Read-only file system\n1777\n1\n"
				    "touch: /from/x: Read-only file system\nroot:x:0:0:root:/root:/bin/sh\n7\n");
	names = list(bind_source, "");
	assert_string_equal(names, "file");
	made = list(f->upper, "");
	assert_string_equal(made, "");	/* var, run, scratch, from and one were made for it and went again */
}

static void mount_point_that_was_filled_stays(void **state)
{
	struct fixture *f = *state;
	char target[] = "/a/b";
	const struct sandbox_mount mount = {.kind = SANDBOX_MOUNT_TMPFS, .target = target, .tmpfs_mode = 0755};
	ib_autofree char *names = NULL;

	f->spec.mounts = &mount;
	f->spec.n_mounts = 1;
	sh(f, "touch /a/own");
	names = list(f->upper, "a");
	assert_string_equal(names, "own");
}

static void mount_target_cannot_leave_the_root(void **state)
{
	struct fixture *f = *state;
	ib_autofree char *link = ib_asprintf("%s/out", f->lower);
	ib_autofree char *elsewhere = ib_asprintf("%s/elsewhere", f->dir);
	ib_autofree char *target = ib_asprintf("/out/deeper");
	struct sandbox_mount mount = {.kind = SANDBOX_MOUNT_TMPFS, .target = target, .tmpfs_mode = 0755};
	ib_autofree char *names = NULL;
	struct stat st;

	/* an absolute link, and one that climbs: both end inside */
	assert_int_equal(symlink(elsewhere, link), 0);
	make_dir(f->dir, "elsewhere");
	f->spec.mounts = &mount;
	f->spec.n_mounts = 1;
	sh(f, "grep -c /deeper /proc/mounts");
	assert_string_equal(out(f), "1\n");
	names = list(elsewhere, "");
	assert_string_equal(names, "");
	assert_int_equal(unlink(link), 0);
	assert_int_equal(symlink("../../../../../../../../tmp", link), 0);
	sh(f, "grep -c ' /tmp/deeper' /proc/mounts");
	assert_string_equal(out(f), "1\n");
	assert_int_equal(stat("/tmp/deeper", &st), -1);
}

static void missing_bind_source_is_told(void **state)
{
	struct fixture *f = *state;
	char source[] = "/no/such/place", target[] = "/x";
	const struct sandbox_mount mount = {.kind = SANDBOX_MOUNT_BIND, .source = source, .target = target};
	ib_autoerr err = {0};

	f->spec.mounts = &mount;
	f->spec.n_mounts = 1;
	set_sh(f, "true");
	assert_int_equal(try_argv(f, &err), -1);
	assert_int_equal(err.code, IB_NOTFOUND);
	assert_string_equal(err.text, "mount /x: open '/no/such/place': No such file or directory");
}

/* As a process of its own, because ib_cancel() is for good. */
static int cancel_in_child(struct fixture *f, const char *seconds)
{
	ib_autofree char *script = ib_asprintf("sleep %s; echo survived", seconds);
	ib_autoerr err = {0};
	int64_t start;
	pthread_t thread;
	void *failure;

	if (sandbox_launcher_start(&launcher, &err) < 0)
		return 1;
	set_sh(f, script);
	if (pthread_create(&thread, NULL, run_on_a_thread, f) != 0)
		return 2;
	while (!process_exists(seconds))
		usleep(1000);
	start = ib_monotonic_ns();
	ib_cancel();
	if (pthread_join(thread, &failure) != 0 || !failure || strcmp(failure, "interrupted") != 0)
		return 3;
	if (ib_monotonic_ns() - start > 200 * MS)
		return 4;
	return process_exists(seconds) ? 5 : 0;
}

static void cancelling_kills_at_once(void **state)
{
	struct fixture *f = *state;
	ib_autofree char *seconds = unique_seconds();
	pid_t pid = fork();
	int status;

	if (pid == 0)
		_exit(cancel_in_child(f, seconds));
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

static void runs_die_with_the_builder(void **state)
{
	struct fixture *f = *state;
	ib_autofree char *seconds = unique_seconds();
	ib_autofree char *script = ib_asprintf("sleep %s", seconds);
	pid_t pid = fork();
	ib_autoerr err = {0};
	int64_t start;

	if (pid == 0) {
		if (sandbox_launcher_start(&launcher, &err) == 0) {
			set_sh(f, script);
			(void)try_argv(f, &err);
		}
		_exit(1);
	}
	while (!process_exists(seconds))
		assert_int_equal(waitpid(pid, NULL, WNOHANG), 0);
	assert_int_equal(kill(pid, SIGKILL), 0);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	start = ib_monotonic_ns();
	while (process_exists(seconds))
		assert_true(ib_monotonic_ns() - start < 5000 * MS);
	/* No mount of it is left in our namespace: the directories can be removed (teardown does). */
	assert_int_equal(rmdir(f->scratch), 0);
	assert_int_equal(mkdir(f->scratch, 0755), 0);
}

static void launcher_holds_no_output_open(void **state)
{
	struct sandbox_launcher *other = NULL;
	ib_autoerr err = {0};
	int ends[2];
	char byte;

	(void)state;
	assert_int_equal(pipe(ends), 0);
	assert_int_equal(sandbox_launcher_start(&other, &err), 0);
	(void)close(ends[1]);
	assert_int_equal(read(ends[0], &byte, 1), 0);	/* the end, though the launcher lives */
	(void)close(ends[0]);
	sandbox_launcher_free(other);
}

static void a_run_costs_little(void **state)
{
	struct fixture *f = *state;
	const int rounds = 20;
	int64_t start;

	f->spec.hosts = f->spec.resolv_conf = "x\n";
	sh(f, "true");
	ib_strv_done(&f->spec.argv);
	ib_strv_add(&f->spec.argv, "/bin/true");
	start = ib_monotonic_ns();
	for (int i = 0; i < rounds; i++) {
		ib_autoerr err = {0};

		assert_int_equal(try_argv(f, &err), 0);
	}
	print_message("one run of /bin/true: %lld us\n", (long long)(ib_monotonic_ns() - start) / rounds / 1000);
	assert_true(ib_monotonic_ns() - start < rounds * 100 * MS);	/* sanitizers and busy machines included */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define T(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)
		T(daemons_left_behind_are_gone),
		T(two_runs_go_side_by_side),
		T(mounts_of_all_kinds),
		T(mount_point_that_was_filled_stays),
		T(mount_target_cannot_leave_the_root),
		T(missing_bind_source_is_told),
		T(cancelling_kills_at_once),
		T(runs_die_with_the_builder),
		T(launcher_holds_no_output_open),
		T(a_run_costs_little),
	};
	int failed;

	sandbox_open();
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	sandbox_close();
	return failed;
}
