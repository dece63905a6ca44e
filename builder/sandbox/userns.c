#include "builder/sandbox/sandbox-internal.h"

#include <fcntl.h>
#include <linux/capability.h>
#include <pwd.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/wait.h>

#include "oci/base/alloc.h"
#include "oci/base/fd.h"

#include "oci/base/poison.h"

#define MAP_MAX 65536u	/* bytes of /proc/PID/uid_map: 340 lines at most */

static long long read_setting(const char *path)
{
	ib_autoclose int fd = open(path, O_RDONLY | O_CLOEXEC);
	char text[32] = "";

	if (fd < 0 || ib_read_full(fd, text, sizeof text - 1) <= 0)
		return -1;
	return strtoll(text, NULL, 10);
}

static bool have_seccomp_filter(void)
{
	ib_autoerr err = {0};
	ib_autofree char *text = NULL;
	size_t len;

	return ib_read_file(AT_FDCWD, "/proc/self/status", MAP_MAX, &text, &len, &err) == 0 &&
	       strstr(text, "\nSeccomp:\t2");
}

char *sandbox_namespace_hint(int sys)
{
	if (read_setting("/proc/sys/user/max_user_namespaces") == 0 && geteuid() != 0)
		return ib_strdup("user.max_user_namespaces is 0; sysctl user.max_user_namespaces=15000 allows them");
	if (sys == ENOSPC)
		return ib_strdup("too many namespaces exist; see the sysctls user.max_*_namespaces");
	if (read_setting("/proc/sys/kernel/unprivileged_userns_clone") == 0 && geteuid() != 0)
		return ib_strdup("sysctl kernel.unprivileged_userns_clone=1 allows user namespaces");
	if (read_setting("/proc/sys/kernel/apparmor_restrict_unprivileged_userns") == 1 && geteuid() != 0)
		return ib_strdup("sysctl kernel.apparmor_restrict_unprivileged_userns=0, or an AppArmor profile with "
				 "userns for this program, allows user namespaces");
	if (have_seccomp_filter())
		return ib_strdup("a seccomp filter is active, as in most containers: start the container with "
				 "--security-opt seccomp=unconfined --security-opt apparmor=unconfined");
	return NULL;
}

/* How many ids /proc/self/uid_map (or gid_map) has; UINT32_MAX is all of them. */
static unsigned long long count_ids(const char *map)
{
	ib_autoerr err = {0};
	ib_autofree char *text = NULL;
	unsigned long long total = 0;
	size_t len;

	/* A kernel without user namespaces has no such file and all ids. */
	if (ib_read_file(AT_FDCWD, map, MAP_MAX, &text, &len, &err) < 0)
		return UINT32_MAX;
	for (char *p = text; *p;) {
		char *end;

		(void)strtoull(p, &end, 10);
		(void)strtoull(end, &end, 10);
		total += strtoull(end, &end, 10);
		p = end + strspn(end, " \n");
		if (p == end && *p)
			break;
	}
	return total;
}

/* With whatever ids are mapped into the user namespace that we are in. */
static enum sandbox_privilege privilege_here(void)
{
	unsigned long long uids = count_ids("/proc/self/uid_map");
	unsigned long long gids = count_ids("/proc/self/gid_map");

	if (uids >= UINT32_MAX && gids >= UINT32_MAX)
		return SANDBOX_ROOT;
	return uids > 1 && gids > 1 ? SANDBOX_SUBIDS : SANDBOX_SINGLE_ID;
}

/* What the helper in the parent namespace is to do. */
struct mapping {
	pid_t target;
	char *newuidmap, *newgidmap;		/* NULL: write the maps ourselves */
	struct sandbox_subids uids, gids;
	char *uid_map, *gid_map;		/* text, when we write it */
};

static void mapping_done(struct mapping *m)
{
	free(m->newuidmap);
	free(m->newgidmap);
	free(m->uid_map);
	free(m->gid_map);
}

static int write_text(const char *path, const char *text)
{
	ib_autoclose int fd = open(path, O_WRONLY | O_CLOEXEC);

	/* One write: the kernel takes the map once and whole. */
	return fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text) ? 0 : -1;
}

static int find_helper(const char *name, char **ret_path, struct ib_err *err)
{
	const char *path = getenv("PATH");
	ib_autostrv env = {0};

	ib_strv_take(&env, ib_asprintf("PATH=%s:/usr/bin:/bin", path ? path : ""));
	if (sandbox_program_find(name, &env, ret_path, err) == 0)
		return 0;
	return ib_fail(err, IB_NOTFOUND, "%s is not installed (package uidmap)", name);
}

