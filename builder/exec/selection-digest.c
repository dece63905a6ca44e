#include <limits.h>
#include <string.h>
#include <sys/sysmacros.h>

#include "builder/exec/content-hash.h"
#include "builder/exec/selection.h"
#include "builder/exec/content-open.h"
#include "builder/exec/far-walk.h"
#include "builder/exec/stat-cache.h"
#include "oci/base/alloc.h"
#include "oci/base/str.h"

#include "oci/base/poison.h"

/*
 * The digest is that of two others: of what the entries are, in order, and of what the files contain, in the
 * same order. The first says how many files the second has, and every field of either has a fixed size or its
 * length in front, so no two selections have one text.
 */
#define FORMAT "imgbuild selection 1"

enum tag { TAG_ITEM = 1, TAG_ENTRY, TAG_INLINE };

struct digester {
	struct exec_selection *selection;
	const struct exec_tree *tree;
	struct oci_hash *entries;
	struct exec_stat_cache *cache;		/* NULL: none */
	struct exec_content_hash *contents;
	uint32_t source;
	struct ib_str shown;			/* path of an entry as the cache knows it */
	size_t shown_base;
	int64_t files, bytes;
};

/* Numbers are little-endian: a key may be shared between machines. */
struct record {
	uint8_t bytes[64];
	size_t n;
};

static void add_number(struct record *record, uint64_t value, size_t size)
{
	for (size_t i = 0; i < size; i++)
		record->bytes[record->n++] = (uint8_t)(value >> 8 * i);
}

/* The record, then a text with its length. */
static void add_record(struct digester *d, struct record *record, const char *text)
{
	size_t len = strlen(text);

	add_number(record, len, 4);
	oci_hash_update(d->entries, record->bytes, record->n);
	oci_hash_update(d->entries, text, len);
}

static uint8_t type_code(mode_t mode)
{
	return (uint8_t)((mode & S_IFMT) >> 12);
}

/* Has the entry a part in the digest of contents? Where nothing but bytes counts, not without bytes. */
static bool has_content(const struct digester *d, const struct stat *st)
{
	return S_ISREG(st->st_mode) && (st->st_size > 0 || !d->tree->context);
}

static void add_entry(struct digester *d, enum tag tag, const char *name, const struct stat *st)
{
	struct record record = {.n = 0};
	bool device = S_ISCHR(st->st_mode) || S_ISBLK(st->st_mode);

	add_number(&record, tag, 1);
	add_number(&record, type_code(st->st_mode), 1);
	add_number(&record, S_ISLNK(st->st_mode) ? 0 : st->st_mode & 07777, 2);
	add_number(&record, d->tree->context ? 0 : st->st_uid, 4);
	add_number(&record, d->tree->context ? 0 : st->st_gid, 4);
	add_number(&record, S_ISREG(st->st_mode) ? (uint64_t)st->st_size : 0, 8);
	add_number(&record, device ? major(st->st_rdev) : 0, 4);
	add_number(&record, device ? minor(st->st_rdev) : 0, 4);
	add_record(d, &record, name);
}

static void add_target(struct digester *d, const char *target)
{
	struct record record = {.n = 0};

	add_record(d, &record, target);
}

static int add_link_target(struct digester *d, const struct exec_source_entry *entry, struct ib_err *err)
{
	char target[PATH_MAX + 1];
	ssize_t n = readlinkat(entry->dirfd, entry->name, target, PATH_MAX);

	if (n < 0)
		return exec_content_fail(err, "read", entry->full);
	target[n] = '\0';
	add_target(d, target);
	return 0;
}

/* Count the file and, unless the cache knows it, have it read: name in dirfd, or a path of the tree (-1). */
static int add_content(struct digester *d, const char *shown, const struct stat *st, int dirfd, const char *name,
		       struct ib_err *err)
{
	struct stat now;
	int r, fd;

	d->files++;
	d->bytes += st->st_size;
	if (!has_content(d, st))
		return 0;
	r = exec_content_hash_add_known(d->contents, d->source, shown, st, err);
	if (r)
		return r < 0 ? -1 : 0;
	fd = dirfd < 0 ? oci_union_open(d->tree->tree, name, err) : exec_content_open(dirfd, name, &now);
	if (fd < 0)
		return dirfd < 0 ? -1 : exec_content_fail(err, "read", shown);
	return exec_content_hash_add(d->contents, d->source, shown, st, fd, err);
}

static int add_below(struct digester *d, const struct exec_source_entry *entry, struct ib_err *err)
{
	add_entry(d, TAG_ENTRY, entry->path, entry->st);
	if (S_ISLNK(entry->st->st_mode))
		return add_link_target(d, entry, err);
	if (!S_ISREG(entry->st->st_mode))
		return 0;
	d->shown.len = d->shown_base;
	ib_str_adds(&d->shown, entry->path);
	return add_content(d, d->shown.s, entry->st, entry->dirfd, entry->name, err);
}

/* The same for what another thread found. */
static int add_far(struct digester *d, const struct exec_far_entry *entry, struct ib_err *err)
{
	add_entry(d, TAG_ENTRY, entry->path, &entry->st);
	if (entry->target)
		add_target(d, entry->target);
	if (!S_ISREG(entry->st.st_mode))
		return 0;
	d->shown.len = d->shown_base;
	ib_str_adds(&d->shown, entry->path);
	return add_content(d, d->shown.s, &entry->st, -1, entry->full, err);
}

/*
 * Where to divide the walk of a directory: at the file in the middle of what was there last time, as a path
 * below the directory (caller's). NULL: not at all. With exceptions in the ignore file an entry's place depends
 * on what comes after it, and the two parts would not meet.
 */
