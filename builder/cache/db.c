#include "builder/cache/db.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <unistd.h>

#include "oci/base/alloc.h"

#include "oci/base/poison.h"

#define SCHEMA_VERSION 2	/* another one in the file: it is made anew */
#define BUSY_MS 10000		/* other processes write for milliseconds at most */

static const char schema[] =
	"CREATE TABLE step (key BLOB PRIMARY KEY, diff_id BLOB NOT NULL, chain BLOB NOT NULL,"
	" created_s INTEGER NOT NULL, created_ns INTEGER NOT NULL, used INTEGER NOT NULL) WITHOUT ROWID;"
	"CREATE TABLE alias (key BLOB PRIMARY KEY, target BLOB NOT NULL) WITHOUT ROWID;"
	"CREATE TABLE layer (diff_id BLOB NOT NULL, compression INTEGER NOT NULL, level INTEGER NOT NULL,"
	" digest BLOB NOT NULL, size INTEGER NOT NULL, tar_size INTEGER NOT NULL, added INTEGER NOT NULL,"
	" PRIMARY KEY (diff_id, compression, level)) WITHOUT ROWID;";

static const char *const queries[DB_QUERIES] = {
	[DB_FIND_STEP] = "SELECT diff_id, chain, created_s, created_ns, used FROM step WHERE key = ?1",
	[DB_STORE_STEP] = "INSERT OR REPLACE INTO step VALUES (?1, ?2, ?3, ?4, ?5, unixepoch())",
	[DB_TOUCH_STEP] = "UPDATE step SET used = unixepoch() WHERE key = ?1",
	[DB_FIND_ALIAS] = "SELECT target FROM alias WHERE key = ?1",
	[DB_STORE_ALIAS] = "INSERT OR REPLACE INTO alias VALUES (?1, ?2)",
	[DB_DELETE_ALIASES] = "DELETE FROM alias",
	[DB_FIND_LAYER] = "SELECT digest, size, tar_size, compression FROM layer"
			  " WHERE diff_id = ?1 AND compression = ?2 AND level = ?3",
	[DB_FIND_ANY_LAYER] = "SELECT digest, size, tar_size, compression FROM layer"
			      " WHERE diff_id = ?1 ORDER BY added DESC LIMIT 1",
	[DB_STORE_LAYER] = "INSERT OR REPLACE INTO layer VALUES (?1, ?2, ?3, ?4, ?5, ?6, unixepoch())",
	[DB_EACH_STEP] = "SELECT key, diff_id, used FROM step",
	[DB_DELETE_STEP] = "DELETE FROM step WHERE key = ?1",
	[DB_EACH_LAYER] = "SELECT diff_id, digest, size FROM layer",
	[DB_DELETE_BLOB] = "DELETE FROM layer WHERE digest = ?1",
};

static int execute(sqlite3 *handle, const char *sql)
{
	return sqlite3_exec(handle, sql, NULL, NULL, NULL);
}

static int read_version(sqlite3 *handle, int *ret_version)
{
	sqlite3_stmt *statement;
	int rc = sqlite3_prepare_v2(handle, "PRAGMA user_version", -1, &statement, NULL);

	if (rc != SQLITE_OK)
		return rc;
	rc = sqlite3_step(statement);
	*ret_version = rc == SQLITE_ROW ? sqlite3_column_int(statement, 0) : -1;
	sqlite3_finalize(statement);
	return rc == SQLITE_ROW ? SQLITE_OK : rc;
}

/* An empty database gets its tables; two processes may be at it at once. */
static int create(sqlite3 *handle)
{
	char version[64];
	int rc = execute(handle, "PRAGMA journal_mode=WAL");
	int found = 0;

	if (rc != SQLITE_OK || (rc = execute(handle, "BEGIN IMMEDIATE")) != SQLITE_OK)
		return rc;
	rc = read_version(handle, &found);
	if (rc == SQLITE_OK && found == 0) {
		(void)snprintf(version, sizeof version, "PRAGMA user_version=%d", SCHEMA_VERSION);
		rc = execute(handle, schema);
		if (rc == SQLITE_OK)
			rc = execute(handle, version);
	}
	if (rc != SQLITE_OK) {
		(void)execute(handle, "ROLLBACK");	/* the first failure is the one to tell */
		return rc;
	}
	return execute(handle, "COMMIT");
}

