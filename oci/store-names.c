#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "oci/base/alloc.h"
#include "oci/base/fd.h"
#include "oci/base/str.h"
#include "oci/document.h"
#include "oci/store-internal.h"

#include "oci/base/poison.h"

/* What skopeo and umoci look for, and what containerd does (image-spec annotations.md). */
#define REF_NAME "org.opencontainers.image.ref.name"
#define CONTAINERD_NAME "io.containerd.image.name"

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
	const char *there = oci_descriptor_annotation(entry, REF_NAME);

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
		drop_annotation(ret_desc, REF_NAME);
		drop_annotation(ret_desc, CONTAINERD_NAME);
		return 0;
	}
	shown = ib_printable(name, 300);
	return ib_fail(err, IB_NOTFOUND, "no image '%s' in the store", shown);
}

/* Take the entries of that name out. Returns how many there were. */
static size_t remove_name(struct oci_index *index, const char *name)
{
	size_t kept = 0, n = index->n_manifests;

	for (size_t i = 0; i < n; i++) {
		if (has_name(&index->manifests[i], name))
			oci_descriptor_done(&index->manifests[i]);
		else
			index->manifests[kept++] = index->manifests[i];
	}
	index->n_manifests = kept;
	return n - kept;
}

static void append_name(struct oci_index *index, const char *name, const struct oci_descriptor *desc)
{
	struct oci_descriptor *entry;

	ib_grow(index->manifests, index->n_manifests, index->cap);
	entry = &index->manifests[index->n_manifests++];
	*entry = (struct oci_descriptor){0};
	oci_descriptor_copy(entry, desc);
	oci_descriptor_annotate(entry, REF_NAME, name);
	oci_descriptor_annotate(entry, CONTAINERD_NAME, name);
}

static int write_index(struct oci_store *store, const struct oci_index *index, struct ib_err *err)
{
	size_t len;
	ib_autofree char *bytes = oci_index_write(index, &len);

	if (len > IB_JSON_MAX_BYTES)
		return ib_fail(err, IB_LIMIT, "the store has too many names: index.json would pass %u bytes",
			       IB_JSON_MAX_BYTES);
	if (oci_store_flush(store, err) < 0)
		return -1;
	return ib_replace_file(store->dir, "index.json", bytes, len, 0644, err);
}

static bool same_text(const struct oci_descriptor *a, const struct oci_descriptor *b)
{
	ib_autojson *x = oci_descriptor_json(a), *y = oci_descriptor_json(b);
	ib_autostr s = IB_STR(IB_JSON_MAX_BYTES), t = IB_STR(IB_JSON_MAX_BYTES);

	ib_json_print(x, &s);
	ib_json_print(y, &t);
	return s.len == t.len && memcmp(s.s, t.s, s.len) == 0;
}

/* Exactly one entry of that name, and it is what would be written. */
static bool is_set(const struct oci_index *index, const char *name, const struct oci_descriptor *desc)
{
	struct oci_index wanted = {0};
	size_t found = 0;
	bool same = true;

	append_name(&wanted, name, desc);
	for (size_t i = 0; i < index->n_manifests; i++)
		if (has_name(&index->manifests[i], name)) {
			found++;
			same = same && same_text(&index->manifests[i], &wanted.manifests[0]);
		}
	oci_document_descriptors_free(wanted.manifests, wanted.n_manifests);
	return found == 1 && same;
}

int oci_store_name_set(struct oci_store *store, const char *const *names, size_t n_names,
		       const struct oci_descriptor *desc, struct ib_err *err)
{
	IB_CLEANUP(oci_index_freep) struct oci_index *index = NULL;
	ib_autoclose int lock = oci_store_flock(store->dir, "index.lock", true, true, err);
	bool changed = false;

	if (lock < 0 || oci_store_index(store, &index, err) < 0)
		return -1;
	for (size_t i = 0; i < n_names; i++) {
		if (is_set(index, names[i], desc))
			continue;
		(void)remove_name(index, names[i]);
		append_name(index, names[i], desc);
		changed = true;
	}
	return changed ? write_index(store, index, err) : 0;
}

int oci_store_name_remove(struct oci_store *store, const char *name, struct ib_err *err)
{
	IB_CLEANUP(oci_index_freep) struct oci_index *index = NULL;
	ib_autoclose int lock = oci_store_flock(store->dir, "index.lock", true, true, err);

	if (lock < 0 || oci_store_index(store, &index, err) < 0)
		return -1;
	if (remove_name(index, name) == 0) {
		ib_autofree char *shown = ib_printable(name, 300);

		return ib_fail(err, IB_NOTFOUND, "no image '%s' in the store", shown);
	}
	return write_index(store, index, err);
}
