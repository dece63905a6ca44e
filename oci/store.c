#include "oci/store.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>

#include "oci/base/alloc.h"
#include "oci/base/fd.h"
#include "oci/base/pool.h"
#include "oci/base/str.h"
#include "oci/store-internal.h"

#include "oci/base/poison.h"

#define LAYOUT_FILE "oci-layout"
#define LAYOUT_TEXT "{\"imageLayoutVersion\":\"1.0.0\"}"
#define LAYOUT_MAX 4096		/* it holds one version */
#define INDEX_TEXT \
	"{\"schemaVersion\":2,\"mediaType\":\"application/vnd.oci.image.index.v1+json\",\"manifests\":[]}"

static int fail_layout(struct ib_err *err, const char *why)
{
	return ib_fail(err, IB_INVALID, "not an OCI image layout: %s", why);
}

/* 0 when it is a layout, 1 when the file that says so is missing. */
static int check_layout(int dir, struct ib_err *err)
{
	ib_autofree char *bytes = NULL;
	ib_autojson *json = NULL;
	const char *version;
	size_t len;

	if (ib_read_file(dir, LAYOUT_FILE, LAYOUT_MAX, &bytes, &len, err) < 0) {
		if (err->code != IB_NOTFOUND)
			return -1;
		ib_err_clear(err);	/* the caller decides whether to make one */
		return 1;
	}
	json = ib_json_parse(bytes, len, err);
	if (!json)
		return ib_wrap(err, "not an OCI image layout: " LAYOUT_FILE);
	version = ib_json_get_string(json, "imageLayoutVersion");
	if (!version)
		return fail_layout(err, LAYOUT_FILE " has no imageLayoutVersion");
	if (strcmp(version, "1.0.0") != 0) {
		ib_autofree char *shown = ib_printable(version, 40);

		return ib_fail(err, IB_INVALID, "OCI image layout of version '%s', only 1.0.0 is known", shown);
	}
	return 0;
}

/* What stands in a directory whose making was interrupted or goes on, or in the root of an empty disk. */
static bool belongs(const char *name)
{
	static const char *const ours[] = {
		".", "..", LAYOUT_FILE, "blobs", "index.json", "index.lock", "lock", "lost+found",
	};

	for (size_t i = 0; i < sizeof ours / sizeof *ours; i++)
		if (strcmp(ours[i], name) == 0)
			return true;
	return oci_store_is_temporary(name) || ib_starts(name, "imgbuild.db");
}

static int check_vacant(int dir, struct ib_err *err)
{
	int fd = openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *d = fd < 0 ? NULL : fdopendir(fd);
	const struct dirent *e;
	int r = 0;

	if (!d) {
		ib_closep(&fd);
		return ib_fail_sys(err, errno, "read the directory");
	}
	while (r == 0 && (e = readdir(d)))
		if (!belongs(e->d_name))
			r = fail_layout(err, "the directory holds other things");
	(void)closedir(d);	/* was only read */
	return r;
}

/* oci-layout comes last: a directory that has it is complete. */
static int populate(int dir, struct ib_err *err)
{
	ib_autoclose int lock = -1;
	int r;

	if (check_vacant(dir, err) < 0)
		return -1;
	lock = oci_store_flock(dir, "index.lock", true, true, err);
	if (lock < 0)
		return -1;
	r = check_layout(dir, err);
	if (r <= 0)
		return r;	/* somebody else was faster */
	if (ib_mkdirs(dir, "blobs/sha256", 0755, err) < 0)
		return -1;
	if (faccessat(dir, "index.json", F_OK, 0) < 0 &&
	    ib_replace_file(dir, "index.json", INDEX_TEXT, strlen(INDEX_TEXT), 0644, err) < 0)
		return -1;
	return ib_replace_file(dir, LAYOUT_FILE, LAYOUT_TEXT, strlen(LAYOUT_TEXT), 0644, err);
}

/* mkdir -p for a path of the user's, whose links are to be followed. */
static void make_parents(const char *path)
{
	ib_autofree char *copy = ib_strdup(path);

	for (char *p = strchr(copy + 1, '/'); p; p = strchr(p + 1, '/')) {
		*p = '\0';
		(void)mkdir(copy, 0755);	/* what matters fails again at the last component */
		*p = '/';
	}
}

