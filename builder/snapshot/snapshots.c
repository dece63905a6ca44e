/* The snapshots of a store: opened, listed, removed. */
#include <dirent.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>

#include "builder/snapshot/snapshot-internal.h"
#include "oci/base/alloc.h"
#include "oci/base/fd.h"
#include "oci/base/remove.h"

#include "oci/base/poison.h"

static int read_boot_id(char boot_id[static BOOT_ID_SIZE], struct ib_err *err)
{
	ib_autoclose int fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);

	if (fd < 0 || ib_read_full(fd, boot_id, BOOT_ID_SIZE - 1) <= 0)
		return ib_fail_sys(err, errno, "read the kernel's boot ID (is /proc mounted?)");
	return 0;
}

/*
 * Layers have nothing to do with each other. On ext4 this flag says so, and each one's files are placed in a part
 * of the disk of their own; without it new ones go where those just removed were, and making a file there can
 * take a hundred times as long. Other file systems know no such flag.
 */
static void spread(int dir)
{
	int flags;

	if (ioctl(dir, FS_IOC_GETFLAGS, &flags) < 0 || flags & FS_TOPDIR_FL)
		return;
	flags |= FS_TOPDIR_FL;
	(void)ioctl(dir, FS_IOC_SETFLAGS, &flags);	/* only speed is lost */
}

static int open_directories(struct builder_snapshots *s, int root, const char *root_path, struct ib_err *err)
{
	const int flags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;

	if (ib_mkdirs(root, "snapshots/chain", 0711, err) < 0)
		return -1;
	s->dir = openat(root, "snapshots", flags);
	s->chains = s->dir < 0 ? -1 : openat(s->dir, "chain", flags);
	if (s->chains < 0)
		return ib_fail_sys(err, errno, "open '%s/snapshots'", root_path);
	s->path = ib_asprintf("%s/snapshots", root_path);
	spread(s->dir);
	return 0;
}

int builder_snapshots_open(struct oci_store *store, enum builder_snapshotter kind,
			   struct builder_snapshots **ret_snapshots, struct ib_err *err)
{
	IB_CLEANUP(builder_snapshots_freep) struct builder_snapshots *s = ib_new(struct builder_snapshots);
	const char *root_path = oci_store_path(store);
	int root = oci_store_dirfd(store);

	s->dir = s->chains = s->work = s->works = -1;
	if (read_boot_id(s->boot_id, err) < 0 || open_directories(s, root, root_path, err) < 0 ||
	    snapshot_workdir_open(s, root, root_path, err) < 0)
		return -1;
	snapshot_sweep(s);
	if (snapshot_probe(s, kind, err) < 0)
		return -1;
	*ret_snapshots = ib_steal_ptr(&s);
	return 0;
}

void builder_snapshots_free(struct builder_snapshots *s)
{
	if (!s)
		return;
	snapshot_workdir_close(s);
	ib_closep(&s->chains);
	ib_closep(&s->dir);
	free(s->path);
	free(s);
}

enum builder_snapshotter builder_snapshots_kind(const struct builder_snapshots *s)
{
	return s->kind;
}

bool builder_snapshots_keep_owner(const struct builder_snapshots *s)
{
	return s->keep_owner;
}

bool builder_snapshots_keep_devices(const struct builder_snapshots *s)
{
	return s->keep_devices;
}

int builder_snapshots_workdir(const struct builder_snapshots *s)
{
	return s->work;
}

const char *builder_snapshots_workpath(const struct builder_snapshots *s)
{
	return s->work_path;
}

int builder_snapshots_remove(struct builder_snapshots *s, const struct oci_chain_id *chain, struct ib_err *err)
{
	char hex[OCI_DIGEST_SIZE], target[256];
	ssize_t n = readlinkat(s->chains, oci_digest_hex(&chain->digest, hex), target, sizeof target - 1);

	if (n < 0)
		return errno == ENOENT ? 0 : ib_fail_sys(err, errno, "remove snapshot %s", hex);
	target[n] = '\0';
	/* The name goes first: nobody may find a directory that is half removed. */
	if (unlinkat(s->chains, hex, 0) < 0)
		return ib_fail_sys(err, errno, "remove snapshot %s", hex);
	if (!ib_starts(target, "../") || strchr(target + 3, '/'))
		return 0;
	return ib_remove_tree(s->dir, target + 3, err);
}

/* Bytes on disk of one layer; what can't be read counts nothing. */
static int64_t disk_usage(struct builder_snapshots *s, const char *id)
{
	IB_CLEANUP(oci_union_freep) struct oci_union *u = oci_union_new();
	IB_CLEANUP(oci_union_walk_freep) struct oci_union_walk *walk = NULL;
	ib_autofree char *fs = ib_asprintf("%s/fs", id);
	const struct oci_walk_entry *e;
	int64_t bytes = 0;
	ib_autoerr err = {0};
	int fd = openat(s->dir, fs, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

	if (fd < 0)
		return 0;
	oci_union_push(u, fd, OCI_UNION_OVERLAY);
	if (oci_union_walk_new(u, "", OCI_WALK_RAW, &walk, &err) < 0)
		return 0;
	while (oci_union_walk_next(walk, &e, &err) > 0)
		bytes += (int64_t)e->st.st_blocks * 512 / (S_ISDIR(e->st.st_mode) ? 1 : (int64_t)e->st.st_nlink);
	return bytes;
}

int builder_snapshots_each(struct builder_snapshots *s, builder_snapshot_fn *fn, void *ctx, struct ib_err *err)
{
	int fd = openat(s->chains, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *stream = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *de;
	int r = 0;

	if (!stream) {
		ib_closep(&fd);
		return ib_fail_sys(err, errno, "list snapshots");
	}
	while (r == 0 && (de = readdir(stream))) {
		ib_autofree char *text = ib_asprintf("sha256:%s", de->d_name);
		struct oci_chain_id chain;
		ib_autoerr no_chain = {0};	/* ".", "..", temporary names */
		char target[256];
		ssize_t n;

		if (oci_digest_parse(text, &chain.digest, &no_chain) < 0)
			continue;
		n = readlinkat(s->chains, de->d_name, target, sizeof target - 1);
		if (n <= 3)
			continue;
		target[n] = '\0';
		r = fn(ctx, &chain, disk_usage(s, target + 3), err);
	}
	(void)closedir(stream);
	return r;
}