/* An ordinary user: ranges of subordinate ids, given by the set-uid helpers of shadow. */
static int plan_subids(struct mapping *m, struct ib_err *err)
{
	struct passwd *pw = getpwuid(getuid());
	const char *user = pw ? pw->pw_name : NULL;

	if (find_helper("newuidmap", &m->newuidmap, err) < 0 || find_helper("newgidmap", &m->newgidmap, err) < 0 ||
	    sandbox_subids_read("/etc/subuid", user, getuid(), &m->uids, err) < 0)
		return -1;
	/* Both files go by user. */
	return sandbox_subids_read("/etc/subgid", user, getuid(), &m->gids, err);
}

/* The lines "a b n" of our own map as "a a n": all that we have goes into the new namespace under its name. */
static char *same_map(const char *path)
{
	ib_autoerr err = {0};
	ib_autofree char *text = NULL;
	ib_autostr map = IB_STR(MAP_MAX);
	size_t len;

	if (ib_read_file(AT_FDCWD, path, MAP_MAX, &text, &len, &err) < 0)
		return NULL;
	for (char *p = text; *p;) {
		char *end;
		unsigned long long first = strtoull(p, &end, 10), count;

		(void)strtoull(end, &end, 10);
		count = strtoull(end, &end, 10);
		if (!count)
			break;
		ib_str_addf(&map, "%llu %llu %llu\n", first, first, count);
		p = end + strspn(end, " \n");
	}
	return map.len ? ib_str_steal(&map) : NULL;
}

/* Root without CAP_SYS_ADMIN, as in most containers, may still give away all ids that it has. */
static int plan_same(struct mapping *m, struct ib_err *err)
{
	m->uid_map = same_map("/proc/self/uid_map");
	m->gid_map = same_map("/proc/self/gid_map");
	if (!m->uid_map || !m->gid_map)
		return ib_fail(err, IB_UNSUPPORTED, "/proc/self/uid_map cannot be read");
	return 0;
}

static void exec_helper(const char *program, pid_t target, unsigned long id, const struct sandbox_subids *subids)
	__attribute__((noreturn));

static void exec_helper(const char *program, pid_t target, unsigned long id, const struct sandbox_subids *subids)
{
	ib_autostrv argv = {0};
	unsigned long inside = 1;
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);

	ib_strv_add(&argv, program);
	ib_strv_take(&argv, ib_asprintf("%ld", (long)target));
	ib_strv_add(&argv, "0");
	ib_strv_take(&argv, ib_asprintf("%lu", id));
	ib_strv_add(&argv, "1");
	for (size_t i = 0; i < subids->n; i++) {
		ib_strv_take(&argv, ib_asprintf("%lu", inside));
		ib_strv_take(&argv, ib_asprintf("%lu", subids->range[i].first));
		ib_strv_take(&argv, ib_asprintf("%lu", subids->range[i].count));
		inside += subids->range[i].count;
	}
	if (null >= 0)
		for (int fd = 0; fd < 3; fd++)
			(void)dup2(null, fd);
	(void)execv(program, argv.v);
	_exit(127);
}

static bool ended_well(pid_t pid)
{
	int status;

	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return false;
	return status == 0;
}

static bool write_maps(const struct mapping *m)
{
	ib_autofree char *uid_path = ib_asprintf("/proc/%ld/uid_map", (long)m->target);
	ib_autofree char *gid_path = ib_asprintf("/proc/%ld/gid_map", (long)m->target);
	pid_t uid_helper, gid_helper;
	bool uid_done, gid_done;

	if (m->uid_map && m->gid_map)
		return write_text(gid_path, m->gid_map) == 0 && write_text(uid_path, m->uid_map) == 0;
	uid_helper = fork();
	if (uid_helper == 0)
		exec_helper(m->newuidmap, m->target, getuid(), &m->uids);
	gid_helper = fork();
	if (gid_helper == 0)
		exec_helper(m->newgidmap, m->target, getgid(), &m->gids);
	uid_done = uid_helper > 0 && ended_well(uid_helper);
	gid_done = gid_helper > 0 && ended_well(gid_helper);
	return uid_done && gid_done;
}

/* A process that stays behind in the present namespace and maps ids when told to. */
struct helper {
	pid_t pid;
	int go;		/* write end of its pipe; closed without a byte: it ends */
};

