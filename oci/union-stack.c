#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/xattr.h>

#include "oci/base/alloc.h"
#include "oci/base/fd.h"
#include "oci/union-internal.h"

#include "oci/base/poison.h"

#define REOPEN_LEVELS 16	/* opened together on the way up, so that n levels cost n/16 long paths */
#define REOPEN_PATH 4000	/* bytes of path given to one openat2(2): under PATH_MAX */

int union_fail(struct ib_err *err, int sys, const char *path)
{
	ib_autofree char *shown = ib_printable(path, 256);

	return ib_fail_sys(err, sys, "'%s'", shown);
}

int union_fd_opaque(int fd)
{
	char value[2];
	ssize_t n = fgetxattr(fd, OCI_UNION_OPAQUE, value, sizeof value);

	/* "x" marks whiteouts kept as attributes, which neither overlayfs nor we write. */
	if (n >= 0)
		return n == 1 && value[0] == 'y';
	return errno == ENODATA || errno == EOPNOTSUPP || errno == ERANGE ? 0 : -1;
}

bool union_is_whiteout(const struct oci_union *u, size_t layer, const struct stat *st)
{
	return S_ISCHR(st->st_mode) && st->st_rdev == 0 && u->layer[layer].kind == OCI_UNION_OVERLAY;
}

static void add_part(struct union_stack *stack, int fd, uint32_t layer)
{
	ib_grow(stack->part, stack->n_parts, stack->cap_parts);
	stack->part[stack->n_parts++] = (struct union_part){.fd = fd, .layer = layer};
}

static struct union_level *add_level(struct union_stack *stack, size_t first)
{
	struct union_level *level;

	ib_grow(stack->level, stack->n, stack->cap);
	level = &stack->level[stack->n++];
	*level = (struct union_level){
		.first = first,
		.n = stack->n_parts - first,
		.path_len = stack->path.len,
	};
	return level;
}

int union_stack_init(struct union_stack *stack, const struct oci_union *u, bool readable, struct ib_err *err)
{
	*stack = (struct union_stack){
		.u = u, .readable = readable, .path = IB_STR(UNION_MAX_PATH), .first_open = 1};
	ib_str_add(&stack->path, "", 0);
	for (size_t i = u->n; i-- > 0;) {
		const struct union_layer *layer = &u->layer[i];

		if (layer->sys)
			return ib_fail_sys(err, layer->sys, "root of a layer");
		add_part(stack, layer->fd, (uint32_t)i);
		if (layer->opaque)
			break;
	}
	add_level(stack, 0);
	return 0;
}

static void close_level(struct union_stack *stack, const struct union_level *level)
{
	for (size_t i = level->first; i < level->first + level->n; i++) {
		if (stack->part[i].fd < 0)
			continue;
		ib_closep(&stack->part[i].fd);
		stack->part[i].fd = -1;
		stack->open--;
	}
}

void union_stack_done(struct union_stack *stack)
{
	int saved = errno;

	for (size_t i = 1; i < stack->n; i++)
		close_level(stack, &stack->level[i]);
	free(stack->part);
	free(stack->level);
	ib_str_done(&stack->path);
	*stack = (struct union_stack){0};
	errno = saved;
}

/* Keep few descriptors: the top level is in use, the one below it holds the entry returned last. */
static void close_oldest(struct union_stack *stack)
{
	while (stack->open > UNION_MAX_OPEN && stack->first_open + 2 < stack->n)
		close_level(stack, &stack->level[stack->first_open++]);
}

