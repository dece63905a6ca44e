#include <stdlib.h>
#include <string.h>

#include "builder/exec/content-open.h"
#include "builder/exec/copy-file.h"
#include "builder/exec/copy-internal.h"
#include "oci/base/alloc.h"
#include "oci/base/pool.h"
#include "oci/base/str.h"

#include "oci/base/poison.h"

/* DEST as it stands now, links followed. */
struct dest {
	char *path;		/* literal */
	bool directory;		/* written with "/" or "/." at its end, or found to be one */
	bool other;		/* something is there that is no directory */
};

static void dest_done(struct dest *dest)
{
	free(dest->path);
}

static bool marks_directory(const char *dest)
{
	return ib_ends(dest, "/") || ib_ends(dest, "/.");
}

static int find_dest(struct exec_copier *copier, struct dest *dest, struct ib_err *err)
{
	const char *text = copier->selection->copy->dest;
	ib_autofree char *clean = oci_union_clean(text);
	struct stat st;
	bool exists;

	dest->directory = copier->dest_dir || marks_directory(text);
	if (copier->dest_dir) {
		dest->path = ib_strdup(copier->dest_dir);
		return 0;
	}
	if (oci_union_resolve(exec_upper_now(copier->upper), clean, true, &dest->path, &exists, err) < 0) {
		if (err->code == IB_NOTFOUND)	/* ENOTDIR: what is missing would be no failure */
			return exec_fail_not_directory(err, clean);
		return ib_wrap(err, "destination %s", text);
	}
	if (!exists)
		return 0;
	if (oci_union_stat(exec_upper_now(copier->upper), dest->path, &st, NULL, err) < 0)
		return -1;
	dest->other = !S_ISDIR(st.st_mode);
	dest->directory = dest->directory || !dest->other;
	return 0;
}

/* Stand in DEST, made when missing. All further items find it there: it stays a directory. */
static int go_to_dest(struct exec_copier *copier, const struct dest *dest, const struct exec_metadata *made,
		      struct ib_err *err)
{
	if (exec_upper_goto(copier->upper, dest->path, made, err) < 0)
		return -1;
	if (!copier->dest_dir)
		copier->dest_dir = ib_strdup(dest->path);
	return 0;
}

/* Stand in the directory that holds path; *ret_name is its last component. */
static int go_to_parent(struct exec_copier *copier, const char *path, const char **ret_name, struct ib_err *err)
{
	const char *slash = strrchr(path, '/');
	ib_autofree char *parent = ib_strndup(path, slash ? (size_t)(slash - path) : 0);

	*ret_name = slash ? slash + 1 : path;
	return exec_upper_goto(copier->upper, parent, &copier->made, err);
}

static int place_inline(struct exec_copier *copier, const struct exec_item *item, const char *name,
			struct ib_err *err)
{
	const struct exec_inline_file *file = item->inline_file;
	struct stat st = item->st;
	bool removed;

	st.st_mtim = (struct timespec){.tv_sec = copier->selection->copy->now};
	if (exec_upper_clear(copier->upper, name, &removed, err) < 0)
		return -1;
	if (exec_file_write_bytes(&copier->rules, file->content, file->size, &st,
				  exec_upper_dir(copier->upper)->fd, name) < 0)
		return exec_content_fail(err, "write", name);
	exec_file_queue_count(copier->files, (int64_t)file->size);
	return 0;
}

static int place_file(struct exec_copier *copier, const struct exec_item *item, const struct dest *dest,
		      struct ib_err *err)
{
	const char *name = item->name;
	ib_autoclose int content = -1;

	if (dest->directory ? go_to_dest(copier, dest, &copier->made, err) < 0
			    : go_to_parent(copier, dest->path, &name, err) < 0)
		return -1;
	if (item->inline_file)
		return place_inline(copier, item, name, err);
	if (S_ISREG(item->st.st_mode)) {
		content = oci_union_open(copier->tree->tree, item->path, err);
		if (content < 0)
			return ib_wrap(err, "copy");
	}
	return exec_copy_file(copier, item->path, &item->st, content, name, err);
}

static int place_directory(struct exec_copier *copier, const struct exec_item *item, const struct dest *dest,
			   struct ib_err *err)
{
	ib_autofree char *shown = NULL;

	if (dest->other) {
		shown = ib_printable(dest->path, 1024);
		return ib_fail(err, IB_USAGE, "cannot copy to non-directory: /%s", shown);
	}
	if (go_to_dest(copier, dest, &copier->made, err) < 0)
		return -1;
	return exec_copy_tree(copier, item, err);
}

static int place(struct exec_copier *copier, const struct exec_item *item, struct ib_err *err)
{
	IB_CLEANUP(dest_done) struct dest dest = {0};
	int archive = 0;

	if (ib_check_cancelled(err) < 0 || find_dest(copier, &dest, err) < 0)
		return -1;
	exec_hardlinks_forget(&copier->links);	/* BuildKit links only within one directory that is copied */
	if (copier->selection->copy->add && !item->inline_file && S_ISREG(item->st.st_mode))
		archive = exec_archive_check(copier, item->path, err);
	if (archive)
		return archive < 0 ? -1 : exec_archive_unpack(copier, item->path, dest.path, err);
	return S_ISDIR(item->st.st_mode) ? place_directory(copier, item, &dest, err)
					 : place_file(copier, item, &dest, err);
}

/* Rules out of the flags; names are looked up in the image that is copied to. */
static int set_rules(struct exec_copier *copier, const struct exec_target *target, struct ib_err *err)
{
	const struct exec_copy *copy = copier->selection->copy;
	struct exec_rules *rules = &copier->rules;

	rules->fixed_owner = copier->tree->context;
	rules->capabilities = !copier->tree->context;
	rules->keep_owner = target->keep_owner;
	rules->euid = geteuid();
	rules->egid = getegid();
	if (exec_chmod_parse(copy->chmod, &rules->chmod, err) < 0)
		return -1;
	if (copy->chown && *copy->chown) {
		rules->fixed_owner = true;
		if (exec_owner_lookup(target->lower, copy->chown, &rules->uid, &rules->gid, err) < 0)
			return ib_wrap(err, "--chown=%s", copy->chown);
	}
	copier->made = (struct exec_metadata){
		.mode = exec_chmod_parent(&rules->chmod),
		.uid = rules->uid,
		.gid = rules->gid,
		.keep_mtime = true,
		.mtime.tv_sec = copy->now,
	};
	return 0;
}

static void copier_done(struct exec_copier *copier)
{
	/* The queue first: its threads use the rules and the upper. */
	exec_file_queue_free(copier->files);
	exec_upper_free(copier->upper);
	exec_hardlinks_done(&copier->links);
	free(copier->buffer);
	free(copier->dest_dir);
}

int exec_copy_run(struct exec_selection *selection, const struct exec_target *target, struct ib_err *err)
{
	IB_CLEANUP(copier_done) struct exec_copier copier = {.selection = selection, .tree = selection->tree};
	exec_autocursor cursor = {0};
	const struct exec_item *item;
	int r;

	if (set_rules(&copier, target, err) < 0 || exec_upper_new(target, &copier.upper, err) < 0)
		return -1;
	copier.files = exec_file_queue_new(&copier.rules, copier.upper);
	copier.buffer = ib_malloc(EXEC_COPY_BUFFER);
	while ((r = exec_cursor_next(&cursor, selection, &item, err)) > 0)
		if (place(&copier, item, err) < 0)
			return -1;
	return r < 0 ? -1 : exec_upper_leave(copier.upper, err);
}
