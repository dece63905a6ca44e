/* What a command in the sandbox cannot see, change, or leave behind. */
#include "tests/builder/sandbox-fixture.h"

#include <sys/sysmacros.h>

#include "oci/base/poison.h"

static void capabilities_are_the_default_set(void **state)
{
	struct fixture *f = *state;

	/* the mask that docker build shows */
	sh(f, "grep -E '^(Cap|NoNewPrivs|Seccomp:)' /proc/self/status");
	assert_string_equal(out(f), "CapInh:\t0000000000000000\nCapPrm:\t00000000a80425fb\n"
				    "CapEff:\t00000000a80425fb\nCapBnd:\t00000000a80425fb\n"
				    "CapAmb:\t0000000000000000\nNoNewPrivs:\t0\nSeccomp:\t2\n");
}

static void other_users_have_no_capability(void **state)
{
	struct fixture *f = *state;

	f->spec.uid = 1000;
	f->spec.gid = 1000;
	sh(f, "grep -E '^Cap' /proc/self/status");
	assert_string_equal(out(f), "CapInh:\t0000000000000000\nCapPrm:\t0000000000000000\n"
				    "CapEff:\t0000000000000000\nCapBnd:\t00000000a80425fb\n"
				    "CapAmb:\t0000000000000000\n");
}

static void set_uid_programs_work(void **state)
{
	struct fixture *f = *state;
	ib_autofree char *busybox = ib_asprintf("%s/bin/busybox", f->lower);

	/* ping opens a raw socket, which takes CAP_NET_RAW, and is among what busybox stays root for */
	f->spec.network = SANDBOX_NETWORK_NONE;
	f->spec.uid = 1000;
	f->spec.gid = 1000;
	sh(f, "ping -c 1 127.0.0.1");
	assert_int_not_equal(f->result.status, 0);
	assert_int_equal(chmod(busybox, 04755), 0);
	sh(f, "ping -c 1 127.0.0.1");
	assert_string_equal(errors(f), "");
	assert_int_equal(f->result.status, 0);
}

static void covered_paths_show_nothing(void **state)
{
	struct fixture *f = *state;

	sh(f, "for p in /proc/kcore /proc/keys /proc/latency_stats /proc/timer_list /proc/timer_stats "
	      "/proc/sched_debug; do test -e $p || continue; head -c 1 $p; done; "
	      "for d in /proc/acpi /proc/asound /proc/scsi /sys/firmware /sys/fs/cgroup "
	      "/sys/devices/virtual/powercap; do test -e $d || continue; ls -A $d; done; echo end");
	assert_string_equal(errors(f), "");
	assert_string_equal(out(f), "end\n");
}

static void kernel_settings_are_read_only(void **state)
{
	struct fixture *f = *state;

	sh(f, "for p in /proc/sys/kernel/hostname /proc/sysrq-trigger /sys/kernel/mm/transparent_hugepage/enabled; do "
	      "test -e $p || continue; (echo x > $p) 2>&1 | grep -q 'Read-only file system' || echo \"$p\"; done; "
	      "(mkdir /sys/x) 2>&1");
	assert_string_equal(out(f), "mkdir: can't create directory '/sys/x': Read-only file system\n");
}

static void device_nodes_can_be_made_but_not_opened(void **state)
{
	struct fixture *f = *state;

	sh(f, "mknod /tmp/null c 1 3 && mknod /dev/other c 1 3 && mknod /dev/shm/other c 1 3 || exit 9; "
	      "for p in /tmp/null /dev/other /dev/shm/other; do (: < $p) 2>&1; done");
	assert_int_equal(f->result.status, 1);
	assert_string_equal(out(f), "/bin/sh: can't open /tmp/null: Permission denied\n"
				    "/bin/sh: can't open /dev/other: Permission denied\n"
				    "/bin/sh: can't open /dev/shm/other: Permission denied\n");
}

static void devices_work_and_belong_to_the_host(void **state)
{
	struct fixture *f = *state;
	struct stat before, after;

	assert_int_equal(stat("/dev/null", &before), 0);
	sh(f, "echo x > /dev/null && head -c 4 /dev/zero | wc -c && head -c 4 /dev/urandom | wc -c && "
	      "head -c 4 /dev/random | wc -c; (echo x > /dev/full) 2>&1 | grep -c 'No space'; "
	      "chmod 600 /dev/null 2>/dev/null || echo kept; rm -f /dev/null 2>/dev/null || echo kept; ls /dev | tr '\\n' ' '");
	assert_string_equal(out(f), "4\n4\n4\n1\nkept\nkept\ncore fd full mqueue null ptmx pts random shm stderr stdin "
				    "stdout tty urandom zero ");
	assert_int_equal(stat("/dev/null", &after), 0);
	assert_int_equal(before.st_mode, after.st_mode);
}