static int open_dir(const struct union_stack *stack, int dirfd, const char *name, bool readable)
{
	int mode = readable || stack->readable ? O_RDONLY : O_PATH;

	return openat(dirfd, name, mode | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
}

/* The directory at path below a layer's root, whatever its length. */
static int open_far(const struct union_stack *stack, uint32_t layer, size_t len, struct ib_err *err)
{
	ib_autoclose int at = -1;
	int mode = stack->readable ? O_RDONLY : O_PATH;
	char piece[REOPEN_PATH + 1];
	const char *p = stack->path.s, *end = p + len;

	while (p < end) {
		size_t n = (size_t)(end - p);
		int fd;

		if (n > REOPEN_PATH) {
			n = REOPEN_PATH;
			while (p[n] != '/')	/* no component is longer than NAME_MAX */
				n--;
		}
		memcpy(piece, p, n);
		piece[n] = '\0';
		fd = ib_open_beneath(at < 0 ? stack->u->layer[layer].fd : at, piece, mode | O_DIRECTORY, 0, err);
		if (fd < 0)
			return -1;
		ib_closep(&at);
		at = fd;
		p += n + (p + n < end);
	}
	return ib_steal_fd(&at);
}

static int parent_fd(const struct union_stack *stack, const struct union_level *parent, uint32_t layer)
{
	for (size_t i = parent->first; i < parent->first + parent->n; i++)
		if (stack->part[i].layer == layer)
			return stack->part[i].fd;
	return -1;
}

/* Open level i again: from the layer's root when far, else from the level before it. */
static int reopen_level(struct union_stack *stack, size_t i, bool far, struct ib_err *err)
{
	const struct union_level *level = &stack->level[i], *parent = level - 1;
	size_t skip = parent->path_len + (parent->path_len > 0);
	ib_autofree char *name = ib_strndup(stack->path.s + skip, level->path_len - skip);

	for (size_t k = level->first; k < level->first + level->n; k++) {
		struct union_part *part = &stack->part[k];

		if (far)
			part->fd = open_far(stack, part->layer, level->path_len, err);
		else
			part->fd = open_dir(stack, parent_fd(stack, parent, part->layer), name, false);
		if (part->fd < 0)
			return far ? -1 : union_fail(err, errno, stack->path.s);
		stack->open++;
	}
	return 0;
}

static int open_top(struct union_stack *stack, struct ib_err *err)
{
	size_t low;

	if (stack->n == 1)
		stack->first_open = 1;
	if (stack->n == 1 || stack->first_open < stack->n)
		return 0;
	low = stack->n > REOPEN_LEVELS ? stack->n - REOPEN_LEVELS : 1;
	stack->first_open = low;
	for (size_t i = low; i < stack->n; i++) {
		if (reopen_level(stack, i, i == low, err) < 0)
			return -1;
	}
	return 0;
}

const struct union_part *union_stack_parts(struct union_stack *stack, size_t *ret_n, struct ib_err *err)
{
	const struct union_level *top = &stack->level[stack->n - 1];

	if (open_top(stack, err) < 0)
		return NULL;
	*ret_n = top->n;
	/* An empty union has no parts, and that is no failure. */
	return stack->part ? stack->part + top->first : (const struct union_part *)stack->level;
}

void union_stack_pop(struct union_stack *stack)
{
	struct union_level *top = &stack->level[--stack->n];

	close_level(stack, top);
	stack->n_parts = top->first;
	stack->path.len = top[-1].path_len;
	stack->path.s[stack->path.len] = '\0';
}

/* What stands in the way of entering name in part: a whiteout, or something else that is no directory. */
static int what_blocks(const struct union_stack *stack, const struct union_part *part, const char *name,
		       struct ib_err *err)
{
	struct stat st;

	if (fstatat(part->fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return union_fail(err, errno, name);
	if (S_ISDIR(st.st_mode))
		return union_fail(err, EAGAIN, name);	/* it was none a moment ago */
	return union_is_whiteout(stack->u, part->layer, &st) ? UNION_NOTHING : UNION_OTHER;
}

/*
 * Append the directory called name of one part of the top level. below: there are lower parts, which an
 * opaque mark would hide. Returns 1 to go on with them, 0 when done, -1; *ret_found as push.
 */
static int add_child(struct union_stack *stack, struct union_part part, const char *name, bool below,
		     int *ret_found, struct ib_err *err)
{
	bool ask = below && stack->u->layer[part.layer].kind == OCI_UNION_OVERLAY;
	int fd = open_dir(stack, part.fd, name, ask), opaque;

	if (fd < 0 && errno == ENOENT)
		return 1;
	if (fd < 0 && (errno == ENOTDIR || errno == ELOOP)) {
		if (*ret_found == UNION_NOTHING)
			*ret_found = what_blocks(stack, &part, name, err);
		return *ret_found < 0 ? -1 : 0;
	}
	if (fd < 0)
		return union_fail(err, errno, name);
	add_part(stack, fd, part.layer);
	stack->open++;
	*ret_found = UNION_DIR;
	opaque = ask ? union_fd_opaque(fd) : 0;
	if (opaque < 0)
		return union_fail(err, errno, name);
	return !opaque;
}

/* Undo a push that failed half way. */
static int drop_parts(struct union_stack *stack, size_t first)
{
	struct union_level half = {.first = first, .n = stack->n_parts - first};

	close_level(stack, &half);
	stack->n_parts = first;
	return -1;
}

int union_stack_push(struct union_stack *stack, const char *name, const uint16_t *from, size_t n_from,
		     struct ib_err *err)
{
	const struct union_level *top = &stack->level[stack->n - 1];
	size_t first = stack->n_parts, n = from ? n_from : top->n, base = top->first;
	int found = UNION_NOTHING;

	if (open_top(stack, err) < 0)
		return -1;
	for (size_t i = 0; i < n; i++) {
		struct union_part part = stack->part[base + (from ? from[i] : i)];
		int more = add_child(stack, part, name, i + 1 < n, &found, err);

		if (more < 0)
			return drop_parts(stack, first);
		if (!more)
			break;
	}
	if (found != UNION_DIR)
		return found;
	if (stack->path.len)
		ib_str_addc(&stack->path, '/');
	ib_str_adds(&stack->path, name);
	add_level(stack, first);
	if (stack->path.overflow)
		return ib_fail(err, IB_LIMIT, "a path is longer than %u bytes", UNION_MAX_PATH);
	close_oldest(stack);
	return UNION_DIR;
}

int union_stack_descend(struct union_stack *stack, const char *path, size_t len, struct ib_err *err)
{
	const char *end = path + len;
	char name[NAME_MAX + 1];

	while (path < end) {
		const char *slash = memchr(path, '/', (size_t)(end - path));
		size_t n = (size_t)((slash ? slash : end) - path);
		int found;

		if (n > NAME_MAX)
			return union_fail(err, ENAMETOOLONG, path);
		memcpy(name, path, n);
		name[n] = '\0';
		found = union_stack_push(stack, name, NULL, 0, err);
		if (found != UNION_DIR)
			return found;
		path += n + (path + n < end);
	}
	return UNION_DIR;
}

int union_stack_stat(struct union_stack *stack, const char *name, struct stat *ret_st,
		     const struct union_part **ret_part, struct ib_err *err)
{
	size_t n;
	const struct union_part *part = union_stack_parts(stack, &n, err);

	if (!part)
		return -1;
	for (size_t i = 0; i < n; i++) {
		if (fstatat(part[i].fd, name, ret_st, AT_SYMLINK_NOFOLLOW) == 0) {
			*ret_part = &part[i];
			return !union_is_whiteout(stack->u, part[i].layer, ret_st);
		}
		if (errno != ENOENT)
			return union_fail(err, errno, name);
	}
	return 0;
}

char *union_readlink(int dirfd, const char *name, const char *path, struct ib_err *err)
{
	char target[PATH_MAX];
	ssize_t n = readlinkat(dirfd, name, target, sizeof target);

	if (n < 0 || (size_t)n == sizeof target) {
		union_fail(err, n < 0 ? errno : ENAMETOOLONG, path);
		return NULL;
	}
	return ib_strndup(target, (size_t)n);
}
