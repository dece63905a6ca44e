#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "oci/base/alloc.h"
#include "oci/union-internal.h"

#include "oci/base/poison.h"

#define RESOLVE_MAX_TEXT (2u << 20)	/* 255 links of PATH_MAX each fit */

/*
 * A path on its way through links: the directory reached (the stack), names that follow it but do not
 * exist, and the text still to be walked. Only the text's start is consumed; a link puts its target there.
 */
struct resolver {
	struct union_stack stack;
	struct ib_str missing;	/* "a/b" below the stack's path; the rest is lexical once this is not empty */
	struct ib_str rest;
	size_t at;		/* in rest */
	int links;
	bool follow_last;
	const char *path;	/* as asked for, for errors */
};

static void resolver_done(struct resolver *r)
{
	union_stack_done(&r->stack);
	ib_str_done(&r->missing);
	ib_str_done(&r->rest);
}

/* Take the next component into name; false at the end. ENAMETOOLONG is the caller's: *ret_n tells. */
static bool take_component(struct resolver *r, char name[static NAME_MAX + 1], size_t *ret_n)
{
	const char *p = r->rest.s + r->at;
	size_t n;

	p += strspn(p, "/");
	n = strcspn(p, "/");
	r->at = (size_t)(p - r->rest.s) + n;
	*ret_n = n;
	if (n <= NAME_MAX) {
		memcpy(name, p, n);
		name[n] = '\0';
	}
	return n > 0;
}

static bool at_end(const struct resolver *r)
{
	return r->rest.s[r->at + strspn(r->rest.s + r->at, "/")] == '\0';
}

static void add_missing(struct resolver *r, const char *name)
{
	if (r->missing.len)
		ib_str_addc(&r->missing, '/');
	ib_str_adds(&r->missing, name);
}

static void go_up(struct resolver *r)
{
	if (r->missing.len) {
		char *slash = strrchr(r->missing.s, '/');

		r->missing.len = slash ? (size_t)(slash - r->missing.s) : 0;
		r->missing.s[r->missing.len] = '\0';
	} else if (r->stack.n > 1) {
		union_stack_pop(&r->stack);
	}
}

/* Put the target of the link called name, in the top directory, in front of the rest. */
static int follow(struct resolver *r, const struct union_part *part, const char *name, struct ib_err *err)
{
	ib_autofree char *target = union_readlink(part->fd, name, r->path, err);
	ib_autofree char *tail = ib_strdup(r->rest.s + r->at);

	if (!target)
		return -1;
	if (++r->links > OCI_UNION_MAX_LINKS)
		return union_fail(err, ELOOP, r->path);
	while (target[0] == '/' && r->stack.n > 1)
		union_stack_pop(&r->stack);
	ib_str_reset(&r->rest);
	ib_str_adds(&r->rest, target);
	ib_str_addc(&r->rest, '/');
	ib_str_adds(&r->rest, tail);
	r->at = 0;
	return r->rest.overflow ? union_fail(err, ENAMETOOLONG, r->path) : 0;
}

/* The last component: 1 arrived (*ret_tail is what stays below the stack), 0 a link was followed, -1. */
static int step_last(struct resolver *r, const char *name, bool *ret_exists, struct ib_err *err)
{
	const struct union_part *part;
	struct stat st;
	int found = union_stack_stat(&r->stack, name, &st, &part, err);

	if (found < 0)
		return -1;
	if (found && S_ISLNK(st.st_mode) && r->follow_last)
		return follow(r, part, name, err);
	add_missing(r, name);
	*ret_exists = found;
	return 1;
}

/* A component with more behind it. */
static int step_through(struct resolver *r, const char *name, struct ib_err *err)
{
	const struct union_part *part;
	struct stat st;
	int found = union_stack_push(&r->stack, name, NULL, 0, err);

	if (found == UNION_NOTHING)
		add_missing(r, name);
	if (found != UNION_OTHER)
		return found < 0 ? -1 : 0;
	found = union_stack_stat(&r->stack, name, &st, &part, err);
	if (found < 0)
		return -1;
	if (!found || !S_ISLNK(st.st_mode))
		return union_fail(err, ENOTDIR, r->path);
	return follow(r, part, name, err);
}

/* One component: 1 at the end, 0 to go on, -1. */
static int step(struct resolver *r, bool *ret_exists, struct ib_err *err)
{
	char name[NAME_MAX + 1];
	size_t n;

	if (!take_component(r, name, &n)) {
		*ret_exists = r->missing.len == 0;
		return 1;
	}
	if (n > NAME_MAX)
		return union_fail(err, ENAMETOOLONG, r->path);
	if (strcmp(name, ".") == 0)
		return 0;
	if (strcmp(name, "..") == 0) {
		go_up(r);
		return 0;
	}
	if (r->missing.len) {
		add_missing(r, name);
		return 0;
	}
	return at_end(r) ? step_last(r, name, ret_exists, err) : step_through(r, name, err);
}

int oci_union_resolve(struct oci_union *u, const char *path, bool follow_last, char **ret_path,
		      bool *ret_exists, struct ib_err *err)
{
	IB_CLEANUP(resolver_done) struct resolver r = {
		.missing = IB_STR(UNION_MAX_PATH),
		.rest = IB_STR(RESOLVE_MAX_TEXT),
		.follow_last = follow_last,
		.path = path,
	};
	bool exists = false;
	int done;

	ib_str_adds(&r.rest, path);
	if (r.rest.overflow)
		return union_fail(err, ENAMETOOLONG, path);
	if (union_stack_init(&r.stack, u, false, err) < 0)
		return -1;
	do
		done = step(&r, &exists, err);
	while (done == 0);
	if (done < 0)
		return -1;
	if (r.stack.path.len && r.missing.len)
		ib_str_addc(&r.stack.path, '/');
	ib_str_add(&r.stack.path, r.missing.s, r.missing.len);
	if (r.missing.overflow || r.stack.path.overflow)
		return union_fail(err, ENAMETOOLONG, path);
	*ret_path = ib_str_steal(&r.stack.path);
	*ret_exists = exists;
	return 0;
}
