/*
 * builder/cache/db.h - the SQLite database behind the cache. Shared by the files of cache/.
 */
#ifndef BUILDER_CACHE_DB_H
#define BUILDER_CACHE_DB_H

#include <pthread.h>
#include <sqlite3.h>
#include <stdbool.h>

#include "oci/base/err.h"

enum builder_db_query {
	DB_FIND_STEP, DB_STORE_STEP, DB_TOUCH_STEP, DB_FIND_ALIAS, DB_STORE_ALIAS, DB_DELETE_ALIASES, DB_FIND_LAYER,
	DB_FIND_ANY_LAYER, DB_STORE_LAYER, DB_EACH_STEP, DB_DELETE_STEP, DB_EACH_LAYER, DB_DELETE_BLOB,
	DB_QUERIES,
};

struct builder_db {
	pthread_mutex_t lock;	/* guards all below: one statement at a time */
	sqlite3 *handle;
	char *path;
	bool damaged;		/* a page made no sense: the file is thrown away when it is closed */
	sqlite3_stmt *statements[DB_QUERIES];	/* prepared when first used */
};

/* A database of another version or a damaged one is thrown away and made anew. */
int builder_db_open(const char *path, struct builder_db **ret_db, struct ib_err *err);
void builder_db_free(struct builder_db *db);

/* Lock, and give the statement, reset and ready to bind; NULL (unlocked) when it can't be prepared. */
sqlite3_stmt *builder_db_begin(struct builder_db *db, enum builder_db_query query);
void builder_db_end(struct builder_db *db, sqlite3_stmt *statement);

#endif
