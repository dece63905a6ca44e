#include "oci/diff-entry.h"

#include <stdlib.h>
#include <string.h>
#include <sys/sysmacros.h>

#include "oci/base/alloc.h"
#include "oci/diff-file.h"
#include "oci/union-internal.h"

#include "oci/base/poison.h"

#define WHITEOUT ".wh."	/* layer.md "Whiteouts" */

void diff_recorder_init(struct diff_recorder *rec, struct oci_layer_writer *writer,
			const struct oci_diff_options *options)
{
	*rec = (struct diff_recorder){
		.writer = writer,
		.options = options ? *options : (struct oci_diff_options){0},
		.links = diff_links_new(),
		.path = IB_STR(UNION_MAX_PATH),
		.name = IB_STR(UNION_MAX_PATH),
	};
}

void diff_recorder_done(struct diff_recorder *rec)
{
	diff_links_free(rec->links);
	ib_str_done(&rec->path);
	ib_str_done(&rec->name);
	free(rec->parent);
}

static bool is_below(const char *path, const char *dir, size_t dir_len)
{
	return strncmp(path, dir, dir_len) == 0 && path[dir_len] == '/';
}

/* Forget the directories that were left before path was reached. */
static void leave_parents(struct diff_recorder *rec, const char *path)
{
	while (rec->n && !is_below(path, rec->path.s, rec->parent[rec->n - 1].path_len))
		rec->n--;
}

static void add_parent(struct diff_recorder *rec, const char *path, const struct stat *st, bool recorded)
{
	leave_parents(rec, path);
	ib_str_reset(&rec->path);
	ib_str_adds(&rec->path, path);
	ib_grow(rec->parent, rec->n, rec->cap);
	rec->parent[rec->n++] = (struct diff_parent){
		.path_len = rec->path.len,
		.st = *st,
		.recorded = recorded,
	};
}

void diff_pass(struct diff_recorder *rec, const struct oci_walk_entry *entry)
{
	add_parent(rec, entry->path, &entry->st, false);
}

/* The metadata of st under the name in rec->name. */
static struct oci_tar_entry entry_of(const struct diff_recorder *rec, const struct stat *st)
{
	struct oci_tar_entry e = {
		.name = rec->name.s,
		.mode = st->st_mode,
		.uid = st->st_uid,
		.gid = st->st_gid,
		.mtime = st->st_mtim,
	};

	if (rec->options.clamp && e.mtime.tv_sec > rec->options.clamp_seconds)
		e.mtime = (struct timespec){.tv_sec = rec->options.clamp_seconds};
	if (S_ISCHR(st->st_mode) || S_ISBLK(st->st_mode)) {
		e.major = major(st->st_rdev);
		e.minor = minor(st->st_rdev);
	}
	return e;
}

static int begin(struct diff_recorder *rec, const struct oci_tar_entry *entry, struct ib_err *err)
{
	rec->entries++;
	return oci_tar_begin(oci_layer_writer_tar(rec->writer), entry, err);
}

static void set_name(struct diff_recorder *rec, const char *path, size_t n)
{
	ib_str_reset(&rec->name);
	ib_str_add(&rec->name, path, n);
}

/* Parents that stand above path and have no entry yet get theirs. */
static int record_parents(struct diff_recorder *rec, const char *path, struct ib_err *err)
{
	leave_parents(rec, path);
	for (size_t i = 0; i < rec->n; i++) {
		struct diff_parent *parent = &rec->parent[i];
		struct oci_tar_entry entry;

		if (parent->recorded)
			continue;
		set_name(rec, path, parent->path_len);
		entry = entry_of(rec, &parent->st);
		if (begin(rec, &entry, err) < 0)
			return -1;
		parent->recorded = true;
	}
	return 0;
}

static int record_file(struct diff_recorder *rec, const struct oci_walk_entry *e, struct oci_tar_entry *entry,
		       struct ib_err *err)
{
	char key[] = DIFF_CAPABILITY;
	struct diff_capability cap;
	struct oci_xattr xattr;
	ib_autoclose int fd = diff_open(e->dirfd, e->name, &e->st, e->path, err);

	if (fd < 0 || diff_capability(fd, &cap, e->path, err) < 0)
		return -1;
	if (cap.n) {
		xattr = (struct oci_xattr){.name = key, .value = cap.bytes, .size = cap.n};
		entry->xattrs = &xattr;
		entry->n_xattrs = 1;
	}
	entry->size = e->st.st_size;
	rec->entries++;
	return oci_layer_writer_file(rec->writer, entry, fd, err);
}

static int record_link(struct diff_recorder *rec, const struct oci_walk_entry *e, struct oci_tar_entry *entry,
		       struct ib_err *err)
{
	ib_autofree char *target = union_readlink(e->dirfd, e->name, e->path, err);

	if (!target)
		return -1;
	entry->link = target;
	return begin(rec, entry, err);
}

static int record_hard_link(struct diff_recorder *rec, struct oci_tar_entry *entry, const char *to,
			    struct ib_err *err)
{
	ib_autofree char *link = ib_strdup(to);

	entry->mode = S_IFREG | (entry->mode & 07777);
	entry->hardlink = true;
	entry->link = link;
	return begin(rec, entry, err);
}

static int check_name(const struct oci_walk_entry *e, struct ib_err *err)
{
	ib_autofree char *shown = NULL;

	if (!ib_starts(e->name, WHITEOUT))
		return 0;
	shown = ib_printable(e->path, 256);
	return ib_fail(err, IB_UNSUPPORTED, "'%s': layers cannot hold names that begin with " WHITEOUT, shown);
}

int diff_record(struct diff_recorder *rec, const struct oci_walk_entry *e, struct ib_err *err)
{
	struct oci_tar_entry entry;
	const char *first = NULL;

	if (check_name(e, err) < 0 || record_parents(rec, e->path, err) < 0)
		return -1;
	set_name(rec, e->path, strlen(e->path));
	entry = entry_of(rec, &e->st);
	if (S_ISDIR(e->st.st_mode)) {
		add_parent(rec, e->path, &e->st, true);
		return begin(rec, &entry, err);
	}
	if (e->st.st_nlink > 1)
		first = diff_links_seen(rec->links, &e->st, e->path);
	if (first)
		return record_hard_link(rec, &entry, first, err);
	if (S_ISREG(e->st.st_mode))
		return record_file(rec, e, &entry, err);
	return S_ISLNK(e->st.st_mode) ? record_link(rec, e, &entry, err) : begin(rec, &entry, err);
}

int diff_remove(struct diff_recorder *rec, const char *path, struct ib_err *err)
{
	const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
	struct oci_tar_entry entry = {.mode = S_IFREG};

	if (record_parents(rec, path, err) < 0)
		return -1;
	set_name(rec, path, (size_t)(name - path));
	ib_str_adds(&rec->name, WHITEOUT);
	ib_str_adds(&rec->name, name);
	entry.name = rec->name.s;
	return begin(rec, &entry, err);
}
