/* Paths of images: lexical, with '/' whatever the host. */
#include <string.h>

#include "builder/plan/plan-internal.h"
#include "oci/base/alloc.h"

#include "oci/base/poison.h"

char *plan_path_clean(const char *path)
{
	ib_autofree char *copy = ib_strdup(path);
	char *out = ib_malloc(strlen(path) + 2), *end = out, *save = NULL;

	*end = '\0';
	for (char *part = strtok_r(copy, "/", &save); part; part = strtok_r(NULL, "/", &save)) {
		size_t n = strlen(part);

		if (strcmp(part, ".") == 0)
			continue;
		if (strcmp(part, "..") == 0) {
			char *slash = strrchr(out, '/');

			end = slash ? slash : out;
			*end = '\0';
			continue;
		}
		*end++ = '/';
		memcpy(end, part, n + 1);
		end += n;
	}
	if (end == out)
		memcpy(out, "/", 2);
	return out;
}
