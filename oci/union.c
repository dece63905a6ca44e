#include "oci/union.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "oci/base/alloc.h"
#include "oci/base/fd.h"
#include "oci/union-internal.h"

#include "oci/base/poison.h"

struct oci_union *oci_union_new(void)
{
	return ib_new(struct oci_union);
}

void oci_union_free(struct oci_union *u)
{
	if (!u)
		return;
	for (size_t i = 0; i < u->n; i++)
		ib_closep(&u->layer[i].fd);
	free(u->layer);
	free(u);
}

/* The mark on a layer's root. The descriptor may be O_PATH, which fgetxattr(2) does not take. */
static int root_opaque(int dir)
{
	ib_autoclose int fd = openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	return fd < 0 ? -1 : union_fd_opaque(fd);
}

void oci_union_push(struct oci_union *u, int take_fd, enum oci_union_kind kind)
{
	int opaque = kind == OCI_UNION_OVERLAY ? root_opaque(take_fd) : 0;

	ib_grow(u->layer, u->n, u->cap);
	u->layer[u->n++] = (struct union_layer){
		.fd = take_fd,
		.kind = kind,
		.opaque = opaque > 0,
		.sys = opaque < 0 ? errno : 0,
	};
}

struct oci_union *oci_union_copy(const struct oci_union *u, struct ib_err *err)
{
	IB_CLEANUP(oci_union_freep) struct oci_union *copy = oci_union_new();

	for (size_t i = 0; i < u->n; i++) {
		struct union_layer layer = u->layer[i];

		layer.fd = fcntl(layer.fd, F_DUPFD_CLOEXEC, 0);
		if (layer.fd < 0) {
			ib_fail_sys(err, errno, "copy the descriptor of a layer");
			return NULL;
		}
		ib_grow(copy->layer, copy->n, copy->cap);
		copy->layer[copy->n++] = layer;
	}
	return ib_steal_ptr(&copy);
}

size_t oci_union_layers(const struct oci_union *u)
{
	return u->n;
}

/* The next component of *path, advancing it past the component; empty at the end. */
static const char *next_component(const char **path, size_t *ret_n)
{
	const char *p = *path + strspn(*path, "/");

	*ret_n = strcspn(p, "/");
	*path = p + *ret_n;
	return p;
}

static bool is_name(const char *component, size_t n, const char *name)
{
	return n == strlen(name) && memcmp(component, name, n) == 0;
}

static void truncate_to(struct ib_str *str, size_t len)
{
	str->len = len;
	if (str->s)
		str->s[len] = '\0';
}

/* Drop the last component. */
static void drop_last(struct ib_str *path)
{
	const char *slash = path->s ? strrchr(path->s, '/') : NULL;

	truncate_to(path, slash ? (size_t)(slash - path->s) : 0);
}

static void add_component(struct ib_str *path, const char *component, size_t n)
{
	if (path->len)
		ib_str_addc(path, '/');
	ib_str_add(path, component, n);
}

char *oci_union_clean(const char *path)
{
	ib_autostr out = IB_STR(strlen(path));
	const char *c;
	size_t n;

	while (c = next_component(&path, &n), n) {
		if (is_name(c, n, ".."))
			drop_last(&out);
		else if (!is_name(c, n, "."))
			add_component(&out, c, n);
	}
	return ib_str_steal(&out);
}

/*
 * Go to the directory that holds the last component of path, which is not "". A missing or hidden
 * directory, or a link, on the way is IB_NOTFOUND. *ret_name points into path.
 */
static int go_to_parent(struct union_stack *stack, const char *path, const char **ret_name,
			struct ib_err *err)
{
	const char *slash = strrchr(path, '/');
	int found = UNION_DIR;

	if (slash)
		found = union_stack_descend(stack, path, (size_t)(slash - path), err);
	if (found < 0)
		return -1;
	if (found != UNION_DIR)
		return union_fail(err, found == UNION_OTHER ? ENOTDIR : ENOENT, path);
	*ret_name = slash ? slash + 1 : path;
	return 0;
}

/* Start a lookup: as go_to_parent(), then the entry itself. */
static int look_up(struct union_stack *stack, const struct oci_union *u, const char *path,
		   const char **ret_name, struct stat *ret_st, const struct union_part **ret_part,
		   struct ib_err *err)
{
	int r;

	if (union_stack_init(stack, u, false, err) < 0 || go_to_parent(stack, path, ret_name, err) < 0)
		return -1;
	r = union_stack_stat(stack, *ret_name, ret_st, ret_part, err);
	return r == 0 ? union_fail(err, ENOENT, path) : r;
}

static int stat_root(const struct oci_union *u, struct stat *ret_st, size_t *ret_layer, struct ib_err *err)
{
	size_t top = u->n ? u->n - 1 : 0;

	if (u->n == 0)
		*ret_st = (struct stat){.st_mode = S_IFDIR | 0755, .st_nlink = 2};
	else if (fstat(u->layer[top].fd, ret_st) < 0)
		return ib_fail_sys(err, errno, "root of a layer");
	if (ret_layer)
		*ret_layer = top;
	return 0;
}

int oci_union_stat(struct oci_union *u, const char *path, struct stat *ret_st, size_t *ret_layer,
		   struct ib_err *err)
{
	union_autostack stack = {0};
	const struct union_part *part;
	const char *name;
	struct stat st;

	if (!*path)
		return stat_root(u, ret_st, ret_layer, err);
	if (look_up(&stack, u, path, &name, &st, &part, err) < 0)
		return -1;
	*ret_st = st;
	if (ret_layer)
		*ret_layer = part->layer;
	return 0;
}

int oci_union_open(struct oci_union *u, const char *path, struct ib_err *err)
{
	union_autostack stack = {0};
	const struct union_part *part;
	ib_autoclose int fd = -1;
	const char *name;
	struct stat st;

	if (!*path)
		return union_fail(err, EISDIR, path);
	if (look_up(&stack, u, path, &name, &st, &part, err) < 0)
		return -1;
	/* Judged before it is opened, for opening a device may act on it, and again by what was opened. */
	if (S_ISREG(st.st_mode)) {
		fd = openat(part->fd, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
		if (fd < 0 || fstat(fd, &st) < 0)
			return union_fail(err, errno, path);
	}
	if (!S_ISREG(st.st_mode)) {
		ib_autofree char *shown = ib_printable(path, 256);

		return ib_fail(err, IB_INVALID, "'%s' is not a regular file", shown);
	}
	return ib_steal_fd(&fd);
}

int oci_union_readlink(struct oci_union *u, const char *path, char **ret_target, struct ib_err *err)
{
	union_autostack stack = {0};
	const struct union_part *part;
	const char *name;
	struct stat st;
	char *target;

	if (!*path)
		return union_fail(err, EINVAL, path);
	if (look_up(&stack, u, path, &name, &st, &part, err) < 0)
		return -1;
	target = union_readlink(part->fd, name, path, err);
	if (!target)
		return -1;
	*ret_target = target;
	return 0;
}

int oci_union_read_file(struct oci_union *u, const char *path, size_t max, char **ret_bytes, size_t *ret_len,
			struct ib_err *err)
{
	ib_autofree char *literal = NULL, *shown = ib_printable(path, 256);
	ib_autoclose int fd = -1;
	bool exists;

	if (oci_union_resolve(u, path, true, &literal, &exists, err) < 0)
		return -1;
	if (!exists)
		return union_fail(err, ENOENT, path);
	fd = oci_union_open(u, literal, err);
	return fd < 0 ? -1 : ib_read_all(fd, max, shown, ret_bytes, ret_len, err);
}
