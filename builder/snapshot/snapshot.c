#include "builder/snapshot/snapshot.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "builder/snapshot/snapshot-internal.h"
#include "oci/base/alloc.h"
#include "oci/base/fd.h"
#include "oci/base/remove.h"

#include "oci/base/poison.h"

struct builder_snapshot *builder_snapshot_ref(struct builder_snapshot *snapshot)
{
	if (snapshot)
		(void)__atomic_add_fetch(&snapshot->refs, 1, __ATOMIC_RELAXED);
	return snapshot;
}

void builder_snapshot_unref(struct builder_snapshot *snapshot)
{
	/* A chain of parents is let go in a loop: stacks are up to 500 layers deep. */
	while (snapshot && __atomic_sub_fetch(&snapshot->refs, 1, __ATOMIC_ACQ_REL) == 0) {
		struct builder_snapshot *parent = snapshot->parent;
		ib_autoerr err = {0};	/* what stays is swept later */

		ib_closep(&snapshot->fd);
		if (!__atomic_load_n(&snapshot->published, __ATOMIC_ACQUIRE))
			(void)ib_remove_tree(snapshot->owner->dir, snapshot->id, &err);
		free(snapshot->path);
		free(snapshot->id);
		free(snapshot);
		snapshot = parent;
	}
}

/* An object for the directory ROOT/snapshots/ID/fs, which exists. */
static int open_snapshot(struct builder_snapshots *s, char *take_id, struct builder_snapshot **ret_snapshot,
			 struct ib_err *err)
{
	struct builder_snapshot *snapshot = ib_new(struct builder_snapshot);
	ib_autofree char *fs = ib_asprintf("%s/fs", take_id);

	snapshot->owner = s;
	snapshot->refs = 1;
	snapshot->depth = 1;
	snapshot->id = take_id;
	snapshot->path = ib_asprintf("%s/%s", s->path, fs);
	snapshot->fd = openat(s->dir, fs, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	*ret_snapshot = snapshot;
	return snapshot->fd < 0 ? ib_fail_sys(err, errno, "open snapshot '%s'", snapshot->path) : 0;
}

static int write_boot_id(struct builder_snapshots *s, const char *id, struct ib_err *err)
{
	ib_autofree char *name = ib_asprintf("%s/boot", id);
	ib_autoclose int fd = openat(s->dir, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);

	if (fd < 0 || ib_write_full(fd, s->boot_id, strlen(s->boot_id)) < 0)
		return ib_fail_sys(err, errno, "create snapshot");
	return 0;
}

int snapshot_create(struct builder_snapshots *s, struct builder_snapshot **ret_snapshot, struct ib_err *err)
{
	builder_autosnapshot *snapshot = NULL;
	char *id = ib_asprintf("%s-%u", s->work_name, atomic_fetch_add(&s->counter, 1));
	ib_autofree char *fs = ib_asprintf("%s/fs", id);

	if (mkdirat(s->dir, id, 0711) < 0 || mkdirat(s->dir, fs, 0755) < 0) {
		int sys = errno;

		free(id);
		return ib_fail_sys(err, sys, "create snapshot");
	}
	if (open_snapshot(s, id, &snapshot, err) < 0 || write_boot_id(s, id, err) < 0)
		return -1;
	*ret_snapshot = ib_steal_ptr(&snapshot);
	return 0;
}

void snapshot_set_parent(struct builder_snapshot *snapshot, struct builder_snapshot *parent)
{
	snapshot->parent = builder_snapshot_ref(parent);
	snapshot->depth = parent ? parent->depth + 1 : 1;
}

int builder_snapshot_new(struct builder_snapshots *s, struct builder_snapshot *parent,
			 struct builder_snapshot **ret_snapshot, struct ib_err *err)
{
	builder_autosnapshot *snapshot = NULL;
	struct stat st;

