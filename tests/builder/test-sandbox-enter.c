/* Which privileges a process finds, and what it is told where it finds none. Each in a process of its own. */
#include "tests/builder/sandbox-fixture.h"

#include <errno.h>
#include <linux/capability.h>
#include <linux/seccomp.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#include "builder/sandbox/sandbox-internal.h"

#include "oci/base/poison.h"

/* What a child found, in memory that we share. */
struct found {
	enum sandbox_privilege privilege;
	char reason[1024];
	unsigned int uid, gid;
	bool wrote;	/* a file, after entering */
};

static struct found *found;

static void enter_and_look(void)
{
	ib_autoerr err = {0};
	char *reason = NULL;
	char file[] = "/tmp/sandbox-enter-XXXXXX";
	int fd;

	if (sandbox_enter(&found->privilege, &reason, &err) < 0)
		_exit(1);
	(void)snprintf(found->reason, sizeof found->reason, "%s", reason ? reason : "");
	free(reason);
	found->uid = geteuid();
	found->gid = getegid();
	fd = mkstemp(file);
	found->wrote = fd >= 0 && unlink(file) == 0;
	_exit(0);
}

static void in_child(void (*prepare)(void))
{
	pid_t pid;
	int status;

	memset(found, 0, sizeof *found);
	pid = fork();
	if (pid == 0) {
		if (prepare)
			prepare();
		enter_and_look();
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

static void drop_all_capabilities(void)
{
	struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct data[2] = {0};

	if (syscall(SYS_capset, &header, data) < 0)
		_exit(2);
}

static void forbid_unshare(void)
{
	struct sock_filter program[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_unshare, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog filter = {.len = 4, .filter = program};

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 || prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter, 0, 0) < 0)
		_exit(2);
}

static void entering_makes_us_root(void **state)
{
	(void)state;
	in_child(NULL);
	if (found->privilege == SANDBOX_NOTHING) {
		print_message("needs user namespaces\n");
		skip();
	}
	assert_int_equal(found->uid, 0);
	assert_int_equal(found->gid, 0);
	assert_true(found->wrote);
	if (geteuid() == 0 && found->privilege == SANDBOX_ROOT)
		assert_string_equal(found->reason, "");
	else if (geteuid() != 0)
		assert_int_not_equal(found->privilege, SANDBOX_ROOT);
}

static void root_without_capabilities_is_told_so(void **state)
{
	(void)state;
	if (geteuid() != 0) {
		print_message("needs root\n");
		skip();
	}
	in_child(drop_all_capabilities);
	assert_int_equal(found->privilege, SANDBOX_NOTHING);
	assert_non_null(strstr(found->reason, "CAP_SYS_ADMIN"));
	assert_true(found->wrote);	/* files can still be copied */
}

static void refused_namespaces_name_the_filter(void **state)
{
	(void)state;
	in_child(forbid_unshare);
	assert_int_equal(found->privilege, SANDBOX_NOTHING);
	assert_non_null(strstr(found->reason, "Operation not permitted; "));
	assert_non_null(strstr(found->reason, "seccomp"));
	assert_true(found->wrote);
}

static void ranges_are_found_by_name_and_by_number(void **state)
{
	char dir[] = "/tmp/sandbox-subid-XXXXXX";
	ib_autofree char *file = NULL;
	struct sandbox_subids ids;
	ib_autoerr err = {0};

	(void)state;
	assert_non_null(mkdtemp(dir));
	file = ib_asprintf("%s/subuid", dir);
	write_file(dir, "subuid", "anna:100000:65536\n# a comment\nbert:165536:65536\n1001:300000:10\nbert:400000:5\n"
				  "anna:x:y\nanna:5\n:::\nanna:4294967294:9\nanna:0:5\n", 0644);
	assert_int_equal(sandbox_subids_read(file, "anna", 1000, &ids, &err), 0);
	assert_int_equal(ids.n, 1);
	assert_int_equal(ids.range[0].first, 100000);
	assert_int_equal(ids.range[0].count, 65536);
	assert_int_equal(sandbox_subids_read(file, "bert", 1001, &ids, &err), 0);
	assert_int_equal(ids.n, 3);
	assert_int_equal(ids.range[1].first, 300000);
	assert_int_equal(ids.range[2].first, 400000);
	assert_int_equal(sandbox_subids_read(file, NULL, 1001, &ids, &err), 0);
	assert_int_equal(ids.n, 1);
	assert_int_equal(sandbox_subids_read(file, "carl", 7, &ids, &err), -1);
	assert_int_equal(err.code, IB_NOTFOUND);
	assert_non_null(strstr(err.text, "has no range for user carl"));
	assert_int_equal(unlink(file), 0);
	assert_int_equal(rmdir(dir), 0);
}

static void filter_is_small_and_made_for_both_kinds(void **state)
{
	struct sock_fprog full = {0}, single = {0};
	ib_autoerr err = {0};

	(void)state;
	assert_int_equal(sandbox_seccomp_build(false, &full, &err), 0);
	assert_int_equal(sandbox_seccomp_build(true, &single, &err), 0);
	assert_in_range(full.len, 50, 1000);
	assert_int_not_equal(full.len, single.len);
	free(full.filter);
	free(single.filter);
}

static int share_found(void **state)
{
	(void)state;
	found = mmap(NULL, sizeof *found, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	return found == MAP_FAILED ? -1 : 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(entering_makes_us_root),
		cmocka_unit_test(root_without_capabilities_is_told_so),
		cmocka_unit_test(refused_namespaces_name_the_filter),
		cmocka_unit_test(ranges_are_found_by_name_and_by_number),
		cmocka_unit_test(filter_is_small_and_made_for_both_kinds),
	};

	return cmocka_run_group_tests(tests, share_found, NULL);
}
