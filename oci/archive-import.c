#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "oci/base/alloc.h"
#include "oci/import.h"
#include "oci/members.h"
#include "oci/tar.h"

#include "oci/base/poison.h"

void oci_archive_list_done(struct oci_archive_list *list)
{
	for (size_t i = 0; i < list->n; i++) {
		oci_descriptor_done(&list->v[i].desc);
		ib_strv_done(&list->v[i].names);
	}
	free(list->v);
	*list = (struct oci_archive_list){0};
}

void oci_archive_list_add(struct oci_archive_list *list, const struct oci_descriptor *desc, const char *name)
{
	struct oci_archive_found *found = NULL;

	for (size_t i = 0; !found && i < list->n; i++)
		if (oci_digest_equal(&list->v[i].desc.digest, &desc->digest))
			found = &list->v[i];
	if (!found) {
		ib_grow(list->v, list->n, list->cap);
		found = &list->v[list->n++];
		*found = (struct oci_archive_found){0};
		oci_descriptor_copy(&found->desc, desc);
		/* Those of its entry were about the entry. */
		ib_json_free(ib_steal_ptr(&found->desc.annotations));
	}
	if (name && !ib_strv_has(&found->names, name))
		ib_strv_add(&found->names, name);
}

struct import {
	struct oci_intake *intake;
	struct oci_members *members;
	struct oci_tar_reader *tar;
};

/* "blobs/sha256/HEX" promises what is in it. */
static bool promised(const char *name, struct oci_digest *ret_digest)
{
	ib_autofree char *text = NULL;
	ib_autoerr no = {0};
	char *slash;

	if (!ib_starts(name, "blobs/"))
		return false;
	text = ib_strdup(name + strlen("blobs/"));
	slash = strchr(text, '/');
	if (!slash)
		return false;
	*slash = ':';
	return oci_digest_parse(text, ret_digest, &no) == 0;
}

static int wrap_entry(const struct oci_tar_entry *entry, struct ib_err *err)
{
	ib_autofree char *shown = ib_printable(entry->name, 200);

	return ib_wrap(err, "'%s'", shown);
}

static int fail_entry(const struct oci_tar_entry *entry, const char *flaw, struct ib_err *err)
{
	ib_fail(err, IB_INVALID, "%s", flaw);
	return wrap_entry(entry, err);
}

static int take_content(struct import *import, const char *name, const struct oci_tar_entry *entry,
			struct ib_err *err)
{
	struct oci_digest digest;
	bool want = promised(name, &digest);
	int64_t offset, done = 0;
	const void *bytes;
	size_t n;
	int r;

	if (oci_intake_begin(import->intake, entry->size, want ? &digest : NULL, err) < 0)
		return wrap_entry(entry, err);
	while ((r = oci_tar_read(import->tar, &bytes, &n, &offset, err)) > 0) {
		/* A hole costs its maker nothing and us the whole disk. */
		if (offset != done)
			return fail_entry(entry, "is a sparse file", err);
		if (oci_intake_write(import->intake, bytes, n, err) < 0)
			return wrap_entry(entry, err);
		done += (int64_t)n;
	}
	if (r < 0)
		return -1;
	if (oci_intake_end(import->intake, &digest, err) < 0)
		return wrap_entry(entry, err);
	return oci_members_add(import->members, name, &digest, entry->size, err);
}

static int take_link(struct import *import, const char *name, const struct oci_tar_entry *entry,
		     struct ib_err *err)
{
	ib_autofree char *target = oci_members_clean(entry->link, entry->hardlink ? NULL : name);

	if (!target)
		return fail_entry(entry, "is a link that leads out of the archive", err);
	return oci_members_add_link(import->members, name, target, err);
}

static int take_entry(struct import *import, const struct oci_tar_entry *entry, struct ib_err *err)
{
	ib_autofree char *name = oci_members_clean(entry->name, NULL);

	if (!name)
		return fail_entry(entry, "is a path that leads out of the archive", err);
	if (S_ISDIR(entry->mode))
		return 0;
	if (entry->hardlink || S_ISLNK(entry->mode))
		return take_link(import, name, entry, err);
	if (!S_ISREG(entry->mode))
		return fail_entry(entry, "is a device or fifo, which has no place in an archive of images", err);
	return take_content(import, name, entry, err);
}

