/*
 * builder/exec/copy-internal.h - one COPY or ADD under way; shared by the files that carry it out.
 */
#ifndef BUILDER_EXEC_COPY_INTERNAL_H
#define BUILDER_EXEC_COPY_INTERNAL_H

#include "builder/exec/file-queue.h"
#include "builder/exec/hardlinks.h"

struct exec_copier {
	const struct exec_selection *selection;
	const struct exec_tree *tree;
	struct exec_rules rules;
	struct exec_metadata made;	/* of directories that have to be created */
	struct exec_upper *upper;
	struct exec_file_queue *files;
	struct exec_hardlinks links;
	size_t links_settled;		/* in links.paths: what is before is there, and not on its way */
	char *buffer;			/* of EXEC_COPY_BUFFER, for files that are copied at once */
	char *dest_dir;			/* DEST, literal, once it is known to be a directory; NULL before */
};

/*
 * Copy what is not a directory, under name, into the directory that the upper stands in. For files whose
 * content is at hand: a descriptor, or -1 for the others.
 */
int exec_copy_file(struct exec_copier *copier, const char *path, const struct stat *st, int content,
		   const char *name, struct ib_err *err);

/* Copy what is in the directory item to where the upper stands; that directory gets its mtime, no more. */
int exec_copy_tree(struct exec_copier *copier, const struct exec_item *item, struct ib_err *err);

/* Is the regular file at path of the tree an archive that ADD unpacks? 1, 0, -1. */
int exec_archive_check(struct exec_copier *copier, const char *path, struct ib_err *err);

/* Unpack it into the directory at the literal path dest, made when missing. */
int exec_archive_unpack(struct exec_copier *copier, const char *path, const char *dest, struct ib_err *err);

#endif
