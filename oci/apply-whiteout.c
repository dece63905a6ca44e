#include "oci/layer-apply-internal.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "oci/base/alloc.h"
#include "oci/base/str.h"

#include "oci/base/poison.h"

#define PREFIX ".wh."
#define META_PREFIX ".wh..wh."	/* what aufs kept beside the files */
#define OPAQUE ".wh..wh..opq"

enum name_kind { NAME_ORDINARY, NAME_WHITEOUT, NAME_OPAQUE, NAME_META, NAME_BAD };

/* By its components, the last of which decides. */
static enum name_kind kind_of(const char *path)
{
	bool inside = false;

	for (;;) {
		size_t n = strcspn(path, "/");
		bool last = path[n] == '\0';

		if (last && strcmp(path, OPAQUE) == 0)
			return inside ? NAME_BAD : NAME_OPAQUE;
		if (ib_starts(path, META_PREFIX))
			return NAME_META;
		if (last && ib_starts(path, PREFIX)) {
			const char *name = path + strlen(PREFIX);

			return inside || !*name || strcmp(name, ".") == 0 || strcmp(name, "..") == 0 ?
				       NAME_BAD : NAME_WHITEOUT;
		}
		inside = inside || ib_starts(path, PREFIX);
		if (last)
			return inside ? NAME_BAD : NAME_ORDINARY;
		path += n + 1;
	}
}

/* The names in a directory, which is changed while they are gone through. */
static int list(const struct apply_dir *dir, struct ib_strv *names, struct ib_err *err)
{
	int fd = openat(dir->fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *stream = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *de;
	int sys;

	if (!stream) {
		sys = errno;
		ib_closep(&fd);
		return ib_fail_sys(err, sys, "read directory");
	}
	while ((errno = 0, de = readdir(stream)))
		if (strcmp(de->d_name, ".") != 0 && strcmp(de->d_name, "..") != 0)
			ib_strv_add(names, de->d_name);
	sys = errno;
	(void)closedir(stream);
	return sys ? ib_fail_sys(err, sys, "read directory") : 0;
}

/* Remove name unless this layer put it there; a directory that it did is added to those still to be emptied. */
static int remove_one(struct apply *a, struct apply_dir *dir, const char *name, struct ib_strv *todo,
		      struct ib_err *err)
{
	int ours = apply_record_has(a, dir->path, name, err);
	struct stat st;

	if (ours < 0)
		return -1;
	if (!ours)
		return apply_remove(a, dir, name, err);
	if (fstatat(dir->fd, name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISDIR(st.st_mode))
		ib_strv_take(todo, ib_asprintf("%s%s%s", dir->path, dir->len ? "/" : "", name));
	return 0;
}

/* Remove what lower layers have in the directory at a literal path, but for what this layer put there. */
static int empty_one(struct apply *a, const char *path, struct ib_strv *todo, struct ib_err *err)
{
	ib_autofree char *below = ib_asprintf("%s/.", path);
	ib_autostrv names = {0};
	struct apply_dir *dir;
	const char *name;
	int found = apply_resolve_parent(a, below + (*path == '\0'), APPLY_LOOK, &dir, &name, err);

	if (found <= 0)
		return found;
	if (list(dir, &names, err) < 0)
		return -1;
	for (size_t i = 0; i < names.n; i++)
		if (remove_one(a, dir, names.v[i], todo, err) < 0)
			return -1;
	return 0;
}

static int empty_all(struct apply *a, struct ib_strv *todo, struct ib_err *err)
{
	while (todo->n) {
		ib_autofree char *path = todo->v[--todo->n];

		todo->v[todo->n] = NULL;
		if (empty_one(a, path, todo, err) < 0)
			return -1;
	}
	return 0;
}

/*
 * layer.md "Whiteouts": they hide lower layers only, wherever they stand in this one. So a directory that
 * this layer has under that name becomes opaque, and anything else of that name hides what is below anyway.
 */
static int whiteout_in_overlay(struct apply *a, struct apply_dir *dir, const char *name, struct ib_err *err)
{
	struct apply_dir *child;
	int found;

	dir->touched = true;
	if (mknodat(dir->fd, name, S_IFCHR, 0) == 0)
		return 0;
	if (errno != EEXIST)
		return ib_fail_sys(err, errno, "create whiteout");
	found = apply_dirs_open(a, dir, name, &child, err);
	return found > 0 ? apply_dir_make_opaque(a, child, err) : found;
}

static int whiteout_in_tree(struct apply *a, struct apply_dir *dir, const char *name, struct ib_err *err)
{
	ib_autostrv todo = {0};

	return remove_one(a, dir, name, &todo, err) < 0 ? -1 : empty_all(a, &todo, err);
}

static int set_opaque(struct apply *a, struct apply_dir *dir, struct ib_err *err)
{
	ib_autostrv todo = {0};

	if (a->overlay)
		return apply_dir_make_opaque(a, dir, err);
	ib_strv_add(&todo, dir->path);
	return empty_all(a, &todo, err);
}

int apply_whiteout(struct apply *a, const char *path, struct ib_err *err)
{
	enum name_kind kind = kind_of(path);
	struct apply_dir *dir;
	const char *name;
	int done;

	switch (kind) {
	case NAME_ORDINARY:
		return 0;
	case NAME_META:
		return 1;
	case NAME_BAD:
		return ib_fail(err, IB_INVALID, "bad name of a whiteout");
	case NAME_WHITEOUT:
	case NAME_OPAQUE:
		break;
	}
	if (apply_resolve_parent(a, path, APPLY_MAKE, &dir, &name, err) < 0)
		return -1;
	if (kind == NAME_OPAQUE)
		return set_opaque(a, dir, err) < 0 ? -1 : 1;
	name += strlen(PREFIX);
	done = a->overlay ? whiteout_in_overlay(a, dir, name, err) : whiteout_in_tree(a, dir, name, err);
	return done < 0 ? -1 : 1;
}