static void shm_has_its_size(void **state)
{
	struct fixture *f = *state;

	sh(f, "grep ' /dev/shm ' /proc/mounts");
	assert_non_null(strstr(out(f), "size=65536k"));
	f->spec.shm_size = 1 << 20;
	sh(f, "grep ' /dev/shm ' /proc/mounts");
	assert_non_null(strstr(out(f), "size=1024k"));
}

static void mounting_is_refused(void **state)
{
	struct fixture *f = *state;

	sh(f, "mount -t tmpfs x /tmp");
	assert_int_not_equal(f->result.status, 0);
	assert_non_null(strstr(errors(f), "permission denied"));	/* busybox's words for EPERM */
	sh(f, "umount /proc");
	assert_non_null(strstr(errors(f), "Operation not permitted"));
}

static void namespaces_are_refused(void **state)
{
	struct fixture *f = *state;

	sh(f, "unshare -m true; unshare -U true");
	assert_string_equal(errors(f), "unshare: unshare(0x20000): Operation not permitted\n"
				       "unshare: unshare(0x10000000): Operation not permitted\n");
}

static void other_processes_are_not_seen(void **state)
{
	struct fixture *f = *state;

	sh(f, "ls -d /proc/[0-9]* | wc -l");
	assert_true(strlen(out(f)) == 2 && out(f)[0] <= '4');	/* sh, ls, wc, perhaps a subshell */
}

static void host_file_system_is_gone(void **state)
{
	struct fixture *f = *state;
	ib_autofree char *script = ib_asprintf("test ! -e %s && cat /proc/self/mountinfo | grep -c ' / / '; "
					       "ls / | tr '\\n' ' '", f->dir);

	sh(f, script);
	assert_string_equal(out(f), "1\nbin dev etc proc root sys tmp ");
}

static void chroot_finds_no_way_out(void **state)
{
	struct fixture *f = *state;

	sh(f, "mkdir /tmp/c /tmp/c/bin && cp /bin/busybox /tmp/c/bin/sh 2>/dev/null || cat /bin/busybox > /tmp/c/bin/sh; "
	      "chmod 755 /tmp/c/bin/sh; cd /; chroot /tmp/c /bin/sh -c 'cd ../../../../..; echo *'");
	assert_string_equal(out(f), "bin\n");
}

static void builder_executable_is_out_of_reach(void **state)
{
	struct fixture *f = *state;
	ib_autofree char *link = ib_asprintf("%s/bin/self", f->lower);
	ib_autoerr err = {0};

	/* A link and a script that name the executing program: both get the small one in its memory file. */
	assert_int_equal(symlink("/proc/self/exe", link), 0);
	write_file(f->lower, "bin/script", "#!/proc/self/exe\n", 0755);
	ib_strv_add(&f->spec.argv, "script");
	assert_int_equal(try_argv(f, &err), 0);
	assert_int_equal(f->result.status, 127);
	ib_strv_done(&f->spec.argv);
	ib_strv_add(&f->spec.argv, "self");
	ib_strv_add(&f->spec.argv, "--list");	/* the test's own executable would print its tests or run them */
	assert_int_equal(try_argv(f, &err), 0);
	assert_int_equal(f->result.status, 127);
	assert_string_equal(out(f), "");
	assert_string_equal(errors(f), "");
}

static void network_none_has_only_loopback(void **state)
{
	struct fixture *f = *state;

	f->spec.network = SANDBOX_NETWORK_NONE;
	sh(f, "ls /sys/class/net | tr '\\n' ' '; ip addr show lo | grep -c 'inet 127.0.0.1'; "
	      "tr '\\n' ' ' < /proc/net/dev | tr -s ' ' '\\n' | grep -c ':$'");
	assert_string_equal(out(f), "lo 1\n1\n");
}

static void hosts_and_resolv_conf_are_read_only_and_leave_nothing(void **state)
{
	struct fixture *f = *state;
	ib_autofree char *names = NULL;

	f->spec.hosts = "127.0.0.1 localhost\n";
	f->spec.resolv_conf = "nameserver 192.0.2.1\n";
	sh(f, "cat /etc/hosts /etc/resolv.conf; (echo x > /etc/hosts) 2>&1; (rm /etc/resolv.conf) 2>&1");
	assert_string_equal(out(f), "127.0.0.1 localhost\nnameserver 192.0.2.1\n"
				    "/bin/sh: can't create /etc/hosts: Read-only file system\n"
				    "rm: can't remove '/etc/resolv.conf': Device or resource busy\n");
	names = list(f->upper, "etc");
	assert_string_equal(names, "");
}