	if (snapshot_create(s, &snapshot, err) < 0)
		return -1;
	snapshot_set_parent(snapshot, parent);
	/* The root directory of the top layer is what the process sees as "/". */
	if (parent && (fstat(parent->fd, &st) < 0 || fchmod(snapshot->fd, st.st_mode & 07777) < 0 ||
		       (s->keep_owner && fchown(snapshot->fd, st.st_uid, st.st_gid) < 0)))
		return ib_fail_sys(err, errno, "create snapshot");
	*ret_snapshot = ib_steal_ptr(&snapshot);
	return 0;
}

/* The ID that a link in chain/ names, if its directory is whole and of this boot. */
static char *lookup_name(struct builder_snapshots *s, const char *name)
{
	char target[256], boot_id[BOOT_ID_SIZE] = "";
	ib_autofree char *boot = NULL;
	ib_autoclose int fd = -1;
	ssize_t n = readlinkat(s->chains, name, target, sizeof target - 1);

	if (n <= 3)
		return NULL;
	target[n] = '\0';
	if (!ib_starts(target, "../") || strchr(target + 3, '/'))
		return NULL;	/* not one of ours */
	boot = ib_asprintf("%s/boot", target + 3);
	fd = openat(s->dir, boot, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0 || ib_read_full(fd, boot_id, sizeof boot_id - 1) <= 0 || strcmp(boot_id, s->boot_id) != 0)
		return NULL;
	return ib_strdup(target + 3);
}

char *snapshot_lookup(struct builder_snapshots *s, const struct oci_chain_id *chain)
{
	char hex[OCI_DIGEST_SIZE];

	return lookup_name(s, oci_digest_hex(&chain->digest, hex));
}

bool builder_snapshots_has(struct builder_snapshots *s, const struct oci_chain_id *chain)
{
	ib_autofree char *id = snapshot_lookup(s, chain);

	return id != NULL;
}

int builder_snapshot_find(struct builder_snapshots *s, const struct oci_chain_id *chain,
			  struct builder_snapshot *parent, struct builder_snapshot **ret_snapshot,
			  struct ib_err *err)
{
	char *id = snapshot_lookup(s, chain);
	struct builder_snapshot *snapshot;

	*ret_snapshot = NULL;
	if (!id)
		return 0;
	if (open_snapshot(s, id, &snapshot, err) < 0) {
		snapshot->published = true;	/* whoever removed it meanwhile removed all of it */
		builder_snapshot_unref(snapshot);
		ib_err_clear(err);	/* gone since the look-up: missing, like any other */
		return 0;
	}
	snapshot->published = true;
	snapshot_set_parent(snapshot, parent);
	*ret_snapshot = snapshot;
	return 0;
}

/*
 * A link that leads to nothing usable (of another boot, say) is replaced; its directory goes. Another process
 * may be at the same: the names change places in one step, and what was taken away is removed only if it is
 * still of no use, for else it is what that process works on.
 */
static int replace_link(struct builder_snapshots *s, const char *target, const char *hex, struct ib_err *err)
{
	ib_autofree char *temp = ib_asprintf(".%s", target + 3), *usable = NULL;
	char old[256];
	ib_autoerr left = {0};	/* what stays of the old one is swept later */
	ssize_t n;

	if (symlinkat(target, s->chains, temp) < 0)
		return ib_fail_sys(err, errno, "publish snapshot");
	if (renameat2(s->chains, temp, s->chains, hex, RENAME_EXCHANGE) < 0) {
		int sys = errno;

		(void)unlinkat(s->chains, temp, 0);	/* the failure that counts is the rename's */
		return ib_fail_sys(err, sys, "publish snapshot");
	}
	usable = lookup_name(s, temp);
	n = readlinkat(s->chains, temp, old, sizeof old - 1);
	(void)unlinkat(s->chains, temp, 0);	/* a name that begins with a dot is no chain's */
	if (n > 3 && !usable) {
		old[n] = '\0';
		if (!strchr(old + 3, '/'))
			(void)ib_remove_tree(s->dir, old + 3, &left);
	}
	return 0;
}

int builder_snapshot_publish(struct builder_snapshot *snapshot, const struct oci_chain_id *chain,
			     struct ib_err *err)
{
	struct builder_snapshots *s = snapshot->owner;
	ib_autofree char *target = ib_asprintf("../%s", snapshot->id);
	char hex[OCI_DIGEST_SIZE];

	if (__atomic_load_n(&snapshot->published, __ATOMIC_ACQUIRE))
		return 0;
	oci_digest_hex(&chain->digest, hex);
	if (symlinkat(target, s->chains, hex) < 0) {
		if (errno != EEXIST)
			return ib_fail_sys(err, errno, "publish snapshot");
		if (builder_snapshots_has(s, chain))
			return 0;	/* another process was faster: this one stays ours alone */
		if (replace_link(s, target, hex, err) < 0)
			return -1;
	}
	__atomic_store_n(&snapshot->published, true, __ATOMIC_RELEASE);
	return 0;
}

int builder_snapshot_union(const struct builder_snapshot *snapshot, struct oci_union **ret_union,
			   struct ib_err *err)
{
	ib_autofree const struct builder_snapshot **stack = NULL;
	IB_CLEANUP(oci_union_freep) struct oci_union *u = oci_union_new();
	size_t n = snapshot ? snapshot->depth : 0, i = n;

	stack = ib_calloc(n, sizeof *stack);
	for (const struct builder_snapshot *at = snapshot; at; at = at->parent)
		stack[--i] = at;
	for (i = 0; i < n; i++) {
		int fd = fcntl(stack[i]->fd, F_DUPFD_CLOEXEC, 3);

		if (fd < 0)
			return ib_fail_sys(err, errno, "open snapshot '%s'", stack[i]->path);
		oci_union_push(u, fd, OCI_UNION_OVERLAY);
	}
	*ret_union = ib_steal_ptr(&u);
	return 0;
}
