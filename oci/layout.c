#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "oci/base/alloc.h"
#include "oci/base/fd.h"
#include "oci/document.h"
#include "oci/export.h"
#include "oci/import.h"
#include "oci/reach.h"
#include "oci/store-internal.h"

#include "oci/base/poison.h"

struct copy {
	struct oci_store *from, *to;
};

static int open_blob(struct oci_store *store, const struct oci_digest *digest, struct oci_reader **ret_reader,
		     struct ib_err *err)
{
	char text[OCI_DIGEST_SIZE];
	int64_t size;
	int fd = oci_store_get(store, digest, &size, err);

	if (fd < 0)
		return -1;
	*ret_reader = oci_file_reader_new(fd, oci_digest_str(digest, text));
	return 0;
}

static int copy_blob(void *ctx, const struct oci_descriptor *desc, struct ib_err *err)
{
	const struct copy *copy = ctx;
	IB_CLEANUP(oci_reader_freep) struct oci_reader *src = NULL;

	if (oci_store_has(copy->to, &desc->digest, desc->size))
		return 0;
	if (open_blob(copy->from, &desc->digest, &src, err) < 0)
		return -1;
	return oci_store_put(copy->to, src, desc, err);
}

static int export_to(struct copy *copy, const struct oci_archive_image *images, size_t n_images,
		     struct ib_err *err)
{
	struct oci_descriptor *entries;
	size_t n;
	int r;

	for (size_t i = 0; i < n_images; i++)
		if (oci_reach(copy->from, images[i].desc, 0, copy_blob, copy, err) < 0)
			return -1;
	oci_export_entries(images, n_images, &entries, &n);
	r = oci_store_put_entries(copy->to, entries, n, err);
	oci_document_descriptors_free(entries, n);
	return r;
}

/* An exported layout is for others: nothing of ours stays beside what the specification names. */
static int remove_lock(struct oci_store *to, struct ib_err *err)
{
	ib_autoclose int lock = oci_store_flock(oci_store_dirfd(to), "index.lock", true, true, err);

	if (lock < 0)
		return -1;
	(void)unlinkat(oci_store_dirfd(to), "index.lock", 0);
	return 0;
}

int oci_layout_export(struct oci_store *store, const struct oci_archive_image *images, size_t n_images,
		      const char *path, struct ib_err *err)
{
	IB_CLEANUP(oci_store_freep) struct oci_store *to = NULL;
	ib_autofree char *shown = ib_printable(path, 300);

	if (oci_store_open_as(path, true, 0755, &to, err) < 0 ||
	    export_to(&(struct copy){store, to}, images, n_images, err) < 0 || remove_lock(to, err) < 0)
		return ib_wrap(err, "cannot write the layout %s", shown);
	return 0;
}

static bool has(void *ctx, const struct oci_digest *digest)
{
	return oci_store_has(ctx, digest, -1);
}

static int fetch(void *ctx, struct oci_intake *intake, const struct oci_descriptor *desc, struct ib_err *err)
{
	IB_CLEANUP(oci_reader_freep) struct oci_reader *src = NULL;

	if (open_blob(ctx, &desc->digest, &src, err) < 0)
		return -1;
	return oci_intake_copy(intake, src, desc, err);
}

static int import_from(struct oci_store *store, struct oci_store *from, struct oci_archive_list *list,
		       struct ib_err *err)
{
	IB_CLEANUP(oci_intake_freep) struct oci_intake *intake = oci_intake_new(store);
	const struct oci_import_source source = {has, fetch, from};
	ib_autofree char *bytes = NULL;
	ib_autoclose int fd = -1;
	size_t len;

	/* A stranger's directory: its index.json may be a link to anywhere, or a fifo. */
	fd = openat(oci_store_dirfd(from), "index.json", O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	if (fd < 0)
		return ib_fail_sys(err, errno, "open index.json");
	if (ib_read_all(fd, IB_JSON_MAX_BYTES, "index.json", &bytes, &len, err) < 0 ||
	    oci_import_index(intake, bytes, len, &source, list, err) < 0)
		return -1;
	return oci_intake_commit(intake, err);
}

int oci_layout_import(struct oci_store *store, const char *path, struct oci_archive_list *ret_list,
		      struct ib_err *err)
{
	IB_CLEANUP(oci_archive_list_done) struct oci_archive_list list = {0};
	IB_CLEANUP(oci_store_freep) struct oci_store *from = NULL;
	ib_autofree char *shown = ib_printable(path, 300);

	if (oci_store_open(path, false, &from, err) < 0)
		return -1;
	if (import_from(store, from, &list, err) < 0)
		return ib_wrap(err, "cannot read the layout %s", shown);
	oci_archive_list_done(ret_list);
	*ret_list = list;
	list = (struct oci_archive_list){0};
	return 0;
}