static int open_root(const char *path, bool create, mode_t mode, struct ib_err *err)
{
	int dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (dir < 0 && errno == ENOENT && create) {
		make_parents(path);
		if (mkdir(path, mode) < 0 && errno != EEXIST)
			return ib_fail_sys(err, errno, "create the directory");
		dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	}
	return dir < 0 ? ib_fail_sys(err, errno, "open the directory") : dir;
}

static char *absolute(const char *path)
{
	ib_autofree char *cwd = *path == '/' ? NULL : getcwd(NULL, 0);

	return cwd ? ib_asprintf("%s/%s", cwd, path) : ib_strdup(path);
}

static struct oci_store *store_new(const char *path)
{
	struct oci_store *store = ib_new(struct oci_store);

	store->path = absolute(path);
	store->dir = store->blobs[OCI_SHA256] = store->blobs[OCI_SHA512] = -1;
	pthread_mutex_init(&store->lock, NULL);
	return store;
}

static int open_layout(struct oci_store *store, bool create, mode_t mode, struct ib_err *err)
{
	int r;

	store->dir = open_root(store->path, create, mode, err);
	if (store->dir < 0)
		return -1;
	r = check_layout(store->dir, err);
	if (r < 0)
		return -1;
	if (r > 0) {
		if (!create)
			return fail_layout(err, "there is no file " LAYOUT_FILE);
		if (populate(store->dir, err) < 0)
			return -1;
	}
	if (!create)
		return 0;	/* perhaps read-only; directories are made when something is put */
	return oci_store_make_blob_dir(store, OCI_SHA256, err) < 0 ? -1 : 0;
}

int oci_store_open_as(const char *path, bool create, mode_t mode, struct oci_store **ret_store,
		      struct ib_err *err)
{
	IB_CLEANUP(oci_store_freep) struct oci_store *store = store_new(path);

	if (open_layout(store, create, mode, err) < 0) {
		ib_autofree char *shown = ib_printable(store->path, 300);

		return ib_wrap(err, "store %s", shown);
	}
	*ret_store = ib_steal_ptr(&store);
	return 0;
}

int oci_store_open(const char *path, bool create, struct oci_store **ret_store, struct ib_err *err)
{
	/* Only its owner: unpacked images hold set-id programs, and private files. */
	return oci_store_open_as(path, create, 0700, ret_store, err);
}

void oci_store_free(struct oci_store *store)
{
	if (!store)
		return;
	ib_closep(&store->blobs[OCI_SHA256]);
	ib_closep(&store->blobs[OCI_SHA512]);
	ib_closep(&store->dir);
	pthread_mutex_destroy(&store->lock);
	free(store->path);
	free(store);
}

int oci_store_dirfd(const struct oci_store *store)
{
	return store->dir;
}

const char *oci_store_path(const struct oci_store *store)
{
	return store->path;
}

static int flock_wait(int fd, int how, const char *name, struct ib_err *err)
{
	while (flock(fd, how) < 0) {
		if (errno == EWOULDBLOCK)
			return ib_fail(err, IB_BUSY, "the store is in use by another process");
		if (errno != EINTR)
			return ib_fail_sys(err, errno, "lock '%s'", name);
		if (ib_check_cancelled(err) < 0)
			return -1;
	}
	return 0;
}

/* Whoever held the lock before us may have taken the name away: then ours locks nobody out. */
static bool is_current(int fd, int dir, const char *name)
{
	struct stat ours, named;

	return fstat(fd, &ours) == 0 && fstatat(dir, name, &named, AT_SYMLINK_NOFOLLOW) == 0 &&
	       ours.st_ino == named.st_ino && ours.st_dev == named.st_dev;
}

int oci_store_flock(int dir, const char *name, bool exclusive, bool wait, struct ib_err *err)
{
	int how = (exclusive ? LOCK_EX : LOCK_SH) | (wait ? 0 : LOCK_NB);

	for (;;) {
		/* O_RDONLY: a lock file that somebody else made is enough. */
		ib_autoclose int fd = openat(dir, name, O_RDONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0644);

		if (fd < 0)
			return ib_fail_sys(err, errno, "open the lock file '%s'", name);
		if (flock_wait(fd, how, name, err) < 0)
			return -1;
		if (is_current(fd, dir, name))
			return ib_steal_fd(&fd);
	}
}

int oci_store_lock(struct oci_store *store, bool exclusive, bool wait, struct ib_err *err)
{
	int fd = oci_store_flock(store->dir, "lock", exclusive, wait, err);

	if (fd < 0)
		return ib_wrap(err, "store %s", store->path);
	if (exclusive)
		oci_store_sweep(store);
	return fd;
}
