#include "builder/sandbox/sandbox-internal.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "oci/base/fd.h"

#include "oci/base/poison.h"

#define SUBID_FILE_MAX (1u << 20)	/* bytes: some 30,000 users */

/* One line "user:first:count"; user is a name or a number. */
static bool parse_line(char *line, const char *user, const char *id, long long *ret_first, long long *ret_count)
{
	char *first = strchr(line, ':');
	char *count = first ? strchr(first + 1, ':') : NULL;

	if (!count)
		return false;
	*first++ = '\0';
	*count++ = '\0';
	if (strcmp(line, id) != 0 && (!user || strcmp(line, user) != 0))
		return false;
	return ib_parse_int(first, 1, UINT32_MAX - 1, ret_first) &&
	       ib_parse_int(count, 1, UINT32_MAX - *ret_first, ret_count);
}

int sandbox_subids_read(const char *file, const char *user, unsigned long id, struct sandbox_subids *ret_subids,
			struct ib_err *err)
{
	ib_autofree char *text = NULL;
	char id_text[24], *line, *rest;
	size_t len;

	ret_subids->n = 0;
	(void)snprintf(id_text, sizeof id_text, "%lu", id);
	if (ib_read_file(AT_FDCWD, file, SUBID_FILE_MAX, &text, &len, err) < 0)
		return -1;
	for (rest = text; (line = strsep(&rest, "\n"));) {
		long long first, count;

		if (!parse_line(line, user, id_text, &first, &count) || ret_subids->n == SANDBOX_SUBID_RANGES)
			continue;
		ret_subids->range[ret_subids->n].first = (unsigned long)first;
		ret_subids->range[ret_subids->n].count = (unsigned long)count;
		ret_subids->n++;
	}
	if (ret_subids->n == 0)
		return ib_fail(err, IB_NOTFOUND, "%s has no range for user %s", file, user ? user : id_text);
	return 0;
}
