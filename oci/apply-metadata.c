#include "oci/layer-apply-internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "oci/base/str.h"

#include "oci/base/poison.h"

#define ACL_ACCESS "system.posix_acl_access"
#define ACL_DEFAULT "system.posix_acl_default"

int apply_metadata_of(const struct apply *a, const struct oci_tar_entry *e, struct apply_metadata *ret_metadata,
		      struct ib_err *err)
{
	const struct oci_apply_options *options = a->options;

	/* (uid_t)-1 means "leave it" to chown(2). */
	if (options->keep_owner && !options->force_owner && (e->uid >= UINT32_MAX || e->gid >= UINT32_MAX))
		return ib_fail(err, IB_INVALID, "owner %ju:%ju is out of range", (uintmax_t)e->uid,
			       (uintmax_t)e->gid);
	*ret_metadata = (struct apply_metadata){
		.uid = options->force_owner ? options->uid : (uid_t)e->uid,
		.gid = options->force_owner ? options->gid : (gid_t)e->gid,
		.mode = e->mode & 07777,
		.mtime = e->mtime,
		.xattrs = e->xattrs,
		.n_xattrs = e->n_xattrs,
	};
	return 0;
}

/* Marks of overlayfs are no content: in a layer they would change what the layers below show. */
static bool is_overlay_mark(const char *name)
{
	return ib_starts(name, "trusted.overlay.") || ib_starts(name, "user.overlay.");
}

/*
 * May an attribute be left out because it cannot be set here? What the file system or the type of file does
 * not have, what is for the machine's administrator, and, without a range of ids, all that needs
 * privileges. Capabilities are never dropped where owners are kept: programs would fail for want of them.
 */
static bool may_leave_out(const struct apply *a, const char *name, int sys, bool special)
{
	bool refused = sys == EPERM || sys == EACCES || sys == EINVAL;

	if (sys == EOPNOTSUPP)
		return true;
	if (ib_starts(name, "user."))
		return special && refused;
	if (strcmp(name, "security.capability") == 0 || ib_starts(name, "system.posix_acl_"))
		return !a->options->keep_owner && refused;
	return refused;
}

static int fail_xattr(struct ib_err *err, int sys, const char *name)
{
	ib_autofree char *shown = ib_printable(name, 256);

	return ib_fail_sys(err, sys, "set extended attribute '%s'", shown);
}

static int set_xattrs_fd(const struct apply *a, int fd, const struct apply_metadata *m, struct ib_err *err)
{
	for (size_t i = 0; i < m->n_xattrs; i++) {
		const struct oci_xattr *x = &m->xattrs[i];

		if (!is_overlay_mark(x->name) && fsetxattr(fd, x->name, x->value, x->size, 0) < 0 &&
		    !may_leave_out(a, x->name, errno, false))
			return fail_xattr(err, errno, x->name);
	}
	return 0;
}

static int set_xattrs_at(const struct apply *a, int dirfd, const char *name, const struct apply_metadata *m,
			 struct ib_err *err)
{
	char path[48 + APPLY_MAX_COMPONENT];

	/* There is no *at() call for it; the last component is not followed. */
	(void)snprintf(path, sizeof path, "/proc/self/fd/%d/%s", dirfd, name);
	for (size_t i = 0; i < m->n_xattrs; i++) {
		const struct oci_xattr *x = &m->xattrs[i];

		if (!is_overlay_mark(x->name) && lsetxattr(path, x->name, x->value, x->size, 0) < 0 &&
		    !may_leave_out(a, x->name, errno, true))
			return fail_xattr(err, errno, x->name);
	}
	return 0;
}

static bool has_xattr(const struct apply_metadata *m, const char *name)
{
	for (size_t i = 0; i < m->n_xattrs; i++)
		if (strcmp(m->xattrs[i].name, name) == 0)
			return true;
	return false;
}

