/*
 * builder/exec/file-write.h - one file of the new layer: content and metadata, with few system calls.
 */
#ifndef BUILDER_EXEC_FILE_WRITE_H
#define BUILDER_EXEC_FILE_WRITE_H

#include <stdbool.h>
#include <sys/stat.h>

#include "builder/exec/chmod.h"

/* What a copy gives its files; shared by threads, fixed. */
struct exec_rules {
	struct exec_chmod chmod;
	bool fixed_owner;	/* --chown, or a context */
	uid_t uid;		/* with fixed_owner */
	gid_t gid;
	bool keep_owner;	/* exec_target.keep_owner */
	bool capabilities;	/* security.capability is copied */
	uid_t euid;		/* what is created has these */
	gid_t egid;
};

uid_t exec_rules_uid(const struct exec_rules *rules, const struct stat *st);
gid_t exec_rules_gid(const struct exec_rules *rules, const struct stat *st);

/* Set the owner of a link, fifo or device that was just created. 0, or -1 with errno. */
int exec_rules_chown_at(const struct exec_rules *rules, int dirfd, const char *name, const struct stat *st);

/*
 * Create the file name in dirfd, which has no such name: content and metadata as from, which st describes, has
 * them. from = -1: an empty file. buffer is that of exec_copy_content(). 0, or -1 with errno. The process's
 * umask is 0, dirfd hands down nothing.
 */
int exec_file_write(const struct exec_rules *rules, int from, const struct stat *st, int dirfd, const char *name,
		    char *buffer);

/* The same with content that is in memory. */
int exec_file_write_bytes(const struct exec_rules *rules, const void *bytes, size_t n, const struct stat *st,
			  int dirfd, const char *name);

#endif
