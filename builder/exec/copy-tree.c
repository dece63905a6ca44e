#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysmacros.h>

#include "builder/exec/content-open.h"
#include "builder/exec/copy-file.h"
#include "builder/exec/copy-internal.h"
#include "oci/base/alloc.h"
#include "oci/base/pool.h"
#include "oci/base/str.h"

#include "oci/base/poison.h"

/* Where the upper stands, to write to. */
static int to_fd(const struct exec_copier *copier)
{
	return exec_upper_dir(copier->upper)->fd;
}

static struct exec_metadata metadata_of(const struct exec_rules *rules, const struct stat *st)
{
	return (struct exec_metadata){
		.mode = exec_chmod_entry(&rules->chmod, st->st_mode),
		.uid = exec_rules_uid(rules, st),
		.gid = exec_rules_gid(rules, st),
		.keep_mtime = true,
		.mtime = st->st_mtim,
	};
}

static int make_way(struct exec_copier *copier, const char *name, struct ib_err *err)
{
	bool removed;

	if (exec_upper_clear(copier->upper, name, &removed, err) < 0)
		return -1;
	if (removed) {	/* what was removed may be what further names would be linked to */
		exec_hardlinks_forget(&copier->links);
		copier->links_settled = 0;
	}
	return 0;
}

/* Owner and time of what has just been made and is no regular file. */
static int set_special(struct exec_copier *copier, const char *path, const struct stat *st, const char *name,
		       struct ib_err *err)
{
	const struct timespec times[2] = {st->st_mtim, st->st_mtim};
	mode_t mode = exec_chmod_entry(&copier->rules.chmod, st->st_mode);

	if (exec_rules_chown_at(&copier->rules, to_fd(copier), name, st) < 0 ||
	    (!S_ISLNK(st->st_mode) && fchmodat(to_fd(copier), name, mode, 0) < 0) ||
	    utimensat(to_fd(copier), name, times, AT_SYMLINK_NOFOLLOW) < 0)
		return exec_content_fail(err, "copy", path);
	return 0;
}

static int copy_link(struct exec_copier *copier, const struct exec_source_entry *entry, struct ib_err *err)
{
	char target[PATH_MAX + 1];
	ssize_t n = readlinkat(entry->dirfd, entry->name, target, PATH_MAX);

	if (n < 0)
		return exec_content_fail(err, "copy", entry->full);
	target[n] = '\0';
	if (make_way(copier, entry->name, err) < 0)
		return -1;
	if (symlinkat(target, to_fd(copier), entry->name) < 0)
		return exec_content_fail(err, "copy", entry->full);
	return set_special(copier, entry->full, entry->st, entry->name, err);
}

/* A fifo or a device. */
static int copy_node(struct exec_copier *copier, const char *path, const struct stat *st, const char *name,
		     struct ib_err *err)
{
	ib_autofree char *shown = ib_printable(path, 1024);

	if (S_ISCHR(st->st_mode) && st->st_rdev == 0)
		return ib_fail(err, IB_UNSUPPORTED,
			       "copy '/%s': a character device 0:0 cannot be stored, it would hide a file", shown);
	if (!S_ISFIFO(st->st_mode) && !exec_upper_target(copier->upper)->keep_devices)
		return ib_fail(err, IB_UNSUPPORTED, "copy '/%s': device nodes cannot be made without root", shown);
	if (mknodat(to_fd(copier), name, st->st_mode, st->st_rdev) < 0)
		return exec_content_fail(err, "copy", path);
	return set_special(copier, path, st, name, err);
}

/*
 * Link to where the file was copied to under another name of its, or note that it will be here. 1 when it was
 * linked, 0, -1.
 */
static int link_again(struct exec_copier *copier, const char *path, const struct stat *st, const char *name,
		      struct ib_err *err)
{
	const char *other = exec_hardlinks_find(&copier->links, st);

	if (!other) {
		exec_hardlinks_add(&copier->links, st, exec_upper_path(copier->upper), name);
		return 0;
	}
	if ((size_t)(other - copier->links.paths) >= copier->links_settled) {
		if (exec_file_queue_drain(copier->files, err) < 0)
			return -1;
		copier->links_settled = copier->links.paths_len;
	}
	if (linkat(exec_upper_target(copier->upper)->upper_fd, other, to_fd(copier), name, 0) == 0)
		return 1;
	if (errno == EMLINK || errno == ENAMETOOLONG)
		return 0;
	return exec_content_fail(err, "copy", path);
}

