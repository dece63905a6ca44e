#include "builder/cache/cache.h"

#include <stdlib.h>
#include <string.h>

#include "builder/cache/db.h"
#include "oci/base/alloc.h"

#include "oci/base/poison.h"

#define RAW_BYTES 32	/* everything kept here is a sha256 */

/* A use is written down only when the last one is older: reading a cache must not become writing it. */
#define TOUCH_SECONDS 3600

struct builder_cache {
	struct builder_db *db;
};

int builder_cache_open(const char *root, struct builder_cache **ret_cache, struct ib_err *err)
{
	ib_autofree char *path = ib_asprintf("%s/imgbuild.db", root);
	struct builder_db *db;

	if (builder_db_open(path, &db, err) < 0)
		return -1;
	*ret_cache = ib_new(struct builder_cache);
	(*ret_cache)->db = db;
	return 0;
}

void builder_cache_free(struct builder_cache *cache)
{
	if (!cache)
		return;
	builder_db_free(cache->db);
	free(cache);
}

static void bind_digest(sqlite3_stmt *s, int column, const struct oci_digest *digest)
{
	(void)sqlite3_bind_blob(s, column, digest->raw, RAW_BYTES, SQLITE_TRANSIENT);
}

static bool column_digest(sqlite3_stmt *s, int column, struct oci_digest *ret_digest)
{
	if (sqlite3_column_bytes(s, column) != RAW_BYTES)
		return false;
	*ret_digest = (struct oci_digest){.algo = OCI_SHA256};
	memcpy(ret_digest->raw, sqlite3_column_blob(s, column), RAW_BYTES);
	return true;
}

/* Run a statement whose only argument is a digest. Its failure costs cache, nothing else. */
static void run_by_digest(struct builder_db *db, enum builder_db_query query, const struct oci_digest *digest)
{
	sqlite3_stmt *s = builder_db_begin(db, query);

	if (!s)
		return;
	bind_digest(s, 1, digest);
	(void)sqlite3_step(s);
	builder_db_end(db, s);
}

bool builder_cache_find(struct builder_cache *cache, const struct builder_key *key,
			struct builder_result *ret_result)
{
	sqlite3_stmt *s = builder_db_begin(cache->db, DB_FIND_STEP);
	struct builder_result result = {0};
	bool found;
	int64_t used;

	if (!s)
		return false;
	bind_digest(s, 1, &key->digest);
	found = sqlite3_step(s) == SQLITE_ROW && column_digest(s, 0, &result.diff_id.digest) &&
		column_digest(s, 1, &result.chain.digest);
	result.created.tv_sec = sqlite3_column_int64(s, 2);
	result.created.tv_nsec = (long)sqlite3_column_int64(s, 3);
	used = sqlite3_column_int64(s, 4);
	builder_db_end(cache->db, s);
	if (!found)
		return false;
	if (used + TOUCH_SECONDS < time(NULL))
		run_by_digest(cache->db, DB_TOUCH_STEP, &key->digest);
	*ret_result = result;
	return true;
}

void builder_cache_store(struct builder_cache *cache, const struct builder_key *key,
			 const struct builder_result *result)
{
	sqlite3_stmt *s = builder_db_begin(cache->db, DB_STORE_STEP);

	if (!s)
		return;
	bind_digest(s, 1, &key->digest);
	bind_digest(s, 2, &result->diff_id.digest);
	bind_digest(s, 3, &result->chain.digest);
	(void)sqlite3_bind_int64(s, 4, result->created.tv_sec);
	(void)sqlite3_bind_int64(s, 5, result->created.tv_nsec);
	(void)sqlite3_step(s);	/* not remembered: done again next time */
	builder_db_end(cache->db, s);
}

bool builder_cache_find_alias(struct builder_cache *cache, const struct builder_key *alias,
			      struct builder_key *ret_key)
{
	sqlite3_stmt *s = builder_db_begin(cache->db, DB_FIND_ALIAS);
	bool found;

	if (!s)
		return false;
	bind_digest(s, 1, &alias->digest);
	found = sqlite3_step(s) == SQLITE_ROW && column_digest(s, 0, &ret_key->digest);
	builder_db_end(cache->db, s);
	return found;
}

void builder_cache_store_alias(struct builder_cache *cache, const struct builder_key *alias,
			       const struct builder_key *key)
{
	sqlite3_stmt *s = builder_db_begin(cache->db, DB_STORE_ALIAS);

	if (!s)
		return;
	bind_digest(s, 1, &alias->digest);
	bind_digest(s, 2, &key->digest);
	(void)sqlite3_step(s);	/* as above */
	builder_db_end(cache->db, s);
}

