#include "registry/certs.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "oci/base/alloc.h"
#include "oci/base/fd.h"
#include "oci/base/str.h"

#include "oci/base/poison.h"

#define MAX_BUNDLE_BYTES (4u << 20)	/* the usual bundle has 220 KiB */
#define MAX_FILES 64			/* in one host's directory */

void registry_certs_done(struct registry_certs *certs)
{
	free(certs->authorities);
	free(certs->client_cert);
	free(certs->client_key);
	*certs = (struct registry_certs){0};
}

/* The names in dir, sorted; a directory that is not there has none. */
static int list(const char *dir, struct ib_strv *ret_names, struct ib_err *err)
{
	DIR *d = opendir(dir);
	struct dirent *e;

	if (!d)
		return errno == ENOENT || errno == ENOTDIR ? 0 : ib_fail_sys(err, errno, "open %s", dir);
	while ((e = readdir(d)) && ret_names->n < MAX_FILES)
		if (e->d_name[0] != '.')
			ib_strv_add(ret_names, e->d_name);
	(void)closedir(d);
	ib_strv_sort(ret_names);
	return 0;
}

static int append_file(const char *path, struct ib_str *pem, struct ib_err *err)
{
	ib_autofree char *bytes = NULL;
	size_t len;

	if (ib_read_file(AT_FDCWD, path, MAX_BUNDLE_BYTES, &bytes, &len, err) < 0)
		return -1;
	ib_str_add(pem, bytes, len);
	ib_str_addc(pem, '\n');
	return 0;
}

/* The file beside path whose suffix is other; refuse when it is missing. */
static int want_beside(const char *dir, const char *name, const char *suffix, const char *other,
		       const struct ib_strv *names, char **ret_path, struct ib_err *err)
{
	ib_autofree char *partner = ib_asprintf("%.*s%s", (int)(strlen(name) - strlen(suffix)), name, other);

	if (!ib_strv_has(names, partner))
		return ib_fail(err, IB_USAGE, "%s/%s has no %s beside it%s", dir, name, partner,
			       strcmp(suffix, ".cert") == 0 ? "; an authority's file ends in .crt" : "");
	if (ret_path) {
		free(*ret_path);
		*ret_path = ib_asprintf("%s/%s", dir, partner);
	}
	return 0;
}

static int load_dir(const char *dir, struct ib_str *pem, struct registry_certs *certs, struct ib_err *err)
{
	ib_autostrv names = {0};

	if (list(dir, &names, err) < 0)
		return -1;
	for (size_t i = 0; i < names.n; i++) {
		const char *name = names.v[i];
		ib_autofree char *path = ib_asprintf("%s/%s", dir, name);

		if (ib_ends(name, ".crt") && append_file(path, pem, err) < 0)
			return -1;
		if (ib_ends(name, ".key") && want_beside(dir, name, ".key", ".cert", &names, NULL, err) < 0)
			return -1;
		if (!ib_ends(name, ".cert"))
			continue;
		if (want_beside(dir, name, ".cert", ".key", &names, &certs->client_key, err) < 0)
			return -1;
		free(certs->client_cert);
		certs->client_cert = ib_steal_ptr(&path);
	}
	return 0;
}

/* Added to the system's authorities, not instead of them: redirects and token servers need those. */
static int finish(struct ib_str *pem, const char *system_bundle, struct registry_certs *certs, struct ib_err *err)
{
	if (!pem->len)
		return 0;
	if (system_bundle && append_file(system_bundle, pem, err) < 0)
		return -1;
	if (pem->overflow)
		return ib_fail(err, IB_LIMIT, "certificates are over %u bytes", MAX_BUNDLE_BYTES);
	certs->authorities_len = pem->len;
	certs->authorities = ib_str_steal(pem);
	return 0;
}

int registry_certs_load(const char *host, const char *system_bundle, struct registry_certs *ret_certs,
			struct ib_err *err)
{
	static const struct {
		bool in_home;
		const char *dir;
	} places[] = {
		{false, "/etc/docker/certs.d"},
		{false, "/etc/containers/certs.d"},
		{true, ".config/containers/certs.d"},
		{true, ".config/docker/certs.d"},
	};
	IB_CLEANUP(registry_certs_done) struct registry_certs certs = {0};
	ib_autostr pem = IB_STR(MAX_BUNDLE_BYTES);
	const char *home = getenv("HOME");

	for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
		ib_autofree char *dir = NULL;

		if (places[i].in_home && (!home || !*home))
			continue;
		dir = ib_asprintf("%s%s%s/%s", places[i].in_home ? home : "", places[i].in_home ? "/" : "",
				  places[i].dir, host);
		if (load_dir(dir, &pem, &certs, err) < 0)
			return ib_wrap(err, "certificates for %s", host);
	}
	if (finish(&pem, system_bundle, &certs, err) < 0)
		return ib_wrap(err, "certificates for %s", host);
	*ret_certs = certs;
	certs = (struct registry_certs){0};
	return 0;
}
