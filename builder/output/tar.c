/* type=tar: the files of the result as one tar. */
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>

#include "builder/output/output.h"
#include "oci/base/alloc.h"
#include "oci/base/fd.h"
#include "oci/diff-links.h"

#include "oci/base/poison.h"

#define COPY_BYTES (256u << 10)

struct writing {
	const struct builder_export *export;
	struct oci_tar_writer *tar;
	struct diff_links *links;
	char *buf;
};

static int write_content(const struct writing *w, int fd, const struct oci_tar_entry *entry, struct ib_err *err)
{
	for (int64_t left = entry->size; left > 0;) {
		size_t n = left < COPY_BYTES ? (size_t)left : COPY_BYTES;
		ssize_t got = ib_read_full(fd, w->buf, n);

		if (got < 0)
			return ib_fail_sys(err, errno, "read '%s'", entry->name);
		if ((size_t)got < n)
			return ib_fail(err, IB_MISMATCH, "'%s' shrank while it was read", entry->name);
		if (oci_tar_write(w->tar, w->buf, n, err) < 0)
			return -1;
		left -= got;
	}
	return 0;
}

static int read_link(const struct oci_walk_entry *e, char **ret_target, struct ib_err *err)
{
	char target[PATH_MAX];
	ssize_t n = readlinkat(e->dirfd, e->name, target, sizeof target - 1);

	if (n < 0)
		return ib_fail_sys(err, errno, "read link '%s'", e->path);
	*ret_target = ib_strndup(target, (size_t)n);
	return 0;
}

static int write_entry(struct writing *w, const struct oci_walk_entry *e, struct ib_err *err)
{
	IB_CLEANUP(oci_tar_entry_done) struct oci_tar_entry entry = {
		.name = ib_strdup(e->path),
		.mode = e->st.st_mode,
		.uid = e->st.st_uid,
		.gid = e->st.st_gid,
		.mtime = e->st.st_mtim,
		.major = major(e->st.st_rdev),
		.minor = minor(e->st.st_rdev),
	};
	ib_autoclose int fd = -1;

	if (S_ISSOCK(e->st.st_mode))
		return 0;	/* tar has no sockets */
	if (w->export->clamp)
		entry.mtime = (struct timespec){.tv_sec = w->export->epoch};
	if (S_ISLNK(e->st.st_mode) && read_link(e, &entry.link, err) < 0)
		return -1;
	if (S_ISREG(e->st.st_mode)) {
		const char *first = diff_links_seen(w->links, &e->st, e->path);

		entry.hardlink = first != NULL;
		entry.link = ib_strdup_null(first);
		entry.size = first ? 0 : e->st.st_size;
	}
	if (oci_tar_begin(w->tar, &entry, err) < 0 || entry.size == 0)
		return entry.size == 0 && err->code == IB_OK ? 0 : -1;
	fd = openat(e->dirfd, e->name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	if (fd < 0)
		return ib_fail_sys(err, errno, "open '%s'", e->path);
	return write_content(w, fd, &entry, err);
}

static int write_tree(void *ctx, oci_tar_sink *sink, void *sink_ctx, struct ib_err *err)
{
	const struct builder_export *export = ctx;
	IB_CLEANUP(oci_tar_writer_freep) struct oci_tar_writer *tar = oci_tar_writer_new(sink, sink_ctx);
	IB_CLEANUP(diff_links_freep) struct diff_links *links = diff_links_new();
	IB_CLEANUP(oci_union_walk_freep) struct oci_union_walk *walk = NULL;
	ib_autofree char *buf = ib_malloc(COPY_BYTES);
	struct writing w = {.export = export, .tar = tar, .links = links, .buf = buf};
	const struct oci_walk_entry *e;
	int r;

	if (oci_union_walk_new(export->tree, "", 0, &walk, err) < 0)
		return -1;
	while ((r = oci_union_walk_next(walk, &e, err)) > 0)
		if (write_entry(&w, e, err) < 0)
			return -1;
	return r < 0 ? -1 : oci_tar_end(tar, err);
}

int builder_export_tar(const struct builder_output *output, const struct builder_export *export,
		       struct ib_err *err)
{
	union {
		const struct builder_export *in;
		void *out;
	} ctx = {.in = export};	/* as in push.c */

	return builder_output_file(output->dest, write_tree, ctx.out, err);
}
