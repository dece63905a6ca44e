#include "oci/base/pool.h"
#include "oci/diff-entry.h"

#include "oci/base/poison.h"

/*
 * Two trees walked side by side. Both walks visit names in the same order, so whatever one of them meets
 * first is missing in the other.
 */
struct pair {
	struct diff_recorder *rec;
	struct oci_union_walk *walk[2];
	const struct oci_walk_entry *at[2];	/* NULL at the end */
};

enum { NEW, OLD };

static void pair_done(struct pair *p)
{
	oci_union_walk_free(p->walk[NEW]);
	oci_union_walk_free(p->walk[OLD]);
}

/* The next entry of one walk. Sockets are no part of a layer, in neither tree. */
static int advance(struct pair *p, int side, struct ib_err *err)
{
	int r;

	do
		r = oci_union_walk_next(p->walk[side], &p->at[side], err);
	while (r > 0 && S_ISSOCK(p->at[side]->st.st_mode));
	if (r == 0)
		p->at[side] = NULL;
	return r < 0 ? -1 : 0;
}

static bool is_dir(const struct oci_walk_entry *e)
{
	return S_ISDIR(e->st.st_mode);
}

/* Which path a walk visits first: bytes in order, but '/' before all others, and an end before that. */
static int walk_order(const char *a, const char *b)
{
	while (*a && *a == *b) {
		a++;
		b++;
	}
	if (*a == *b)
		return 0;
	if (!*a || !*b)
		return *a ? 1 : -1;
	if (*a == '/' || *b == '/')
		return *a == '/' ? -1 : 1;
	return (unsigned char)*a < (unsigned char)*b ? -1 : 1;
}

static int only_old(struct pair *p, struct ib_err *err)
{
	if (diff_remove(p->rec, p->at[OLD]->path, err) < 0)
		return -1;
	if (is_dir(p->at[OLD]))
		oci_union_walk_skip(p->walk[OLD]);
	return advance(p, OLD, err);
}

static int only_new(struct pair *p, struct ib_err *err)
{
	return diff_record(p->rec, p->at[NEW], err) < 0 ? -1 : advance(p, NEW, err);
}

static int both(struct pair *p, struct ib_err *err)
{
	const struct oci_walk_entry *n = p->at[NEW], *o = p->at[OLD];
	const struct diff_side a = {.dirfd = n->dirfd, .name = n->name, .st = &n->st};
	const struct diff_side b = {.dirfd = o->dirfd, .name = o->name, .st = &o->st};
	int same = diff_same(&a, &b, n->path, err);

	if (same < 0)
		return -1;
	if (!same && diff_record(p->rec, n, err) < 0)
		return -1;
	if (same && is_dir(n))
		diff_pass(p->rec, n);
	if (is_dir(o) && !is_dir(n))
		oci_union_walk_skip(p->walk[OLD]);	/* the new entry hides what was in it */
	return advance(p, NEW, err) < 0 || advance(p, OLD, err) < 0 ? -1 : 0;
}

static int step(struct pair *p, struct ib_err *err)
{
	int order;

	if (ib_check_cancelled(err) < 0)
		return -1;
	if (!p->at[NEW] || !p->at[OLD])
		return p->at[NEW] ? only_new(p, err) : only_old(p, err);
	order = walk_order(p->at[NEW]->path, p->at[OLD]->path);
	if (order == 0)
		return both(p, err);
	return order < 0 ? only_new(p, err) : only_old(p, err);
}

int diff_trees(struct diff_recorder *rec, struct oci_union *new_tree, struct oci_union *old_tree,
	       const char *path, struct ib_err *err)
{
	IB_CLEANUP(pair_done) struct pair p = {.rec = rec};

	if (oci_union_walk_new(new_tree, path, 0, &p.walk[NEW], err) < 0 ||
	    oci_union_walk_new(old_tree, path, 0, &p.walk[OLD], err) < 0)
		return -1;
	if (advance(&p, NEW, err) < 0 || advance(&p, OLD, err) < 0)
		return -1;
	while (p.at[NEW] || p.at[OLD]) {
		if (step(&p, err) < 0)
			return -1;
	}
	return 0;
}

int oci_layer_diff_trees(struct oci_layer_writer *writer, struct oci_union *new_tree,
			 struct oci_union *old_tree, const struct oci_diff_options *options,
			 int64_t *ret_entries, struct ib_err *err)
{
	IB_CLEANUP(diff_recorder_done) struct diff_recorder rec;

	diff_recorder_init(&rec, writer, options);
	if (diff_trees(&rec, new_tree, old_tree, "", err) < 0)
		return -1;
	*ret_entries = rec.entries;
	return 0;
}
