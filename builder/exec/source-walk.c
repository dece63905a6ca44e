#include <stdlib.h>
#include <string.h>

#include "builder/exec/selection.h"
#include "oci/base/alloc.h"

#include "oci/base/poison.h"

/* A directory that is left out, unless something in it is not. */
struct held {
	char *full;
	struct stat st;
};

struct exec_source_walk {
	const struct builder_ignore *ignore;	/* NULL: nothing is left out */
	struct oci_union_walk *walk;
	size_t base_len;	/* bytes in front of a path below the directory */
	struct exec_source_entry entry;

	struct held *held;	/* from the outermost to the innermost directory */
	size_t n, cap;
	size_t next_held;	/* while waiting: the one to be returned next */
	const struct oci_walk_entry *waiting;	/* to be returned after all that are held */
	bool late;		/* what was returned last was held */
};

int exec_source_walk_new(const struct exec_tree *tree, const char *dir, struct exec_source_walk **ret_walk,
			 struct ib_err *err)
{
	IB_CLEANUP(exec_source_walk_freep) struct exec_source_walk *walk = ib_new(struct exec_source_walk);

	if (tree->ignore && !builder_ignore_is_empty(tree->ignore))
		walk->ignore = tree->ignore;
	walk->base_len = *dir ? strlen(dir) + 1 : 0;
	if (oci_union_walk_new(tree->tree, dir, 0, &walk->walk, err) < 0)
		return -1;
	*ret_walk = ib_steal_ptr(&walk);
	return 0;
}

static void drop_held(struct exec_source_walk *walk, size_t keep)
{
	while (walk->n > keep)
		free(walk->held[--walk->n].full);
}

void exec_source_walk_free(struct exec_source_walk *walk)
{
	if (!walk)
		return;
	drop_held(walk, 0);
	free(walk->held);
	oci_union_walk_free(walk->walk);
	free(walk);
}

static bool is_below(const char *path, const char *dir)
{
	size_t n = strlen(dir);

	return strncmp(path, dir, n) == 0 && path[n] == '/';
}

static void hold(struct exec_source_walk *walk, const struct oci_walk_entry *e)
{
	ib_grow(walk->held, walk->n, walk->cap);
	walk->held[walk->n++] = (struct held){.full = ib_strdup(e->path), .st = e->st};
}

/* Is e to be returned? If not, it is held when it may be needed yet. */
static bool takes(struct exec_source_walk *walk, const struct oci_walk_entry *e)
{
	while (walk->n > 0 && !is_below(e->path, walk->held[walk->n - 1].full))
		drop_held(walk, walk->n - 1);
	if (!builder_ignore_excludes(walk->ignore, e->path))
		return true;
	if (S_ISDIR(e->st.st_mode)) {
		if (builder_ignore_reaches_into(walk->ignore, e->path))
			hold(walk, e);
		else
			oci_union_walk_skip(walk->walk);
	}
	return false;
}

static void set_entry(struct exec_source_walk *walk, const char *full, int dirfd, size_t layer,
		      const struct stat *st)
{
	const char *path = full + walk->base_len, *slash = strrchr(path, '/');

	walk->entry = (struct exec_source_entry){
		.path = path,
		.name = slash ? slash + 1 : path,
		.full = full,
		.dirfd = dirfd,
		.layer = layer,
		.st = st,
	};
}

/* Return what is held, then what waits for it. */
static void set_waiting(struct exec_source_walk *walk)
{
	const struct oci_walk_entry *e = walk->waiting;

	walk->late = walk->next_held < walk->n;
	if (walk->late) {
		const struct held *held = &walk->held[walk->next_held++];

		set_entry(walk, held->full, -1, 0, &held->st);
		return;
	}
	set_entry(walk, e->path, e->dirfd, e->layer, &e->st);
	walk->waiting = NULL;
	drop_held(walk, 0);
}

int exec_source_walk_next(struct exec_source_walk *walk, const struct exec_source_entry **ret_entry,
			  struct ib_err *err)
{
	const struct oci_walk_entry *e;
	int r;

	while (!walk->waiting) {
		r = oci_union_walk_next(walk->walk, &e, err);
		if (r <= 0)
			return r;
		if (!walk->ignore || takes(walk, e)) {
			walk->waiting = e;
			walk->next_held = 0;
		}
	}
	set_waiting(walk);
	*ret_entry = &walk->entry;
	return 1;
}

void exec_source_walk_skip(struct exec_source_walk *walk)
{
	if (!walk->late)
		oci_union_walk_skip(walk->walk);
}
