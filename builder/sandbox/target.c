#include "builder/sandbox/sandbox-internal.h"

#include <linux/openat2.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "builder/sandbox/mount-call.h"
#include "oci/base/alloc.h"

#include "oci/base/poison.h"

#define LINKS_MAX 40	/* as the kernel resolves */
#define PATH_LIMIT 4096u

static int open_inside(int root, const char *path, int flags, uint64_t resolve)
{
	struct open_how how = {.flags = (uint64_t)(flags | O_CLOEXEC), .resolve = resolve};

	return (int)syscall(SYS_openat2, root, path, &how, sizeof how);
}

/* Following links, but none that leads out of the root. */
static int open_resolved(int root, const char *path, int flags)
{
	return open_inside(root, path, flags, RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS);
}

/* The literal path of fd below the root, or NULL when it is in some other mount: those clean up after themselves. */
static char *literal_path(const struct sandbox_root *root, int fd)
{
	char link[MOUNT_PROC_FD_SIZE];
	char path[PATH_LIMIT];
	ssize_t n = readlink(mount_proc_fd(fd, link), path, sizeof path - 1);
	size_t skip = strlen(root->path);
	ib_autoclose int same = -1;

	if (n < 0 || (size_t)n < skip || memcmp(path, root->path, skip) != 0)
		return NULL;
	path[n] = '\0';
	while (path[skip] == '/')
		skip++;
	if (!path[skip])
		return ib_strdup("");
	same = open_inside(root->fd, path + skip, O_PATH,
			   RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_XDEV);
	return same < 0 ? NULL : ib_strdup(path + skip);
}

/* Tell the builder to remove what was made, when it is still empty afterwards. */
static void tell_made(const struct sandbox_root *root, int parent, const char *name, bool directory)
{
	struct sandbox_report report = {.head = {.kind = SANDBOX_REPORT_MADE, .directory = directory}};
	ib_autofree char *path = literal_path(root, parent);
	int n;

	if (!path)
		return;
	n = snprintf(report.text, sizeof report.text, "%s%s%s", path, *path ? "/" : "", name);
	if (n < 0 || (size_t)n >= sizeof report.text)
		return;
	/* Lost only if the builder is gone, and then the layer is too. */
	(void)send(root->report_fd, &report, sizeof report.head + (size_t)n + 1, MSG_NOSIGNAL);
}

/* Make name in parent, whose time stays what it was: a mount point is no change of the image. */
static int make(const struct sandbox_root *root, int parent, const char *name, bool directory, bool keep,
		struct ib_err *err)
{
	struct timespec times[2] = {{.tv_nsec = UTIME_OMIT}};
	struct stat st;
	int r;

	if (fstat(parent, &st) < 0)
		return ib_fail_sys(err, errno, "make mount point '%s'", name);
	if (directory)
		r = mkdirat(parent, name, 0755);
	else
		r = mknodat(parent, name, S_IFREG | 0644, 0);
	if (r < 0)
		return ib_fail_sys(err, errno, "make mount point '%s'", name);
	if (keep)
		return 0;
	times[1] = st.st_mtim;
	(void)futimens(parent, times);	/* a time that stays changed harms nobody */
	tell_made(root, parent, name, directory);
	return 0;
}

/* The path that results when the link at the end of head is replaced by where it leads. */
static char *replace_link(int parent, const char *head, size_t parent_len, const char *rest)
{
	ib_autostr path = IB_STR(PATH_LIMIT);
	char target[PATH_LIMIT];
	ssize_t n = readlinkat(parent, head + parent_len, target, sizeof target - 1);

	if (n <= 0)
		return NULL;
	target[n] = '\0';
	if (target[0] != '/')
		ib_str_add(&path, head, parent_len);
	ib_str_addf(&path, "%s%s%s", target, *rest ? "/" : "", rest);
	return path.overflow ? NULL : ib_str_steal(&path);
}

/*
 * Make what is missing of path, component by component. *ret_path is NULL when it is there now, else the path
 * to go on with, because a dangling link was met.
 */
static int make_path(const struct sandbox_root *root, const char *path, enum sandbox_target type, bool keep,
		     char **ret_path, struct ib_err *err)
{
	ib_autoclose int parent = open_resolved(root->fd, "/", O_RDONLY | O_DIRECTORY);
	ib_autofree char *head = ib_strdup(path);
	size_t at = 0;

	while (head[at += strspn(head + at, "/")]) {
		size_t end = at + strcspn(head + at, "/");
		size_t rest = end + strspn(head + end, "/");
		bool last = !head[rest];
		bool directory = !last || type == SANDBOX_TARGET_DIRECTORY;
		int next;

		head[end] = '\0';
		next = open_resolved(root->fd, head, directory ? O_RDONLY | O_DIRECTORY : O_PATH);
		if (next < 0 && errno == ENOENT) {
			*ret_path = replace_link(parent, head, at, path + rest);
			if (*ret_path)
				return 0;
			if (make(root, parent, head + at, directory, keep, err) < 0)
				return -1;
			next = open_resolved(root->fd, head, directory ? O_RDONLY | O_DIRECTORY : O_PATH);
		}
		if (next < 0)
			return ib_fail_sys(err, errno, "open '%s'", head);
		if (parent >= 0)
			(void)close(parent);
		parent = next;
		if (!last)
			head[end] = '/';
		at = end;
	}
	*ret_path = NULL;
	return 0;
}

static int check_type(int fd, const char *path, enum sandbox_target type, struct ib_err *err)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		return ib_fail_sys(err, errno, "mount point '%s'", path);
	if (type == SANDBOX_TARGET_DIRECTORY && !S_ISDIR(st.st_mode))
		return ib_fail_sys(err, ENOTDIR, "mount point '%s'", path);
	if (type == SANDBOX_TARGET_FILE && S_ISDIR(st.st_mode))
		return ib_fail_sys(err, EISDIR, "mount point '%s'", path);
	return 0;
}

int sandbox_target_open(const struct sandbox_root *root, const char *path, enum sandbox_target type, bool keep,
			struct ib_err *err)
{
	ib_autofree char *now = ib_strdup(path);
	ib_autoclose int fd = -1;

	for (int links = 0; links < LINKS_MAX; links++) {
		char *next = NULL;

		fd = open_resolved(root->fd, now, O_PATH);
		if (fd >= 0)
			return check_type(fd, path, type, err) < 0 ? -1 : ib_steal_fd(&fd);
		if (errno != ENOENT)
			return ib_fail_sys(err, errno, "mount point '%s'", path);
		if (make_path(root, now, type, keep, &next, err) < 0)
			return -1;
		if (next) {
			free(now);
			now = next;
		}
	}
	return ib_fail_sys(err, ELOOP, "mount point '%s'", path);
}
