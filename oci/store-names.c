#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "oci/base/alloc.h"
#include "oci/base/fd.h"
#include "oci/base/str.h"
#include "oci/document.h"
#include "oci/store-internal.h"

#include "oci/base/poison.h"

int oci_store_index(struct oci_store *store, struct oci_index **ret_index, struct ib_err *err)
{
	ib_autofree char *bytes = NULL;
	size_t len;

	if (ib_read_file(store->dir, "index.json", IB_JSON_MAX_BYTES, &bytes, &len, err) < 0)
		return -1;
	if (oci_index_json_parse(bytes, len, ret_index, err) < 0)
		return ib_wrap(err, "index.json");
	return 0;
}

static bool has_name(const struct oci_descriptor *entry, const char *name)
{
	const char *there = oci_descriptor_annotation(entry, OCI_ANNOTATION_REF_NAME);

	return there && strcmp(there, name) == 0;
}

static void drop_annotation(struct oci_descriptor *desc, const char *key)
{
	if (!desc->annotations)
		return;
	ib_json_set(desc->annotations, key, NULL);
	if (desc->annotations->n == 0) {
		ib_json_free(desc->annotations);
		desc->annotations = NULL;
	}
}

int oci_store_name_get(struct oci_store *store, const char *name, struct oci_descriptor *ret_desc,
		       struct ib_err *err)
{
	IB_CLEANUP(oci_index_freep) struct oci_index *index = NULL;
	ib_autofree char *shown = NULL;

	if (oci_store_index(store, &index, err) < 0)
		return -1;
	for (size_t i = 0; i < index->n_manifests; i++) {
		if (!has_name(&index->manifests[i], name))
			continue;
		oci_descriptor_copy(ret_desc, &index->manifests[i]);
		drop_annotation(ret_desc, OCI_ANNOTATION_REF_NAME);
		drop_annotation(ret_desc, OCI_ANNOTATION_CONTAINERD);
		return 0;
	}
	shown = ib_printable(name, 300);
	return ib_fail(err, IB_NOTFOUND, "no image '%s' in the store", shown);
}

/* Would b take the place of a? */
static bool same_place(const struct oci_descriptor *a, const struct oci_descriptor *b)
{
	const char *x = oci_descriptor_annotation(a, OCI_ANNOTATION_REF_NAME);
	const char *y = oci_descriptor_annotation(b, OCI_ANNOTATION_REF_NAME);

	if (!x && !y)
		return oci_digest_equal(&a->digest, &b->digest);
	return x && y && strcmp(x, y) == 0;
}

/* Take the entries whose place it is out. Returns how many there were. */
static size_t remove_entry(struct oci_index *index, const struct oci_descriptor *entry)
{
	size_t kept = 0, n = index->n_manifests;

	for (size_t i = 0; i < n; i++) {
		if (same_place(&index->manifests[i], entry))
			oci_descriptor_done(&index->manifests[i]);
		else
			index->manifests[kept++] = index->manifests[i];
	}
	index->n_manifests = kept;
	return n - kept;
}

static void append_entry(struct oci_index *index, const struct oci_descriptor *entry)
{
	ib_grow(index->manifests, index->n_manifests, index->cap);
	index->manifests[index->n_manifests] = (struct oci_descriptor){0};
	oci_descriptor_copy(&index->manifests[index->n_manifests++], entry);
}

#define NEW_INDEX ".tmp-index.json"	/* only who holds the lock writes it */

/*
 * As ib_replace_file(), with the names of the blobs flushed between: where the file system has one journal,
 * the first flush has carried them already.
 */
static int replace_index(struct oci_store *store, const char *bytes, size_t len, struct ib_err *err)
{
	ib_autoclose int fd = openat(store->dir, NEW_INDEX, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC,
				     0644);

	if (fd < 0 || ib_write_full(fd, bytes, len) < 0 || fsync(fd) < 0)
		return ib_fail_sys(err, errno, "write a new index.json");
	if (oci_store_flush(store, err) < 0)
		return -1;
	if (renameat(store->dir, NEW_INDEX, store->dir, "index.json") < 0 || fsync(store->dir) < 0)
		return ib_fail_sys(err, errno, "replace index.json");
	return 0;
}

