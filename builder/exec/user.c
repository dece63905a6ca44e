#include "builder/exec/copy.h"

#include <stdlib.h>
#include <string.h>

#include "builder/exec/passwd.h"
#include "oci/base/alloc.h"
#include "oci/base/str.h"

#include "oci/base/poison.h"

#define MAX_PROCESS_ID 0x7fffffff	/* runtimes refuse to run with more: it is an int there */

void exec_user_done(struct exec_user *user)
{
	free(user->groups);
	free(user->home);
	*user = (struct exec_user){0};
}

static int check_range(const char *text, uint32_t id, struct ib_err *err)
{
	if (id <= MAX_PROCESS_ID)
		return 0;
	return ib_fail(err, IB_USAGE, "user %s: uids and gids must be in range 0-%d", text, MAX_PROCESS_ID);
}

static int fail_unknown(struct ib_err *err, const char *kind, const char *name, const char *file)
{
	ib_autofree char *shown = ib_printable(name, 256);

	return ib_fail(err, IB_NOTFOUND, "unable to find %s %s: no matching entries in %s file", kind, shown, file);
}

static int lookup_group(struct oci_union *root, const char *text, gid_t *ret_gid, struct ib_err *err)
{
	uint32_t gid;
	bool found;

	if (exec_id_parse(text, &gid)) {
		*ret_gid = gid;
		return check_range(text, gid, err);
	}
	if (exec_group_find(root, text, ret_gid, &found, err) < 0)
		return -1;
	return found ? 0 : fail_unknown(err, "group", text, "group");
}

/* Fill in all that the user part says; *ret_name is the account's name, NULL when no account has that id. */
static int lookup_account(struct oci_union *root, const char *text, struct exec_user *user, char **ret_name,
			  struct ib_err *err)
{
	struct exec_account account = {0};
	uint32_t uid = 0;
	bool numeric = !*text || exec_id_parse(text, &uid), found;

	if (numeric && check_range(text, uid, err) < 0)
		return -1;
	if (exec_account_find(root, numeric ? NULL : text, uid, &account, &found, err) < 0)
		return -1;
	if (!found && !numeric)
		return fail_unknown(err, "user", text, "passwd");
	user->uid = found ? account.uid : uid;
	user->gid = account.gid;
	user->home = ib_strdup(account.home && *account.home ? account.home : "/");
	*ret_name = ib_steal_ptr(&account.name);
	exec_account_done(&account);
	return 0;
}

int exec_user_lookup(struct oci_union *root, const char *text, struct exec_user *ret_user, struct ib_err *err)
{
	IB_CLEANUP(exec_user_done) struct exec_user user = {0};
	const char *colon = strchrnul(text, ':');
	ib_autofree char *user_part = ib_strndup(text, (size_t)(colon - text));
	ib_autofree char *name = NULL;

	if (lookup_account(root, user_part, &user, &name, err) < 0)
		return -1;
	if (*colon && colon[1]) {	/* a group that is named is the only one */
		if (lookup_group(root, colon + 1, &user.gid, err) < 0)
			return -1;
	} else if (name && exec_group_memberships(root, name, &user.groups, &user.n_groups, err) < 0) {
		return -1;
	}
	*ret_user = user;
	user = (struct exec_user){0};
	return 0;
}
