/* What a command in the sandbox is given and what comes back of it. */
#include "tests/builder/sandbox-fixture.h"

#include "oci/base/poison.h"

static void exit_status_is_carried_through(void **state)
{
	struct fixture *f = *state;

	sh(f, "exit 42");
	assert_false(f->result.signalled);
	assert_int_equal(f->result.status, 42);
	assert_false(f->result.out_of_memory);
	sh(f, "true");
	assert_int_equal(f->result.status, 0);
}

static void death_by_signal_is_carried_through(void **state)
{
	struct fixture *f = *state;

	sh(f, "sh -c 'kill -SEGV $$'; exit $?");
	assert_false(f->result.signalled);
	assert_int_equal(f->result.status, 128 + 11);
	/* pid 1 is deaf to what its own namespace sends; this SIGKILL is the kernel's. */
	sh(f, "ulimit -t 1; while :; do :; done");
	assert_true(f->result.signalled);
	assert_int_equal(f->result.status, 9);
	assert_false(f->result.out_of_memory);
}

static void both_streams_arrive_apart(void **state)
{
	struct fixture *f = *state;

	sh(f, "echo to-out; echo to-err >&2; echo again");
	assert_string_equal(out(f), "to-out\nagain\n");
	assert_string_equal(errors(f), "to-err\n");
}

static void much_output_arrives_whole(void **state)
{
	struct fixture *f = *state;

	sh(f, "yes 0123456789 | head -n 50000");
	assert_int_equal(f->out.len, 11 * 50000);
}

static void environment_is_exactly_what_was_given(void **state)
{
	struct fixture *f = *state;
	ib_autoerr err = {0};

	ib_strv_add(&f->spec.env, "EMPTY=");
	ib_strv_add(&f->spec.env, "TEXT=a b\"c");
	ib_strv_add(&f->spec.argv, "env");	/* found in PATH */
	assert_int_equal(try_argv(f, &err), 0);
	assert_string_equal(out(f), "PATH=/usr/bin:/bin\nEMPTY=\nTEXT=a b\"c\n");
}

static void stdin_is_empty_and_umask_0022_and_pid_1(void **state)
{
	struct fixture *f = *state;

	sh(f, "wc -c; umask; echo $$");
	assert_string_equal(out(f), "0\n0022\n1\n");
}

static void host_name_is_set(void **state)
{
	struct fixture *f = *state;

	sh(f, "hostname");
	assert_string_equal(out(f), "buildkitsandbox\n");
}

static void working_directory_is_created(void **state)
{
	struct fixture *f = *state;
	struct stat st;
	ib_autofree char *path = ib_asprintf("%s/srv/app/x", f->upper);

	f->spec.cwd = "/srv/app/x";
	sh(f, "pwd");
	assert_string_equal(out(f), "/srv/app/x\n");
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode, S_IFDIR | 0755);
}

static void working_directory_may_be_behind_a_link(void **state)
{
	struct fixture *f = *state;
	ib_autofree char *link = ib_asprintf("%s/app", f->lower);

	assert_int_equal(symlink("/tmp", link), 0);
	f->spec.cwd = "/app";
	sh(f, "readlink /proc/self/cwd");
	assert_string_equal(out(f), "/tmp\n");
}

static void ids_and_groups_are_set(void **state)
{
	struct fixture *f = *state;
	const gid_t groups[] = {1000, 27, 44};

	f->spec.uid = 1000;
	f->spec.gid = 1000;
	f->spec.groups = groups;
	f->spec.n_groups = 3;
	sh(f, "grep -E '^(Uid|Gid|Groups):' /proc/self/status");
	assert_string_equal(out(f), "Uid:\t1000\t1000\t1000\t1000\nGid:\t1000\t1000\t1000\t1000\nGroups:\t27 44 1000 \n");
}

