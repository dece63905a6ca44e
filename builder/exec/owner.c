#include "builder/exec/copy.h"

#include <string.h>

#include "builder/exec/passwd.h"
#include "oci/base/alloc.h"

#include "oci/base/poison.h"

/* "root" and numbers are ids without any lookup, so that they work in an image without users. */
static bool known_id(const char *text, uint32_t *ret_id)
{
	if (strcmp(text, "root") == 0) {
		*ret_id = 0;
		return true;
	}
	return exec_id_parse(text, ret_id);
}

static int lookup_user(struct oci_union *root, const char *name, uid_t *ret_uid, gid_t *ret_gid,
		       struct ib_err *err)
{
	struct exec_account account = {0};
	bool found;

	if (exec_account_find(root, name, 0, &account, &found, err) < 0)
		return -1;
	/* An unknown name is 0: BuildKit's behaviour, against the reference manual. */
	*ret_uid = account.uid;
	*ret_gid = account.gid;
	exec_account_done(&account);
	return 0;
}

int exec_owner_lookup(struct oci_union *root, const char *text, uid_t *ret_uid, gid_t *ret_gid,
		      struct ib_err *err)
{
	const char *colon = strchrnul(text, ':');
	ib_autofree char *user = ib_strndup(text, (size_t)(colon - text));
	uint32_t uid = 0, gid = 0, group;
	gid_t found_gid;
	bool found;

	if (known_id(user, &uid))
		gid = *colon ? 0 : uid;		/* "5" is 5:5, but "5:" is 5:0 */
	else if (*user && lookup_user(root, user, &uid, &gid, err) < 0)
		return -1;
	if (*colon && known_id(colon + 1, &group)) {
		gid = group;
	} else if (*colon && colon[1]) {
		if (exec_group_find(root, colon + 1, &found_gid, &found, err) < 0)
			return -1;
		if (found)	/* an unknown group leaves the user's */
			gid = found_gid;
	}
	*ret_uid = uid;
	*ret_gid = gid;
	return 0;
}
