/*
 * Where config.json and its kin lie. The files are read at the first question: most builds ask none.
 */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "oci/base/alloc.h"
#include "oci/base/fd.h"
#include "registry/docker-config.h"

#include "oci/base/poison.h"

#define MAX_FILE_BYTES (4u << 20)	/* a sign-in for every registry there is */

struct docker_source {
	struct registry_credential_source base;
	char *path;		/* NULL: json is the content */
	char *json;
	bool loaded;
	struct registry_docker_config *config;	/* NULL: nothing known */
};

static int load_file(struct docker_source *s, struct ib_err *err)
{
	registry_autosecret *bytes = NULL;
	size_t len;

	if (ib_read_file(AT_FDCWD, s->path, MAX_FILE_BYTES, &bytes, &len, err) < 0) {
		if (err->code != IB_NOTFOUND)
			return ib_wrap(err, "cannot read credentials");
		ib_err_clear(err);	/* not there: knows nobody */
		return 0;
	}
	return len == 0 ? 0 : registry_docker_config_parse(bytes, len, s->path, &s->config, err);
}

static int source_get(struct registry_credential_source *base, const char *host, const char *repository,
		      struct registry_credential *ret_cred, struct ib_err *err)
{
	struct docker_source *s = (struct docker_source *)base;

	if (!s->loaded) {
		int rc = s->path ? load_file(s, err) :
			 registry_docker_config_parse(s->json, strlen(s->json), "DOCKER_AUTH_CONFIG", &s->config, err);

		if (rc < 0)
			return -1;
		s->loaded = true;
	}
	return s->config ? registry_docker_config_get(s->config, host, repository, ret_cred, err) : 0;
}

static void source_free(struct registry_credential_source *base)
{
	struct docker_source *s = (struct docker_source *)base;

	registry_docker_config_free(s->config);
	registry_secret_free(s->json);
	free(s->path);
	free(s);
}

static void add(struct registry_credentials *chain, char *take_path, const char *json)
{
	static const struct registry_credential_ops ops = {source_get, source_free};
	struct docker_source *s = ib_new(struct docker_source);

	s->base.ops = &ops;
	s->path = take_path;
	s->json = ib_strdup_null(json);
	registry_credentials_add(chain, &s->base);
}

/* An environment variable; empty counts as unset. */
static const char *env(const char *name)
{
	const char *value = getenv(name);

	return value && *value ? value : NULL;
}

void registry_docker_config_sources(struct registry_credentials *chain, const char *dir)
{
	const char *home = env("HOME"), *value;

	if (dir) {
		add(chain, ib_asprintf("%s/config.json", dir), NULL);
		return;
	}
	if ((value = env("DOCKER_AUTH_CONFIG")))
		add(chain, NULL, value);
	if ((value = env("REGISTRY_AUTH_FILE")))
		add(chain, ib_strdup(value), NULL);
	if ((value = env("DOCKER_CONFIG")))
		add(chain, ib_asprintf("%s/config.json", value), NULL);
	else if (home)
		add(chain, ib_asprintf("%s/.docker/config.json", home), NULL);
	if ((value = env("XDG_RUNTIME_DIR")))
		add(chain, ib_asprintf("%s/containers/auth.json", value), NULL);
	if ((value = env("XDG_CONFIG_HOME")))
		add(chain, ib_asprintf("%s/containers/auth.json", value), NULL);
	else if (home)
		add(chain, ib_asprintf("%s/.config/containers/auth.json", home), NULL);
}