static int start_helper(const struct mapping *m, struct helper *ret_helper)
{
	int ends[2];

	if (pipe2(ends, O_CLOEXEC) < 0)
		return -1;
	ret_helper->pid = fork();
	if (ret_helper->pid == 0) {
		char byte;

		(void)close(ends[1]);
		_exit(read(ends[0], &byte, 1) == 1 && write_maps(m) ? 0 : 1);
	}
	(void)close(ends[0]);
	ret_helper->go = ends[1];
	return ret_helper->pid < 0 ? -1 : 0;
}

static bool finish_helper(struct helper *helper, bool go)
{
	bool told = !go || write(helper->go, "", 1) == 1;

	(void)close(helper->go);
	return helper->pid > 0 && ended_well(helper->pid) && told;
}

/* One id: root inside is who we are outside. The kernel wants setgroups() to be given up for it. */
static void map_single(uid_t uid, gid_t gid)
{
	ib_autofree char *uid_map = ib_asprintf("0 %u 1", (unsigned int)uid);
	ib_autofree char *gid_map = ib_asprintf("0 %u 1", (unsigned int)gid);

	/* Whatever is there already stays; the outcome is looked at afterwards. */
	(void)write_text("/proc/self/setgroups", "deny");
	(void)write_text("/proc/self/uid_map", uid_map);
	(void)write_text("/proc/self/gid_map", gid_map);
}

static int keep_mounts_here(struct ib_err *err)
{
	/* Slave: what the host unmounts goes here too, so that we keep nothing busy. */
	if (mount("none", "/", NULL, MS_REC | MS_SLAVE, NULL) < 0)
		return ib_fail_sys(err, errno, "keep mounts from the host");
	return 0;
}

static enum sandbox_privilege enter_user_namespace(char **ret_reason)
{
	IB_CLEANUP(mapping_done) struct mapping m = {.target = getpid()};
	struct helper helper = {.pid = -1, .go = -1};
	ib_autoerr err = {0};
	uid_t uid = geteuid();
	gid_t gid = getegid();
	bool many = (uid == 0 ? plan_same(&m, &err) : plan_subids(&m, &err)) == 0 && start_helper(&m, &helper) == 0;

	if (unshare(CLONE_NEWUSER | CLONE_NEWNS) < 0) {
		int sys = errno;
		ib_autofree char *hint = sandbox_namespace_hint(sys);

		if (many)
			(void)finish_helper(&helper, false);
		(void)ib_fail_sys(&err, sys, "make a user namespace");
		if (hint)
			(void)ib_err_hint(&err, "; %s", hint);
		*ret_reason = ib_steal_ptr(&err.text);
		return SANDBOX_NOTHING;
	}
	if (many && !finish_helper(&helper, true))
		(void)ib_fail(&err, IB_DENIED, "%s did not map the ids",
			      m.newuidmap ? "newuidmap or newgidmap" : "this container");
	if (geteuid() != 0 || getegid() != 0 || !many)
		map_single(uid, gid);
	if (geteuid() != 0 || getegid() != 0)
		(void)ib_fail(&err, IB_DENIED, "the kernel did not map our own id");
	else if (keep_mounts_here(&err) == 0 && privilege_here() != SANDBOX_SINGLE_ID)
		return SANDBOX_SUBIDS;	/* all ids there are: also those of a root that is not the real one */
	*ret_reason = ib_steal_ptr(&err.text);
	return geteuid() == 0 ? SANDBOX_SINGLE_ID : SANDBOX_NOTHING;
}

int sandbox_enter(enum sandbox_privilege *ret_privilege, char **ret_reason, struct ib_err *err)
{
	*ret_reason = NULL;
	if (geteuid() == 0 && unshare(CLONE_NEWNS) == 0) {
		*ret_privilege = privilege_here();
		if (*ret_privilege == SANDBOX_SINGLE_ID)
			*ret_reason = ib_strdup("only one id is mapped into this user namespace");
		if (keep_mounts_here(err) < 0) {
			free(*ret_reason);
			*ret_reason = ib_steal_ptr(&err->text);
			ib_err_clear(err);	/* told as the reason */
			*ret_privilege = SANDBOX_NOTHING;
		}
		return 0;
	}
	/* Beyond the point of no return the kernel would leave us without any id. */
	if (geteuid() == 0 && !sandbox_caps_have(CAP_SETFCAP)) {
		*ret_privilege = SANDBOX_NOTHING;
		*ret_reason = ib_strdup("root has neither CAP_SYS_ADMIN nor CAP_SETFCAP here, one of which namespaces "
					"take; an ordinary user needs neither");
		return 0;
	}
	*ret_privilege = enter_user_namespace(ret_reason);
	return 0;
}