int exec_copy_file(struct exec_copier *copier, const char *path, const struct stat *st, int content,
		   const char *name, struct ib_err *err)
{
	struct stat file = *st;
	int linked;

	if (make_way(copier, name, err) < 0)
		return -1;
	if (S_ISREG(st->st_mode) && st->st_nlink > 1) {
		linked = link_again(copier, path, st, name, err);
		if (linked)
			return linked < 0 ? -1 : 0;
	}
	if (!S_ISREG(st->st_mode) && !S_ISSOCK(st->st_mode))
		return copy_node(copier, path, st, name, err);
	if (S_ISSOCK(st->st_mode)) {	/* nobody listens in a layer: an empty file keeps its place */
		file.st_mode = S_IFREG | (st->st_mode & 07777);
		file.st_size = 0;
	}
	if (exec_file_write(&copier->rules, content, &file, to_fd(copier), name, copier->buffer) < 0)
		return exec_content_fail(err, "copy", path);
	exec_file_queue_count(copier->files, file.st_size);
	return 0;
}

static int copy_regular(struct exec_copier *copier, const struct exec_source_entry *entry, struct ib_err *err)
{
	int linked = 0;

	if (make_way(copier, entry->name, err) < 0)
		return -1;
	if (entry->st->st_nlink > 1)
		linked = link_again(copier, entry->full, entry->st, entry->name, err);
	if (linked)
		return linked < 0 ? -1 : 0;
	return exec_file_queue_add(copier->files, entry, err);
}

/* A directory below DEST has its source's metadata even if it was there before. */
static int copy_directory(struct exec_copier *copier, const struct exec_source_entry *entry, struct ib_err *err)
{
	const struct exec_metadata meta = metadata_of(&copier->rules, entry->st);
	bool was;

	exec_file_queue_moved(copier->files);
	if (exec_upper_down(copier->upper, entry->name, &meta, &was, err) < 0)
		return -1;
	exec_upper_dir(copier->upper)->meta = meta;
	return 0;
}

static int copy_entry(struct exec_copier *copier, const struct exec_source_entry *entry, struct ib_err *err)
{
	switch (entry->st->st_mode & S_IFMT) {
	case S_IFREG:
		return copy_regular(copier, entry, err);
	case S_IFDIR:
		return copy_directory(copier, entry, err);
	case S_IFLNK:
		return copy_link(copier, entry, err);
	}
	return exec_copy_file(copier, entry->full, entry->st, -1, entry->name, err);
}

static size_t depth_of(const char *path)
{
	size_t n = 0;

	while ((path = strchr(path, '/'))) {
		path++;
		n++;
	}
	return n;
}

/* The walk goes depth first, so what is less deep than where we stand is in one of the directories above. */
static int climb_to(struct exec_copier *copier, const struct exec_source_entry *entry, size_t *depth,
		    struct ib_err *err)
{
	size_t want = depth_of(entry->path);

	for (; *depth > want; --*depth) {
		exec_file_queue_moved(copier->files);
		if (exec_upper_up(copier->upper, err) < 0)
			return -1;
	}
	*depth += S_ISDIR(entry->st->st_mode);
	return 0;
}

int exec_copy_tree(struct exec_copier *copier, const struct exec_item *item, struct ib_err *err)
{
	IB_CLEANUP(exec_source_walk_freep) struct exec_source_walk *walk = NULL;
	struct exec_dir *dest = exec_upper_dir(copier->upper);
	const struct exec_source_entry *entry;
	size_t depth = 0;
	int r;

	dest->meta.keep_mtime = true;
	dest->meta.mtime = item->st.st_mtim;
	if (exec_source_walk_new(copier->tree, item->path, &walk, err) < 0)
		return -1;
	while ((r = exec_source_walk_next(walk, &entry, err)) > 0) {
		if (ib_check_cancelled(err) < 0 || climb_to(copier, entry, &depth, err) < 0 ||
		    copy_entry(copier, entry, err) < 0)
			return -1;
	}
	exec_file_queue_moved(copier->files);
	return r < 0 ? -1 : exec_file_queue_drain(copier->files, err);
}