bool builder_cache_find_layer(struct builder_cache *cache, const struct oci_diff_id *diff_id,
			      const struct oci_compression_setting *setting, bool any, struct oci_layer *ret_layer)
{
	sqlite3_stmt *s = builder_db_begin(cache->db, any ? DB_FIND_ANY_LAYER : DB_FIND_LAYER);
	struct oci_layer layer = {.diff_id = *diff_id};
	ib_autoerr err = {0};
	bool found;

	if (!s)
		return false;
	bind_digest(s, 1, &diff_id->digest);
	if (!any) {
		(void)sqlite3_bind_int(s, 2, (int)setting->compression);
		(void)sqlite3_bind_int(s, 3, setting->level);
	}
	found = sqlite3_step(s) == SQLITE_ROW && column_digest(s, 0, &layer.desc.digest);
	layer.desc.size = sqlite3_column_int64(s, 1);
	layer.tar_size = sqlite3_column_int64(s, 2);
	found = found && oci_compression_media((enum oci_compression)sqlite3_column_int(s, 3), false,
					       &layer.desc.media, &err) == 0;
	builder_db_end(cache->db, s);
	if (found)
		*ret_layer = layer;
	return found;
}

void builder_cache_store_layer(struct builder_cache *cache, const struct oci_layer *layer,
			       const struct oci_compression_setting *setting)
{
	sqlite3_stmt *s = builder_db_begin(cache->db, DB_STORE_LAYER);

	if (!s)
		return;
	bind_digest(s, 1, &layer->diff_id.digest);
	(void)sqlite3_bind_int(s, 2, (int)setting->compression);
	(void)sqlite3_bind_int(s, 3, setting->level);
	bind_digest(s, 4, &layer->desc.digest);
	(void)sqlite3_bind_int64(s, 5, layer->desc.size);
	(void)sqlite3_bind_int64(s, 6, layer->tar_size);
	(void)sqlite3_step(s);	/* as above */
	builder_db_end(cache->db, s);
}

/* Keys to be deleted are collected first: a table is not changed while it is read. */
int builder_cache_each_step(struct builder_cache *cache, builder_cache_step_fn *fn, void *ctx,
			    struct ib_err *err)
{
	sqlite3_stmt *s = builder_db_begin(cache->db, DB_EACH_STEP);
	ib_autofree struct oci_digest *doomed = NULL;
	size_t n = 0, cap = 0;
	int rc;

	if (!s)
		return ib_fail(err, IB_IO, "read the step cache");
	while ((rc = sqlite3_step(s)) == SQLITE_ROW) {
		struct oci_diff_id diff_id;
		struct oci_digest key;

		if (!column_digest(s, 0, &key) || !column_digest(s, 1, &diff_id.digest))
			continue;
		if (fn(ctx, &diff_id, sqlite3_column_int64(s, 2)) != 1)
			continue;
		ib_grow(doomed, n, cap);
		doomed[n++] = key;
	}
	builder_db_end(cache->db, s);
	if (rc != SQLITE_DONE)
		return ib_fail(err, IB_IO, "read the step cache: %s", sqlite3_errstr(rc));
	for (size_t i = 0; i < n; i++)
		run_by_digest(cache->db, DB_DELETE_STEP, &doomed[i]);
	return 0;
}

int builder_cache_each_layer(struct builder_cache *cache, builder_cache_layer_fn *fn, void *ctx,
			     struct ib_err *err)
{
	sqlite3_stmt *s = builder_db_begin(cache->db, DB_EACH_LAYER);
	int rc = SQLITE_ERROR, stop = 0;

	if (!s)
		return ib_fail(err, IB_IO, "read the layer table");
	while (!stop && (rc = sqlite3_step(s)) == SQLITE_ROW) {
		struct oci_diff_id diff_id;
		struct oci_digest digest;

		if (column_digest(s, 0, &diff_id.digest) && column_digest(s, 1, &digest))
			stop = fn(ctx, &diff_id, &digest, sqlite3_column_int64(s, 2));
	}
	builder_db_end(cache->db, s);
	if (!stop && rc != SQLITE_DONE)
		return ib_fail(err, IB_IO, "read the layer table: %s", sqlite3_errstr(rc));
	return 0;
}

void builder_cache_forget_blob(struct builder_cache *cache, const struct oci_digest *digest)
{
	run_by_digest(cache->db, DB_DELETE_BLOB, digest);
}