/* A file made in a directory with a default access list inherits what its entry does not have. */
static int drop_inherited(int fd, const struct apply_metadata *m, bool directory, struct ib_err *err)
{
	if (!has_xattr(m, ACL_ACCESS) && fremovexattr(fd, ACL_ACCESS) < 0 && errno != ENODATA &&
	    errno != EOPNOTSUPP)
		return ib_fail_sys(err, errno, "remove inherited access list");
	if (directory && !has_xattr(m, ACL_DEFAULT) && fremovexattr(fd, ACL_DEFAULT) < 0 && errno != ENODATA &&
	    errno != EOPNOTSUPP)
		return ib_fail_sys(err, errno, "remove inherited access list");
	return 0;
}

/*
 * Owner, attributes and mode, in this order: chown(2) clears capabilities and set-id bits, and attributes
 * may need the permission that the mode takes away. What is right already costs nothing; asking costs less
 * than guessing what umask, set-group-id directories and access lists made of it.
 */
static int set_fd(const struct apply *a, int fd, const struct apply_metadata *m, mode_t mode, bool inherits,
		  bool directory, struct ib_err *err)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		return ib_fail_sys(err, errno, "stat");
	if (a->options->keep_owner && (st.st_uid != m->uid || st.st_gid != m->gid)) {
		if (fchown(fd, m->uid, m->gid) < 0)
			return ib_fail_sys(err, errno, "set owner %u:%u", m->uid, m->gid);
		st.st_mode &= directory ? ~0u : ~(mode_t)06000;
	}
	if (inherits && drop_inherited(fd, m, directory, err) < 0)
		return -1;
	if (m->n_xattrs && set_xattrs_fd(a, fd, m, err) < 0)
		return -1;
	if (((st.st_mode & 07777) != mode || inherits || m->n_xattrs) && fchmod(fd, mode) < 0)
		return ib_fail_sys(err, errno, "set mode %04o", mode);
	return 0;
}

int apply_metadata_file(const struct apply *a, int fd, const struct apply_dir *parent,
			const struct apply_metadata *m, struct ib_err *err)
{
	struct timespec times[2] = {{.tv_nsec = UTIME_OMIT}, m->mtime};

	if (set_fd(a, fd, m, m->mode, parent->default_acl, false, err) < 0)
		return -1;
	return futimens(fd, times) < 0 ? ib_fail_sys(err, errno, "set time") : 0;
}

int apply_metadata_dir(const struct apply *a, struct apply_dir *dir, const struct apply_metadata *m,
		       struct ib_err *err)
{
	/* Its owner's permissions are needed until all is in it. */
	if (set_fd(a, dir->fd, m, m->mode | 0700, dir->default_acl, true, err) < 0)
		return -1;
	dir->default_acl = has_xattr(m, ACL_DEFAULT);
	dir->mode = m->mode;
	dir->opened_up = (m->mode & 0700) != 0700;
	dir->mtime = m->mtime;
	dir->touched = true;
	return 0;
}

int apply_metadata_at(const struct apply *a, const struct apply_dir *dir, const char *name,
		      const struct apply_metadata *m, struct ib_err *err)
{
	struct timespec times[2] = {{.tv_nsec = UTIME_OMIT}, m->mtime};
	struct stat st;

	if (a->options->keep_owner && fchownat(dir->fd, name, m->uid, m->gid, AT_SYMLINK_NOFOLLOW) < 0)
		return ib_fail_sys(err, errno, "set owner %u:%u", m->uid, m->gid);
	if (m->n_xattrs && set_xattrs_at(a, dir->fd, name, m, err) < 0)
		return -1;
	if (fstatat(dir->fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return ib_fail_sys(err, errno, "stat");
	/* We have just made it and it is no link, so there is none to follow. */
	if (!S_ISLNK(st.st_mode) && (st.st_mode & 07777) != m->mode && fchmodat(dir->fd, name, m->mode, 0) < 0)
		return ib_fail_sys(err, errno, "set mode %04o", m->mode);
	if (utimensat(dir->fd, name, times, AT_SYMLINK_NOFOLLOW) < 0)
		return ib_fail_sys(err, errno, "set time");
	return 0;
}
