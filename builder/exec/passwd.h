/*
 * builder/exec/passwd.h - /etc/passwd and /etc/group of an image.
 *
 * They are files of a stranger's: a line that is not what passwd(5) or group(5) says is passed over, a file
 * that is missing has no entries, links are followed inside the image only. The first entry that fits counts.
 */
#ifndef BUILDER_EXEC_PASSWD_H
#define BUILDER_EXEC_PASSWD_H

#include <stdbool.h>
#include <sys/types.h>

#include "oci/union.h"

#define EXEC_PASSWD_MAX (16u << 20)	/* bytes of either file; a million users fit */

/* Whole-string decimal id; the last value of uid_t is no id: it means "leave as it is" to chown(2). */
bool exec_id_parse(const char *text, uint32_t *ret_id);

struct exec_account {
	char *name, *home;	/* owned; NULL when not found */
	uid_t uid;
	gid_t gid;
};

void exec_account_done(struct exec_account *account);

/* The account called name or, where name is NULL, of uid. *ret_found tells whether there is one. */
int exec_account_find(struct oci_union *root, const char *name, uid_t uid, struct exec_account *ret_account,
		      bool *ret_found, struct ib_err *err);

int exec_group_find(struct oci_union *root, const char *name, gid_t *ret_gid, bool *ret_found,
		    struct ib_err *err);

/* The groups that list user as a member, in the file's order. *ret_groups is the caller's to free. */
int exec_group_memberships(struct oci_union *root, const char *user, gid_t **ret_groups, size_t *ret_n,
			   struct ib_err *err);

#endif