static char *divide(const struct digester *d)
{
	ib_autofree char *middle = NULL;

	if (!d->cache || (d->tree->ignore && builder_ignore_has_exceptions(d->tree->ignore)))
		return NULL;
	middle = exec_stat_cache_middle(d->cache, d->source);
	if (!middle || strncmp(middle, d->shown.s, d->shown_base) != 0)
		return NULL;
	return ib_strdup(middle + d->shown_base);
}

static int add_directory(struct digester *d, const struct exec_item *item, struct ib_err *err)
{
	IB_CLEANUP(exec_source_walk_freep) struct exec_source_walk *walk = NULL;
	IB_CLEANUP(exec_far_walk_freep) struct exec_far_walk *far = NULL;
	ib_autofree char *middle = NULL;
	const struct exec_source_entry *entry;
	const struct exec_far_entry *far_entry;
	int r;

	if (exec_source_walk_new(d->tree, item->path, &walk, err) < 0)
		return -1;
	ib_str_reset(&d->shown);
	ib_str_adds(&d->shown, item->shown);
	if (*item->shown)
		ib_str_addc(&d->shown, '/');
	d->shown_base = d->shown.len;
	middle = divide(d);
	far = middle ? exec_far_walk_start(d->tree, item->path, middle) : NULL;
	while ((r = exec_source_walk_next(walk, &entry, err)) > 0) {
		if (far && exec_path_order(entry->path, strlen(entry->path), middle, strlen(middle)) >= 0)
			break;
		if (add_below(d, entry, err) < 0)
			return -1;
	}
	while (r >= 0 && far && (r = exec_far_walk_next(far, &far_entry, err)) > 0)
		if (add_far(d, far_entry, err) < 0)
			return -1;
	return r;
}

static void add_inline(struct digester *d, const struct exec_inline_file *file)
{
	struct record record = {.n = 0};
	struct oci_digest digest;

	oci_digest_of(file->content, file->size, &digest);
	for (size_t i = 0; i < 32; i++)
		add_number(&record, digest.raw[i], 1);
	add_record(d, &record, "");
	d->files++;
	d->bytes += (int64_t)file->size;
}

static int add_item(struct digester *d, const struct exec_item *item, struct ib_err *err)
{
	struct stat st = item->st;

	d->source = (uint32_t)item->source;
	/* The metadata of a source that is a directory goes nowhere: only what is in it is copied. */
	if (S_ISDIR(st.st_mode))
		st = (struct stat){.st_mode = S_IFDIR};
	add_entry(d, item->inline_file ? TAG_INLINE : TAG_ITEM, item->name, &st);
	if (item->inline_file) {
		add_inline(d, item->inline_file);
		return 0;
	}
	if (S_ISDIR(st.st_mode))
		return add_directory(d, item, err);
	return S_ISREG(st.st_mode) ? add_content(d, item->shown, &item->st, -1, item->path, err) : 0;
}

static void hash_text(struct oci_hash *hash, const char *text)
{
	oci_hash_update(hash, text, strlen(text) + 1);
}

/* Which files a selection has does not change with their contents: a name for its cache. */
static void cache_key(const struct exec_selection *selection, struct oci_digest *ret_key)
{
	IB_CLEANUP(oci_hash_freep) struct oci_hash *hash = oci_hash_new(OCI_SHA256);

	hash_text(hash, selection->tree->identity ? selection->tree->identity : "");
	hash_text(hash, selection->tree->context ? "context" : "");
	for (size_t i = 0; i < selection->n_sources; i++)
		hash_text(hash, selection->sources[i].written);
	oci_hash_final(hash, ret_key);
}

static void open_cache(struct digester *d)
{
	struct oci_digest key;

	if (!d->tree->stat_cache_dir)
		return;
	cache_key(d->selection, &key);
	d->cache = exec_stat_cache_open(d->tree->stat_cache_dir, &key);
}

static void digester_done(struct digester *d)
{
	exec_content_hash_free(d->contents);
	exec_stat_cache_free(d->cache);
	oci_hash_free(d->entries);
	ib_str_done(&d->shown);
}

static int finish(struct digester *d, struct oci_digest *ret_digest, struct ib_err *err)
{
	const uint8_t context = d->tree->context;	/* decides which fields there are */
	struct oci_digest part;

	if (exec_content_hash_finish(d->contents, &part, err) < 0)
		return -1;
	if (d->cache)
		exec_stat_cache_finish(d->cache);
	oci_hash_final(d->entries, ret_digest);
	oci_hash_update(d->entries, FORMAT, sizeof FORMAT);
	oci_hash_update(d->entries, &context, 1);
	oci_hash_update(d->entries, ret_digest->raw, 32);
	oci_hash_update(d->entries, part.raw, 32);
	oci_hash_final(d->entries, ret_digest);
	d->selection->files = d->files;
	d->selection->bytes = d->bytes;
	return 0;
}

int exec_selection_digest(struct exec_selection *selection, struct oci_digest *ret_digest, struct ib_err *err)
{
	IB_CLEANUP(digester_done) struct digester d = {
		.selection = selection,
		.tree = selection->tree,
		.entries = oci_hash_new(OCI_SHA256),
		.shown = IB_STR(4u << 20),
	};
	exec_autocursor cursor = {0};
	const struct exec_item *item;
	int r;

	open_cache(&d);
	d.contents = exec_content_hash_new(d.cache, !selection->tree->context);
	while ((r = exec_cursor_next(&cursor, selection, &item, err)) > 0)
		if (add_item(&d, item, err) < 0)
			return -1;
	return r < 0 ? -1 : finish(&d, ret_digest, err);
}