static void hosts_of_the_image_stays(void **state)
{
	struct fixture *f = *state;
	ib_autofree char *etc = NULL;

	write_file(f->lower, "etc/hosts", "of the image\n", 0644);
	f->spec.hosts = "generated\n";
	sh(f, "cat /etc/hosts; echo x > /etc/own");
	assert_string_equal(out(f), "generated\n");
	etc = list(f->upper, "etc");
	assert_string_equal(etc, "own");
}

static void resolv_conf_may_be_a_dangling_link(void **state)
{
	struct fixture *f = *state;
	ib_autofree char *link = ib_asprintf("%s/etc/resolv.conf", f->lower);
	ib_autofree char *top = NULL;

	assert_int_equal(symlink("../run/resolve/stub.conf", link), 0);
	f->spec.resolv_conf = "nameserver 192.0.2.1\n";
	sh(f, "cat /etc/resolv.conf; readlink /etc/resolv.conf");
	assert_string_equal(out(f), "nameserver 192.0.2.1\n../run/resolve/stub.conf\n");
	top = list(f->upper, "");
	assert_string_equal(top, "");
}

static void empty_image_keeps_only_dev_proc_sys(void **state)
{
	struct fixture *f = *state;
	ib_autofree char *empty = ib_asprintf("%s/empty", f->dir);
	ib_autofree char *top = NULL;
	struct sandbox_mount mounts[] = {
		{.kind = SANDBOX_MOUNT_BIND, .source = NULL, .target = NULL, .read_only = true},
	};
	char source[] = BUSYBOX, target[] = "/x/y/busybox";
	ib_autoerr err = {0};

	make_dir(f->dir, "empty");
	ib_strv_done(&f->spec.lower);
	ib_strv_add(&f->spec.lower, empty);
	mounts[0].source = source;
	mounts[0].target = target;
	f->spec.mounts = mounts;
	f->spec.n_mounts = 1;
	f->spec.hosts = "x";
	ib_strv_add(&f->spec.argv, "/x/y/busybox");
	ib_strv_add(&f->spec.argv, "true");
	if (try_argv(f, &err) < 0)
		fail_msg("%s", err.text);
	top = list(f->upper, "");
	assert_string_equal(top, "dev proc sys");
}

static void times_of_directories_with_mount_points_stay(void **state)
{
	struct fixture *f = *state;
	const struct timespec times[2] = {{.tv_sec = 1000000000}, {.tv_sec = 1000000000}};
	ib_autofree char *lower = ib_asprintf("%s/etc", f->lower);
	ib_autofree char *upper = ib_asprintf("%s/etc", f->upper);
	struct stat st;

	assert_int_equal(utimensat(AT_FDCWD, lower, times, 0), 0);
	f->spec.hosts = "x";
	f->spec.resolv_conf = "x";
	sh(f, "stat -c %Y /etc");
	assert_string_equal(out(f), "1000000000\n");
	assert_int_equal(stat(upper, &st), 0);
	assert_int_equal(st.st_mtim.tv_sec, 1000000000);
}

static void image_whose_proc_is_a_link_is_refused(void **state)
{
	struct fixture *f = *state;
	ib_autofree char *proc = ib_asprintf("%s/proc", f->lower);
	ib_autoerr err = {0};

	assert_int_equal(rmdir(proc), 0);
	assert_int_equal(symlink("/etc", proc), 0);
	set_sh(f, "true");
	assert_int_equal(try_argv(f, &err), -1);
	assert_string_equal(err.text, "/proc in the image is no directory");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define T(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)
		T(capabilities_are_the_default_set),
		T(covered_paths_show_nothing),
		T(kernel_settings_are_read_only),
		T(devices_work_and_belong_to_the_host),
		T(shm_has_its_size),
		T(mounting_is_refused),
		T(namespaces_are_refused),
		T(other_processes_are_not_seen),
		T(host_file_system_is_gone),
		T(chroot_finds_no_way_out),
		T(builder_executable_is_out_of_reach),
		T(network_none_has_only_loopback),
		T(hosts_and_resolv_conf_are_read_only_and_leave_nothing),
		T(hosts_of_the_image_stays),
		T(resolv_conf_may_be_a_dangling_link),
		T(empty_image_keeps_only_dev_proc_sys),
		T(times_of_directories_with_mount_points_stay),
		T(image_whose_proc_is_a_link_is_refused),
	};
	const struct CMUnitTest several_ids[] = {
		T(other_users_have_no_capability),
		T(set_uid_programs_work),
	};
	const struct CMUnitTest real_root[] = {
		T(device_nodes_can_be_made_but_not_opened),
	};
	int failed;

	sandbox_open();
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	if (privilege != SANDBOX_SINGLE_ID)
		failed += cmocka_run_group_tests(several_ids, NULL, NULL);
	if (privilege == SANDBOX_ROOT)
		failed += cmocka_run_group_tests(real_root, NULL, NULL);
	sandbox_close();
	return failed;
}
