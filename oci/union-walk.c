#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "oci/base/alloc.h"
#include "oci/union-internal.h"

#include "oci/base/poison.h"

#define WALK_BUFFER 65536		/* for getdents64(2): some 2000 names at once */
#define WALK_MAX_NAMES (512u << 20)	/* bytes of names held: twice a directory of a million longest ones */

/* One directory entry of one part of the directory being read. */
struct name {
	uint32_t at;	/* in names */
	uint16_t part;	/* index among the level's parts */
	uint8_t type;	/* DT_... */
};

/* The entries of one directory that are still to come: name[next..end). */
struct frame {
	size_t next, end;
	size_t names_at;	/* names.len before this directory was read */
};

struct oci_union_walk {
	struct union_stack stack;
	unsigned int flags;
	bool pending;		/* the entry returned last is a directory to be entered */
	bool single;		/* the walk starts at something that is no directory */
	struct ib_str path;	/* of the entry */
	struct oci_walk_entry entry;

	char *names;		/* all names of all frames, each with its NUL */
	size_t names_len, names_cap;
	struct name *name;
	size_t n_name, cap_name;
	struct frame *frame;	/* the last one is that of the stack's top level */
	size_t n, cap;

	uint16_t *from;		/* parts that have the directory to be entered */
	size_t n_from, cap_from;
	char *buffer;
};

static int fail_here(struct oci_union_walk *walk, int sys, struct ib_err *err)
{
	return union_fail(err, sys, walk->stack.path.len ? walk->stack.path.s : "/");
}

static int add_name(struct oci_union_walk *walk, const struct dirent64 *d, uint16_t part, struct ib_err *err)
{
	size_t n = strlen(d->d_name) + 1;

	if (d->d_name[0] == '.' && (!d->d_name[1] || (d->d_name[1] == '.' && !d->d_name[2])))
		return 0;
	if (n > WALK_MAX_NAMES - walk->names_len)
		return ib_fail(err, IB_LIMIT, "more than %u bytes of names in a directory", WALK_MAX_NAMES);
	while (walk->names_len + n > walk->names_cap) {
		walk->names_cap = walk->names_cap ? 2 * walk->names_cap : WALK_BUFFER;
		walk->names = ib_realloc(walk->names, walk->names_cap, 1);
	}
	ib_grow(walk->name, walk->n_name, walk->cap_name);
	walk->name[walk->n_name++] = (struct name){
		.at = (uint32_t)walk->names_len, .part = part, .type = d->d_type};
	memcpy(walk->names + walk->names_len, d->d_name, n);
	walk->names_len += n;
	return 0;
}

static int read_names(struct oci_union_walk *walk, int fd, uint16_t part, struct ib_err *err)
{
	for (;;) {
		ssize_t n = getdents64(fd, walk->buffer, WALK_BUFFER);

		if (n < 0)
			return fail_here(walk, errno, err);
		if (n == 0)
			return 0;
		for (ssize_t at = 0; at < n;) {
			const struct dirent64 *d = (const void *)(walk->buffer + at);

			if (add_name(walk, d, part, err) < 0)
				return -1;
			at += d->d_reclen;
		}
	}
}

/* Byte order, then the topmost part first. */
static int compare_names(const void *va, const void *vb, void *names)
{
	const struct name *a = va, *b = vb;
	int order = strcmp((const char *)names + a->at, (const char *)names + b->at);

	return order ? order : (int)a->part - (int)b->part;
}

/* The root's descriptors are shared and may be O_PATH: they are opened again to be read. */
static int read_part(struct oci_union_walk *walk, int fd, uint16_t part, struct ib_err *err)
{
	ib_autoclose int own = -1;

	if (walk->stack.n == 1) {
		own = openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		if (own < 0)
			return fail_here(walk, errno, err);
		fd = own;
	}
	return read_names(walk, fd, part, err);
}

/* Add the frame of the stack's top level. */
static int read_top(struct oci_union_walk *walk, struct ib_err *err)
{
	struct frame frame = {.next = walk->n_name, .names_at = walk->names_len};
	size_t n;
	const struct union_part *part = union_stack_parts(&walk->stack, &n, err);

	if (!part)
		return -1;
	for (size_t i = 0; i < n; i++) {
		if (read_part(walk, part[i].fd, (uint16_t)i, err) < 0)
			return -1;
	}
	frame.end = walk->n_name;
	if (frame.end > frame.next)
		qsort_r(walk->name + frame.next, frame.end - frame.next, sizeof *walk->name, compare_names,
			walk->names);
	ib_grow(walk->frame, walk->n, walk->cap);
	walk->frame[walk->n++] = frame;
	return 0;
}

static void leave(struct oci_union_walk *walk)
{
	const struct frame *frame = &walk->frame[--walk->n];

	walk->n_name = frame[-1].end;
	walk->names_len = frame->names_at;
	union_stack_pop(&walk->stack);
}

/* Enter the directory returned last. One that is gone by now is as good as empty. */
static int enter(struct oci_union_walk *walk, struct ib_err *err)
{
	int found;

	walk->pending = false;
	found = union_stack_push(&walk->stack, walk->entry.name, walk->from, walk->n_from, err);
	if (found == UNION_DIR)
		return read_top(walk, err);
	return found < 0 ? -1 : 0;
}

/* The entries of the next name, topmost first: returns their number and moves on. */
static size_t next_group(struct oci_union_walk *walk, const struct name **ret_group)
{
	struct frame *frame = &walk->frame[walk->n - 1];
	const struct name *first = &walk->name[frame->next];
	size_t n = 1;

	while (frame->next + n < frame->end &&
	       strcmp(walk->names + first[n].at, walk->names + first->at) == 0)
		n++;
	frame->next += n;
	*ret_group = first;
	return n;
}