static void another_id_is_refused_where_there_is_only_one(void **state)
{
	struct fixture *f = *state;
	ib_autoerr err = {0};

	f->spec.uid = 1000;
	set_sh(f, "id -u");
	assert_int_equal(try_argv(f, &err), -1);
	assert_non_null(strstr(err.text, "become user 1000: "));
	assert_non_null(strstr(err.text, "only one id is available here"));
}

static void ownership_is_pretended_where_there_is_only_one_id(void **state)
{
	struct fixture *f = *state;

	sh(f, "touch /tmp/x && chown 33:33 /tmp/x && stat -c %u:%g /tmp/x");
	assert_string_equal(errors(f), "");
	assert_string_equal(out(f), "0:0\n");
}

static void another_user_may_open_its_output(void **state)
{
	struct fixture *f = *state;

	f->spec.uid = 1000;
	sh(f, "echo hi > /dev/stdout");
	assert_string_equal(errors(f), "");
	assert_string_equal(out(f), "hi\n");
}

static void missing_program_is_told(void **state)
{
	struct fixture *f = *state;
	ib_autoerr err = {0};

	ib_strv_add(&f->spec.argv, "/bin/nothing");
	assert_int_equal(try_argv(f, &err), -1);
	assert_int_equal(err.code, IB_NOTFOUND);
	assert_string_equal(err.text, "exec /bin/nothing: No such file or directory");
	ib_strv_done(&f->spec.argv);
	ib_strv_add(&f->spec.argv, "nothing");
	assert_int_equal(try_argv(f, &err), -1);
	assert_int_equal(err.code, IB_NOTFOUND);
	assert_string_equal(err.text, "exec nothing: not found in PATH");
}

static void file_that_is_no_program_is_told(void **state)
{
	struct fixture *f = *state;
	ib_autoerr err = {0};

	write_file(f->lower, "bin/text", "neither ELF nor script\n", 0755);
	write_file(f->lower, "bin/orphan", "#!/bin/no-such-shell\n", 0755);
	write_file(f->lower, "bin/closed", "#!/bin/sh\n", 0644);
	ib_strv_add(&f->spec.argv, "text");
	assert_int_equal(try_argv(f, &err), -1);
	assert_string_equal(err.text, "exec text: Exec format error; is it a program for another architecture?");
	ib_strv_done(&f->spec.argv);
	ib_strv_add(&f->spec.argv, "orphan");
	assert_int_equal(try_argv(f, &err), -1);
	assert_string_equal(err.text, "exec orphan: No such file or directory; its interpreter is missing");
	ib_strv_done(&f->spec.argv);
	ib_strv_add(&f->spec.argv, "closed");
	assert_int_equal(try_argv(f, &err), -1);
	assert_string_equal(err.text, "exec closed: Permission denied");
	assert_int_equal(err.code, IB_DENIED);
}

static void script_is_executed_with_its_arguments(void **state)
{
	struct fixture *f = *state;
	ib_autoerr err = {0};

	write_file(f->lower, "bin/script", "#!/bin/sh\necho \"$0|$1|$2\"\n", 0755);
	ib_strv_add(&f->spec.argv, "script");
	ib_strv_add(&f->spec.argv, "a b");
	ib_strv_add(&f->spec.argv, "");
	assert_int_equal(try_argv(f, &err), 0);
	assert_string_equal(out(f), "/bin/script|a b|\n");
}

static void no_descriptor_but_the_standard_ones_is_open(void **state)
{
	struct fixture *f = *state;

	/* 3: ls has the directory open */
	sh(f, "ls /proc/self/fd | tr '\\n' ' '");
	assert_string_equal(out(f), "0 1 2 3 ");
}

static void signals_are_as_programs_expect_them(void **state)
{
	struct fixture *f = *state;
	ib_autoerr err = {0};

	ib_strv_add(&f->spec.argv, "grep");
	ib_strv_add(&f->spec.argv, "-E");
	ib_strv_add(&f->spec.argv, "^Sig(Blk|Ign):");
	ib_strv_add(&f->spec.argv, "/proc/self/status");
	assert_int_equal(try_argv(f, &err), 0);
	assert_string_equal(out(f), "SigBlk:\t0000000000000000\nSigIgn:\t0000000000000000\n");
}

