#include "oci/layer-apply-internal.h"

#include <string.h>

#include "oci/base/poison.h"

static size_t drop_last(const char *path, size_t len)
{
	while (len && path[len - 1] != '/')
		len--;
	return len ? len - 1 : 0;
}

int apply_name_clean(const char *name, bool confine, char path[static OCI_TAR_MAX_NAME + 1], struct ib_err *err)
{
	size_t len = 0;

	while (*(name += strspn(name, "/"))) {
		size_t n = strcspn(name, "/");

		if (n > APPLY_MAX_COMPONENT)
			return ib_fail(err, IB_LIMIT, "a component of the name is longer than %d bytes",
				       APPLY_MAX_COMPONENT);
		if (n == 2 && memcmp(name, "..", 2) == 0) {
			if (len == 0 && !confine)
				return ib_fail(err, IB_INVALID, "name leads out of the root");
			len = drop_last(path, len);
		} else if (n != 1 || *name != '.') {
			if (len + n + (len > 0) > OCI_TAR_MAX_NAME)
				return ib_fail(err, IB_LIMIT, "name is longer than %d bytes", OCI_TAR_MAX_NAME);
			if (len)
				path[len++] = '/';
			memcpy(path + len, name, n);
			len += n;
		}
		name += n;
	}
	path[len] = '\0';
	return 0;
}