static int write_index(struct oci_store *store, const struct oci_index *index, struct ib_err *err)
{
	size_t len;
	ib_autofree char *bytes = oci_index_write(index, &len);

	if (len > IB_JSON_MAX_BYTES)
		return ib_fail(err, IB_LIMIT, "the store has too many names: index.json would pass %u bytes",
			       IB_JSON_MAX_BYTES);
	return replace_index(store, bytes, len, err);
}

static bool same_text(const struct oci_descriptor *a, const struct oci_descriptor *b)
{
	ib_autojson *x = oci_descriptor_json(a), *y = oci_descriptor_json(b);
	ib_autostr s = IB_STR(IB_JSON_MAX_BYTES), t = IB_STR(IB_JSON_MAX_BYTES);

	ib_json_print(x, &s);
	ib_json_print(y, &t);
	return s.len == t.len && memcmp(s.s, t.s, s.len) == 0;
}

/* Exactly one entry is in that place, and it is what would be written. */
static bool is_there(const struct oci_index *index, const struct oci_descriptor *entry)
{
	size_t found = 0;

	for (size_t i = 0; i < index->n_manifests; i++)
		if (same_place(&index->manifests[i], entry)) {
			if (!same_text(&index->manifests[i], entry))
				return false;
			found++;
		}
	return found == 1;
}

int oci_store_put_entries(struct oci_store *store, const struct oci_descriptor *entries, size_t n,
			  struct ib_err *err)
{
	IB_CLEANUP(oci_index_freep) struct oci_index *index = NULL;
	ib_autoclose int lock = oci_store_flock(store->dir, "index.lock", true, true, err);
	bool changed = false;

	if (lock < 0 || oci_store_index(store, &index, err) < 0)
		return -1;
	for (size_t i = 0; i < n; i++) {
		if (is_there(index, &entries[i]))
			continue;
		(void)remove_entry(index, &entries[i]);
		append_entry(index, &entries[i]);
		changed = true;
	}
	return changed ? write_index(store, index, err) : 0;
}

static void make_entry(struct oci_descriptor *entry, const struct oci_descriptor *desc, const char *name)
{
	oci_descriptor_copy(entry, desc);
	oci_descriptor_annotate(entry, OCI_ANNOTATION_REF_NAME, name);
	oci_descriptor_annotate(entry, OCI_ANNOTATION_CONTAINERD, name);
}

int oci_store_name_set(struct oci_store *store, const char *const *names, size_t n_names,
		       const struct oci_descriptor *desc, struct ib_err *err)
{
	struct oci_descriptor *entries = ib_calloc(n_names ? n_names : 1, sizeof *entries);
	int r;

	for (size_t i = 0; i < n_names; i++)
		make_entry(&entries[i], desc, names[i]);
	r = oci_store_put_entries(store, entries, n_names, err);
	oci_document_descriptors_free(entries, n_names);
	return r;
}

int oci_store_name_remove(struct oci_store *store, const char *name, struct ib_err *err)
{
	IB_CLEANUP(oci_index_freep) struct oci_index *index = NULL;
	ib_autoclose int lock = oci_store_flock(store->dir, "index.lock", true, true, err);
	oci_autodescriptor place = {0};

	if (lock < 0 || oci_store_index(store, &index, err) < 0)
		return -1;
	oci_descriptor_annotate(&place, OCI_ANNOTATION_REF_NAME, name);
	if (remove_entry(index, &place) == 0) {
		ib_autofree char *shown = ib_printable(name, 300);

		return ib_fail(err, IB_NOTFOUND, "no image '%s' in the store", shown);
	}
	return write_index(store, index, err);
}