static void files_land_in_upper(void **state)
{
	struct fixture *f = *state;
	ib_autofree char *tmp = NULL, *top = NULL;

	sh(f, "echo content > /tmp/new; rm /etc/passwd");
	tmp = list(f->upper, "tmp");
	assert_string_equal(tmp, "new");
	top = list(f->upper, "");
	assert_string_equal(top, "etc tmp");
}

static void full_tree_is_a_root_too(void **state)
{
	struct fixture *f = *state;
	ib_autofree char *tmp = NULL;

	ib_strv_done(&f->spec.lower);
	f->spec.upper = f->lower;
	sh(f, "echo content > /tmp/new; hostname");
	assert_string_equal(out(f), "buildkitsandbox\n");
	tmp = list(f->lower, "tmp");
	assert_string_equal(tmp, "new");
}

static void many_lower_layers_are_mounted(void **state)
{
	struct fixture *f = *state;

	ib_strv_done(&f->spec.lower);
	for (int i = 0; i < 120; i++) {
		ib_autofree char *name = ib_asprintf("a-layer-with-a-rather-long-name-%d", i);
		ib_autofree char *file = ib_asprintf("%s/file-%d", name, i);
		ib_autofree char *path = ib_asprintf("%s/%s", f->dir, name);

		make_dir(f->dir, name);
		write_file(f->dir, file, "", 0644);
		ib_strv_add(&f->spec.lower, path);
	}
	ib_strv_add(&f->spec.lower, f->lower);
	sh(f, "ls / | grep -c ^file-");
	assert_string_equal(out(f), "120\n");
}

static void topmost_layer_comes_first(void **state)
{
	struct fixture *f = *state;
	ib_autofree char *top = ib_asprintf("%s/top", f->dir);

	make_dir(f->dir, "top");
	make_dir(f->dir, "top/etc");
	write_file(f->dir, "top/etc/passwd", "of the top\n", 0644);
	ib_strv_done(&f->spec.lower);
	ib_strv_add(&f->spec.lower, top);
	ib_strv_add(&f->spec.lower, f->lower);
	sh(f, "cat /etc/passwd");
	assert_string_equal(out(f), "of the top\n");
}

static void same_directories_serve_for_another_run(void **state)
{
	struct fixture *f = *state;

	sh(f, "echo 1 > /tmp/x");
	sh(f, "cat /tmp/x");
	assert_string_equal(errors(f), "");
	assert_string_equal(out(f), "1\n");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define T(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)
		T(exit_status_is_carried_through),
		T(death_by_signal_is_carried_through),
		T(both_streams_arrive_apart),
		T(much_output_arrives_whole),
		T(environment_is_exactly_what_was_given),
		T(stdin_is_empty_and_umask_0022_and_pid_1),
		T(host_name_is_set),
		T(working_directory_is_created),
		T(working_directory_may_be_behind_a_link),
		T(missing_program_is_told),
		T(file_that_is_no_program_is_told),
		T(script_is_executed_with_its_arguments),
		T(no_descriptor_but_the_standard_ones_is_open),
		T(signals_are_as_programs_expect_them),
		T(files_land_in_upper),
		T(full_tree_is_a_root_too),
		T(many_lower_layers_are_mounted),
		T(topmost_layer_comes_first),
		T(same_directories_serve_for_another_run),
	};
	const struct CMUnitTest several_ids[] = {
		T(ids_and_groups_are_set),
		T(another_user_may_open_its_output),
	};
	const struct CMUnitTest single_id[] = {
		T(another_id_is_refused_where_there_is_only_one),
		T(ownership_is_pretended_where_there_is_only_one_id),
	};
	int failed;

	sandbox_open();
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	if (privilege == SANDBOX_SINGLE_ID)
		failed += cmocka_run_group_tests(single_id, NULL, NULL);
	else
		failed += cmocka_run_group_tests(several_ids, NULL, NULL);
	sandbox_close();
	return failed;
}
