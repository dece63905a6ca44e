#include "builder/exec/file-write.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/xattr.h>

#include "builder/exec/copy-file.h"
#include "builder/exec/stat-cache.h"
#include "oci/base/fd.h"

#include "oci/base/poison.h"

#define CAPABILITY "security.capability"

uid_t exec_rules_uid(const struct exec_rules *rules, const struct stat *st)
{
	return rules->fixed_owner ? rules->uid : st->st_uid;
}

gid_t exec_rules_gid(const struct exec_rules *rules, const struct stat *st)
{
	return rules->fixed_owner ? rules->gid : st->st_gid;
}

static bool owner_differs(const struct exec_rules *rules, const struct stat *st)
{
	return rules->keep_owner &&
	       (exec_rules_uid(rules, st) != rules->euid || exec_rules_gid(rules, st) != rules->egid);
}

int exec_rules_chown_at(const struct exec_rules *rules, int dirfd, const char *name, const struct stat *st)
{
	if (!owner_differs(rules, st))
		return 0;
	return fchownat(dirfd, name, exec_rules_uid(rules, st), exec_rules_gid(rules, st), AT_SYMLINK_NOFOLLOW);
}

static int copy_capability(const struct exec_rules *rules, int from, int to)
{
	char value[EXEC_CAPABILITY_MAX];
	ssize_t n = fgetxattr(from, CAPABILITY, value, sizeof value);

	if (n < 0)
		return errno == ENODATA || errno == EOPNOTSUPP ? 0 : -1;
	if (fsetxattr(to, CAPABILITY, value, (size_t)n, 0) == 0)
		return 0;
	/* Who may not give files to others may not give them capabilities either. */
	return errno == EPERM && !rules->keep_owner ? 0 : -1;
}

/* After the content: owner, then the bits that a change of owner or a write takes away, the time last. */
static int set_metadata(const struct exec_rules *rules, int from, int to, const struct stat *st, mode_t mode)
{
	const struct timespec times[2] = {st->st_mtim, st->st_mtim};

	if (owner_differs(rules, st) && fchown(to, exec_rules_uid(rules, st), exec_rules_gid(rules, st)) < 0)
		return -1;
	if (mode & (S_ISUID | S_ISGID) && fchmod(to, mode) < 0)
		return -1;
	if (rules->capabilities && from >= 0 && copy_capability(rules, from, to) < 0)
		return -1;
	return futimens(to, times);
}

static int create(int dirfd, const char *name, mode_t mode)
{
	return openat(dirfd, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC,
		      mode & ~(mode_t)(S_ISUID | S_ISGID));
}

int exec_file_write(const struct exec_rules *rules, int from, const struct stat *st, int dirfd, const char *name,
		    char *buffer)
{
	mode_t mode = exec_chmod_entry(&rules->chmod, st->st_mode);
	ib_autoclose int to = create(dirfd, name, mode);

	if (to < 0)
		return -1;
	if (from >= 0 && st->st_size > 0 && exec_copy_content(from, to, st->st_size, st->st_blocks, buffer) < 0)
		return -1;
	return set_metadata(rules, from, to, st, mode);
}

int exec_file_write_bytes(const struct exec_rules *rules, const void *bytes, size_t n, const struct stat *st,
			  int dirfd, const char *name)
{
	mode_t mode = exec_chmod_entry(&rules->chmod, st->st_mode);
	ib_autoclose int to = create(dirfd, name, mode);

	if (to < 0 || ib_write_full(to, bytes, n) < 0)
		return -1;
	return set_metadata(rules, -1, to, st, mode);
}
