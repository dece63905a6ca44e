#include "builder/context/context.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "oci/base/alloc.h"
#include "oci/base/fd.h"
#include "oci/base/str.h"

#include "oci/base/poison.h"

#define IGNORE_NAME ".dockerignore"

void builder_context_free(struct builder_context *context)
{
	if (!context)
		return;
	oci_union_free(context->tree);
	builder_ignore_free(context->ignore);
	free(context->path);
	free(context->ignore_name);
	free(context->stat_cache_dir);
	free(context);
}

static int fail_open(struct ib_err *err, const char *path, int sys)
{
	ib_autofree char *shown = ib_printable(path, 1024);

	switch (sys) {
	case ENOENT:
		return ib_fail(err, IB_USAGE, "context '%s': no such directory", shown);
	case ENOTDIR:
		return ib_fail(err, IB_USAGE, "context '%s' is not a directory", shown);
	}
	return ib_fail_sys(err, sys, "context '%s'", shown);
}

static int open_tree(struct builder_context *context, const char *path, int *ret_dir, struct ib_err *err)
{
	ib_autoclose int dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC), own = -1;

	if (dir < 0)
		return fail_open(err, path, errno);
	context->path = realpath(path, NULL);
	own = fcntl(dir, F_DUPFD_CLOEXEC, 0);
	if (!context->path || own < 0)
		return fail_open(err, path, errno);
	context->tree = oci_union_new();
	oci_union_push(context->tree, ib_steal_fd(&own), OCI_UNION_PLAIN);
	*ret_dir = ib_steal_fd(&dir);
	return 0;
}

/* Take the open ignore file. */
static int parse_ignore(struct builder_context *context, int fd, char *take_name, struct ib_err *err)
{
	ib_autofree char *name = take_name, *text = NULL, *shown = ib_printable(name, 1024);
	struct stat st;
	size_t len;

	if (fstat(fd, &st) < 0)
		return ib_fail_sys(err, errno, "%s", shown);
	if (!S_ISREG(st.st_mode))
		return ib_fail(err, IB_USAGE, "%s is not a regular file", shown);
	if (ib_read_all(fd, BUILDER_IGNORE_MAX_BYTES, shown, &text, &len, err) < 0 ||
	    builder_ignore_parse(text, len, shown, &context->ignore, err) < 0)
		return -1;
	context->ignore_name = ib_steal_ptr(&name);
	return 0;
}

/* The one that belongs to the Dockerfile: 1 when there is one, 0, -1. */
static int find_own_ignore(struct builder_context *context, const char *dockerfile, struct ib_err *err)
{
	ib_autofree char *name = ib_asprintf("%s" IGNORE_NAME, dockerfile);
	ib_autoclose int fd = open(name, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);

	if (fd < 0)
		return errno == ENOENT || errno == ENOTDIR ? 0 : ib_fail_sys(err, errno, "%s", name);
	return parse_ignore(context, fd, ib_steal_ptr(&name), err) < 0 ? -1 : 1;
}

/* The context's own. It may be a link, but not one that leads out of the context. */
static int find_ignore(struct builder_context *context, int dir, struct ib_err *err)
{
	ib_autoclose int fd = ib_open_in(dir, IGNORE_NAME, O_RDONLY | O_NONBLOCK | O_NOCTTY, 0, err);

	if (fd >= 0)
		return parse_ignore(context, fd, ib_strdup(IGNORE_NAME), err);
	if (err->sys != ENOENT)
		return -1;
	ib_err_clear(err);	/* most contexts have none */
	return 0;
}

int builder_context_open(const char *path, const char *dockerfile, const char *stat_cache_dir,
			 struct builder_context **ret_context, struct ib_err *err)
{
	IB_CLEANUP(builder_context_freep) struct builder_context *context = ib_new(struct builder_context);
	ib_autoclose int dir = -1;
	int own = 0;

	if (open_tree(context, path, &dir, err) < 0)
		return -1;
	context->stat_cache_dir = ib_strdup_null(stat_cache_dir);
	if (dockerfile)
		own = find_own_ignore(context, dockerfile, err);
	if (own < 0 || (own == 0 && find_ignore(context, dir, err) < 0))
		return -1;
	*ret_context = ib_steal_ptr(&context);
	return 0;
}