static int take_entries(struct import *import, struct ib_err *err)
{
	const struct oci_tar_entry *entry;
	int r;

	while ((r = oci_tar_next(import->tar, &entry, err)) > 0)
		if (take_entry(import, entry, err) < 0)
			return -1;
	oci_members_sort(import->members);
	return r;
}

/* A document of the archive itself: *ret_bytes stays NULL when there is none. */
static int read_member(struct import *import, const char *name, size_t max, char **ret_bytes, size_t *ret_len,
		       struct ib_err *err)
{
	struct oci_descriptor desc = {0};

	if (!oci_members_find(import->members, name, &desc.digest, &desc.size))
		return 0;
	if (desc.size > (int64_t)max)
		return ib_fail(err, IB_LIMIT, "%s is larger than %zu bytes", name, max);
	return oci_intake_get_bytes(import->intake, &desc, max, ret_bytes, ret_len, err);
}

static int check_version(struct import *import, struct ib_err *err)
{
	ib_autofree char *bytes = NULL;
	ib_autojson *json = NULL;
	const char *version;
	size_t len;

	if (read_member(import, "oci-layout", 4096, &bytes, &len, err) < 0)
		return -1;
	if (!bytes)
		return 0;	/* some leave it out */
	json = ib_json_parse(bytes, len, err);
	if (!json)
		return ib_wrap(err, "oci-layout");
	version = ib_json_get_string(json, "imageLayoutVersion");
	if (!version || strcmp(version, "1.0.0") != 0)
		return ib_fail(err, IB_INVALID, "oci-layout is not of version 1.0.0");
	return 0;
}

static bool has_member(void *ctx, const struct oci_digest *digest)
{
	const struct import *import = ctx;
	char hex[OCI_DIGEST_SIZE];
	ib_autofree char *name = ib_asprintf("blobs/%s/%s", oci_algo_name(digest->algo), oci_digest_hex(digest, hex));
	struct oci_digest found;
	int64_t size;

	return oci_members_find(import->members, name, &found, &size);
}

static int take_images(struct import *import, const struct oci_import_layers *layers,
		       struct oci_archive_list *list, struct ib_err *err)
{
	const struct oci_import_source source = {.has = has_member, .ctx = import};
	ib_autofree char *bytes = NULL;
	size_t len;

	if (read_member(import, "index.json", IB_JSON_MAX_BYTES, &bytes, &len, err) < 0)
		return -1;
	if (bytes) {
		if (check_version(import, err) < 0)
			return -1;
		return oci_import_index(import->intake, bytes, len, &source, list, err);
	}
	if (read_member(import, "manifest.json", OCI_MANIFEST_MAX_BYTES, &bytes, &len, err) < 0)
		return -1;
	if (bytes)
		return oci_import_docker(import->intake, import->members, bytes, len, layers, list, err);
	return ib_fail(err, IB_INVALID, "no archive of images: it has neither index.json nor manifest.json");
}

static int import_tar(struct oci_store *store, struct oci_reader *plain, const struct oci_import_layers *layers,
		      struct oci_archive_list *list, struct ib_err *err)
{
	IB_CLEANUP(oci_intake_freep) struct oci_intake *intake = oci_intake_new(store);
	IB_CLEANUP(oci_members_freep) struct oci_members *members = oci_members_new();
	IB_CLEANUP(oci_tar_reader_freep) struct oci_tar_reader *tar = oci_tar_reader_new(plain);
	struct import import = {intake, members, tar};

	if (take_entries(&import, err) < 0 || take_images(&import, layers, list, err) < 0)
		return -1;
	return oci_intake_commit(intake, err);
}

int oci_archive_import(struct oci_store *store, struct oci_reader *src, struct ib_pool *pool,
		       const struct oci_compression_setting *setting, struct oci_archive_list *ret_list,
		       struct ib_err *err)
{
	IB_CLEANUP(oci_archive_list_done) struct oci_archive_list list = {0};
	IB_CLEANUP(oci_reader_freep) struct oci_reader *plain = NULL;
	const struct oci_import_layers layers = {store, pool, setting};

	if (oci_decompress_reader_new(oci_borrowed_reader_new(src), NULL, &plain, err) < 0 ||
	    import_tar(store, plain, &layers, &list, err) < 0)
		return ib_wrap(err, "cannot read the archive");
	oci_archive_list_done(ret_list);
	*ret_list = list;
	list = (struct oci_archive_list){0};
	return 0;
}