/* SQLITE_OK, or what is wrong; SQLITE_NOTADB also for a database of another version. */
static int open_handle(const char *path, sqlite3 **ret_handle)
{
	const int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_NOFOLLOW;
	int version = 0;
	int rc = sqlite3_open_v2(path, ret_handle, flags, NULL);

	if (rc != SQLITE_OK)
		return rc;
	(void)sqlite3_busy_timeout(*ret_handle, BUSY_MS);
	rc = read_version(*ret_handle, &version);
	if (rc == SQLITE_OK && version == 0)
		rc = create(*ret_handle);
	else if (rc == SQLITE_OK && version != SCHEMA_VERSION)
		rc = SQLITE_NOTADB;
	if (rc == SQLITE_OK)
		rc = execute(*ret_handle, "PRAGMA synchronous=NORMAL");
	return rc;
}

static void close_handle(sqlite3 **handle)
{
	(void)sqlite3_close(*handle);
	*handle = NULL;
}

/* The database is cache: a bad one is thrown away, with the files that SQLite keeps beside it. */
static void discard(const char *path)
{
	static const char *const suffixes[] = {"", "-wal", "-shm"};

	for (size_t i = 0; i < 3; i++) {
		ib_autofree char *file = ib_asprintf("%s%s", path, suffixes[i]);

		(void)unlink(file);
	}
}

static bool is_damage(int rc)
{
	return (rc & 0xff) == SQLITE_CORRUPT || (rc & 0xff) == SQLITE_NOTADB;
}

/*
 * Making a database, throwing one away, and the clean-up of the last one to close it are for one process at a
 * time: SQLite tells the others that it is locked, and not all of them get to wait. A directory that takes no
 * lock file does without.
 */
static int lock_for_change(const char *path)
{
	ib_autofree char *name = ib_asprintf("%s.lock", path);
	int fd = open(name, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);

	if (fd >= 0)
		(void)flock(fd, LOCK_EX);	/* interrupted: as above */
	return fd;
}

int builder_db_open(const char *path, struct builder_db **ret_db, struct ib_err *err)
{
	ib_autoclose int lock = lock_for_change(path);
	sqlite3 *handle = NULL;
	int rc = open_handle(path, &handle);
	struct builder_db *db;

	if (is_damage(rc)) {
		close_handle(&handle);
		discard(path);
		rc = open_handle(path, &handle);
	}
	if (rc != SQLITE_OK) {
		ib_fail(err, rc == SQLITE_FULL ? IB_NOSPACE : IB_IO, "open %s: %s", path,
			handle ? sqlite3_errmsg(handle) : sqlite3_errstr(rc));
		if (err->code != IB_NOSPACE)
			ib_err_hint(err, "; it is only a cache and may be deleted");
		close_handle(&handle);
		return -1;
	}
	db = ib_new(struct builder_db);
	pthread_mutex_init(&db->lock, NULL);
	db->handle = handle;
	db->path = ib_strdup(path);
	*ret_db = db;
	return 0;
}

void builder_db_free(struct builder_db *db)
{
	ib_autoclose int lock = -1;

	if (!db)
		return;
	lock = lock_for_change(db->path);
	for (size_t i = 0; i < DB_QUERIES; i++)
		(void)sqlite3_finalize(db->statements[i]);
	close_handle(&db->handle);
	if (db->damaged)
		discard(db->path);
	free(db->path);
	pthread_mutex_destroy(&db->lock);
	free(db);
}

sqlite3_stmt *builder_db_begin(struct builder_db *db, enum builder_db_query query)
{
	sqlite3_stmt **statement = &db->statements[query];
	int rc = SQLITE_OK;

	pthread_mutex_lock(&db->lock);
	if (!*statement)
		rc = sqlite3_prepare_v3(db->handle, queries[query], -1, SQLITE_PREPARE_PERSISTENT, statement, NULL);
	if (rc != SQLITE_OK) {
		db->damaged |= is_damage(rc);
		pthread_mutex_unlock(&db->lock);
		return NULL;
	}
	return *statement;
}

void builder_db_end(struct builder_db *db, sqlite3_stmt *statement)
{
	/* It repeats the result of the last step. Damage is cured once nobody uses the file here. */
	db->damaged |= is_damage(sqlite3_reset(statement));
	(void)sqlite3_clear_bindings(statement);
	pthread_mutex_unlock(&db->lock);
}
