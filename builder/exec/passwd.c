#include "builder/exec/passwd.h"

#include <stdlib.h>
#include <string.h>

#include "oci/base/alloc.h"
#include "oci/base/str.h"

#include "oci/base/poison.h"

#define PASSWD_PATH "etc/passwd"
#define GROUP_PATH "etc/group"

enum { PASSWD_NAME, PASSWD_PASSWORD, PASSWD_UID, PASSWD_GID, PASSWD_GECOS, PASSWD_HOME, PASSWD_SHELL, PASSWD_FIELDS };
enum { GROUP_NAME, GROUP_PASSWORD, GROUP_GID, GROUP_MEMBERS, GROUP_FIELDS };

bool exec_id_parse(const char *text, uint32_t *ret_id)
{
	long long id;

	/* Digits only: ib_parse_int() would take a sign. */
	if (text[0] < '0' || text[0] > '9' || !ib_parse_int(text, 0, UINT32_MAX - 1ll, &id))
		return false;
	*ret_id = (uint32_t)id;
	return true;
}

static int read_lines(struct oci_union *root, const char *path, char **ret_text, struct ib_err *err)
{
	size_t len;

	if (oci_union_read_file(root, path, EXEC_PASSWD_MAX, ret_text, &len, err) == 0)
		return 0;
	if (err->code != IB_NOTFOUND)
		return ib_wrap(err, "/%s", path);
	ib_err_clear(err);	/* an image without users is nothing unusual */
	*ret_text = ib_strdup("");
	return 0;
}

/* Cut the next line at *at into its fields, in place. The number of fields, -1 at the end. */
static int next_line(char **at, char **field, int max)
{
	char *line = *at, *end;
	int n = 0;

	if (!*line)
		return -1;
	end = line + strcspn(line, "\n");
	*at = *end ? end + 1 : end;
	*end = '\0';
	while (n < max) {
		field[n++] = line;
		line += strcspn(line, ":");
		if (!*line)
			break;
		*line++ = '\0';
	}
	return n;
}

void exec_account_done(struct exec_account *account)
{
	free(account->name);
	free(account->home);
	*account = (struct exec_account){0};
}

int exec_account_find(struct oci_union *root, const char *name, uid_t uid, struct exec_account *ret_account,
		      bool *ret_found, struct ib_err *err)
{
	ib_autofree char *text = NULL;
	char *field[PASSWD_FIELDS], *at;
	uint32_t id, group;
	int n;

	*ret_found = false;
	if (read_lines(root, PASSWD_PATH, &text, err) < 0)
		return -1;
	for (at = text; (n = next_line(&at, field, PASSWD_FIELDS)) >= 0;) {
		if (n <= PASSWD_GID || !exec_id_parse(field[PASSWD_UID], &id) ||
		    !exec_id_parse(field[PASSWD_GID], &group))
			continue;
		if (name ? strcmp(field[PASSWD_NAME], name) != 0 : id != uid)
			continue;
		*ret_account = (struct exec_account){
			.name = ib_strdup(field[PASSWD_NAME]),
			.home = ib_strdup(n > PASSWD_HOME ? field[PASSWD_HOME] : ""),
			.uid = id,
			.gid = group,
		};
		*ret_found = true;
		return 0;
	}
	return 0;
}

int exec_group_find(struct oci_union *root, const char *name, gid_t *ret_gid, bool *ret_found,
		    struct ib_err *err)
{
	ib_autofree char *text = NULL;
	char *field[GROUP_FIELDS], *at;
	uint32_t id;
	int n;

	*ret_found = false;
	if (read_lines(root, GROUP_PATH, &text, err) < 0)
		return -1;
	for (at = text; (n = next_line(&at, field, GROUP_FIELDS)) >= 0;) {
		if (n <= GROUP_GID || strcmp(field[GROUP_NAME], name) != 0 || !exec_id_parse(field[GROUP_GID], &id))
			continue;
		*ret_gid = id;
		*ret_found = true;
		return 0;
	}
	return 0;
}

static bool lists_member(char *members, const char *user)
{
	char *rest = members, *member;

	while ((member = strsep(&rest, ",")))
		if (strcmp(member, user) == 0)
			return true;
	return false;
}

int exec_group_memberships(struct oci_union *root, const char *user, gid_t **ret_groups, size_t *ret_n,
			   struct ib_err *err)
{
	ib_autofree char *text = NULL;
	char *field[GROUP_FIELDS], *at;
	gid_t *groups = NULL;
	size_t count = 0, cap = 0;
	uint32_t id;
	int n;

	if (read_lines(root, GROUP_PATH, &text, err) < 0)
		return -1;
	for (at = text; (n = next_line(&at, field, GROUP_FIELDS)) >= 0;) {
		if (n <= GROUP_MEMBERS || !exec_id_parse(field[GROUP_GID], &id) ||
		    !lists_member(field[GROUP_MEMBERS], user))
			continue;
		ib_grow(groups, count, cap);
		groups[count++] = id;
	}
	*ret_groups = groups;
	*ret_n = count;
	return 0;
}