/* Which parts the directory is merged of: down to the first that has something else of that name. */
static void note_parts(struct oci_union_walk *walk, const struct name *group, size_t n)
{
	walk->n_from = 0;
	for (size_t i = 0; i < n; i++) {
		if (i > 0 && group[i].type != DT_DIR && group[i].type != DT_UNKNOWN)
			break;
		ib_grow(walk->from, walk->n_from, walk->cap_from);
		walk->from[walk->n_from++] = group[i].part;
	}
}

static void set_path(struct oci_union_walk *walk, const char *name)
{
	const struct ib_str *dir = &walk->stack.path;

	ib_str_reset(&walk->path);
	if (dir->len) {
		ib_str_add(&walk->path, dir->s, dir->len);
		ib_str_addc(&walk->path, '/');
	}
	ib_str_adds(&walk->path, name);
	walk->entry.path = walk->path.s;
	walk->entry.name = walk->path.s + (dir->len ? dir->len + 1 : 0);
}

static int note_opaque(struct oci_walk_entry *entry, struct ib_err *err)
{
	ib_autoclose int fd = openat(entry->dirfd, entry->name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	int opaque = fd < 0 ? -1 : union_fd_opaque(fd);

	if (opaque < 0)
		return union_fail(err, errno, entry->path);
	entry->opaque = opaque;
	return 0;
}

/* Make the next name the entry: 1, 0 when it is hidden or gone, -1. */
static int take_name(struct oci_union_walk *walk, struct ib_err *err)
{
	struct oci_walk_entry *entry = &walk->entry;
	const struct union_part *part;
	const struct name *group;
	size_t n_parts, n;

	part = union_stack_parts(&walk->stack, &n_parts, err);
	if (!part)
		return -1;
	n = next_group(walk, &group);
	part += group->part;
	set_path(walk, walk->names + group->at);
	if (walk->path.overflow)
		return ib_fail(err, IB_LIMIT, "a path is longer than %u bytes", UNION_MAX_PATH);
	if (fstatat(part->fd, entry->name, &entry->st, AT_SYMLINK_NOFOLLOW) < 0)
		/* Removed since the directory was read, as if it had been a moment earlier. */
		return errno == ENOENT ? 0 : union_fail(err, errno, entry->path);
	entry->dirfd = part->fd;
	entry->layer = part->layer;
	entry->opaque = false;
	if (!(walk->flags & OCI_WALK_RAW) && union_is_whiteout(walk->stack.u, part->layer, &entry->st))
		return 0;
	if (!S_ISDIR(entry->st.st_mode))
		return 1;
	walk->pending = true;
	note_parts(walk, group, n);
	return walk->flags & OCI_WALK_RAW && note_opaque(entry, err) < 0 ? -1 : 1;
}

int oci_union_walk_next(struct oci_union_walk *walk, const struct oci_walk_entry **ret_entry,
			struct ib_err *err)
{
	if (walk->single) {
		walk->single = false;
		*ret_entry = &walk->entry;
		return 1;
	}
	if (walk->pending && enter(walk, err) < 0)
		return -1;
	while (walk->n) {
		const struct frame *frame = &walk->frame[walk->n - 1];
		int got;

		if (frame->next == frame->end) {
			if (walk->n == 1)
				break;
			leave(walk);
			continue;
		}
		got = take_name(walk, err);
		if (got < 0)
			return -1;
		if (got) {
			*ret_entry = &walk->entry;
			return 1;
		}
	}
	return 0;
}

void oci_union_walk_skip(struct oci_union_walk *walk)
{
	walk->pending = false;
}

/* Set the walk up for a start that is no directory: its own entry is all there is. */
static int start_single(struct oci_union_walk *walk, const char *path, struct ib_err *err)
{
	const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
	const struct union_part *part;
	int found;

	/* The descent stopped at the component that is no directory; it must be the last one. */
	found = union_stack_stat(&walk->stack, name, &walk->entry.st, &part, err);
	if (found < 0)
		return -1;
	set_path(walk, name);
	if (!found || strcmp(walk->path.s, path) != 0)
		return union_fail(err, ENOTDIR, path);
	walk->entry.dirfd = part->fd;
	walk->entry.layer = part->layer;
	walk->single = true;
	return 0;
}

int oci_union_walk_new(struct oci_union *u, const char *path, unsigned int flags,
		       struct oci_union_walk **ret_walk, struct ib_err *err)
{
	IB_CLEANUP(oci_union_walk_freep) struct oci_union_walk *walk = ib_new(struct oci_union_walk);
	int found;

	walk->flags = flags;
	walk->path = (struct ib_str)IB_STR(UNION_MAX_PATH);
	walk->buffer = ib_malloc(WALK_BUFFER);
	if (union_stack_init(&walk->stack, u, true, err) < 0)
		return -1;
	found = union_stack_descend(&walk->stack, path, strlen(path), err);
	if (found < 0)
		return -1;
	if (found == UNION_NOTHING)
		return union_fail(err, ENOENT, path);
	if ((found == UNION_DIR ? read_top(walk, err) : start_single(walk, path, err)) < 0)
		return -1;
	*ret_walk = ib_steal_ptr(&walk);
	return 0;
}

void oci_union_walk_free(struct oci_union_walk *walk)
{
	if (!walk)
		return;
	union_stack_done(&walk->stack);
	ib_str_done(&walk->path);
	free(walk->names);
	free(walk->name);
	free(walk->frame);
	free(walk->from);
	free(walk->buffer);
	free(walk);
}
