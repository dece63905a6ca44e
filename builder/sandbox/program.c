#include "builder/sandbox/sandbox-internal.h"

#include <string.h>
#include <sys/stat.h>

#include "oci/base/alloc.h"

#include "oci/base/poison.h"

#define DEFAULT_PATH "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

/* 0 when path can be executed, else why not. */
static int executable(const char *path)
{
	struct stat st;

	if (stat(path, &st) < 0)
		return errno;
	if (S_ISDIR(st.st_mode))
		return EISDIR;
	if (!S_ISREG(st.st_mode) || access(path, X_OK) < 0)
		return EACCES;
	return 0;
}

static const char *search_path(const struct ib_strv *env)
{
	for (size_t i = 0; i < env->n; i++)
		if (ib_starts(env->v[i], "PATH="))
			return env->v[i] + 5;
	return DEFAULT_PATH;
}

int sandbox_program_find(const char *name, const struct ib_strv *env, char **ret_path, struct ib_err *err)
{
	int reason = ENOENT;

	if (strchr(name, '/')) {
		reason = executable(name);
		if (reason)
			return ib_fail_sys(err, reason, "exec %s", name);
		*ret_path = ib_strdup(name);
		return 0;
	}
	for (const char *dir = search_path(env);; dir++) {
		size_t len = strcspn(dir, ":");
		ib_autofree char *path = ib_asprintf("%.*s/%s", (int)(len ? len : 1), len ? dir : ".", name);
		int r = *name ? executable(path) : ENOENT;

		if (!r) {
			*ret_path = ib_steal_ptr(&path);
			return 0;
		}
		if (r == EACCES)	/* worth more than that it is nowhere else */
			reason = r;
		dir += len;
		if (!*dir)
			break;
	}
	if (reason != ENOENT)
		return ib_fail_sys(err, reason, "exec %s", name);
	return ib_fail(err, IB_NOTFOUND, "exec %s: not found in PATH", name);
}
