#include "registry/docker-config.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "oci/base/alloc.h"
#include "oci/base/json.h"
#include "oci/base/str.h"
#include "registry/base64.h"
#include "registry/credential-helper.h"

#include "oci/base/poison.h"

struct registry_docker_config {
	char *name;
	struct ib_json *json;
};

int registry_docker_config_parse(const char *bytes, size_t len, const char *name,
				 struct registry_docker_config **ret_config, struct ib_err *err)
{
	/* The parser quotes what it stumbles over, which may be a secret: only that it failed is told. */
	ib_autoerr why = {0};
	ib_autojson *json = ib_json_parse(bytes, len, &why);
	struct registry_docker_config *config;

	if (!json || json->type != IB_JSON_OBJECT)
		return ib_fail(err, IB_INVALID, "%s is not a JSON object", name);
	config = ib_new(struct registry_docker_config);
	config->name = ib_strdup(name);
	config->json = ib_steal_ptr(&json);
	*ret_config = config;
	return 0;
}

static void wipe(struct ib_json *v)
{
	if (v->text)
		explicit_bzero(v->text, v->len);
	for (size_t i = 0; i < v->n; i++)
		wipe(v->child[i]);
}

void registry_docker_config_free(struct registry_docker_config *config)
{
	if (!config)
		return;
	wipe(config->json);
	ib_json_free(config->json);
	free(config->name);
	free(config);
}

static bool is_docker_hub(const char *host)
{
	static const char *const names[] = {"docker.io", "index.docker.io", "registry-1.docker.io"};

	for (size_t i = 0; i < sizeof names / sizeof *names; i++)
		if (strcasecmp(host, names[i]) == 0)
			return true;
	return false;
}

/* "https://Host/v1/" -> "Host", "host/team/app" stays. */
static char *strip_key(const char *key)
{
	static const char *const tails[] = {"/", "/v1", "/v2"};
	ib_autofree char *text = NULL;

	if (strncasecmp(key, "https://", 8) == 0)
		key += 8;
	else if (strncasecmp(key, "http://", 7) == 0)
		key += 7;
	text = ib_strdup(key);
	for (size_t i = 0; i < sizeof tails / sizeof *tails; i++)
		if (ib_ends(text, tails[i]))
			text[strlen(text) - strlen(tails[i])] = '\0';
	return ib_steal_ptr(&text);
}

/* How well a key fits: 0 not, 1 by its host, more the longer the path that it shares with repository. */
static size_t fit(const char *key, const char *host, const char *repository)
{
	ib_autofree char *text = strip_key(key);
	char *path = strchr(text, '/');
	size_t n;

	if (path)
		*path++ = '\0';
	if (strcasecmp(text, host) != 0 && !(is_docker_hub(text) && is_docker_hub(host)))
		return 0;
	if (!path)
		return 1;
	n = strlen(path);
	if (strncmp(repository, path, n) != 0 || (repository[n] && repository[n] != '/'))
		return 0;
	return n + 2;
}

static const struct ib_json *best(const struct ib_json *map, const char *host, const char *repository)
{
	const struct ib_json *found = NULL;
	size_t found_fit = 0;

	for (size_t i = 0; map && map->type == IB_JSON_OBJECT && i < map->n; i++) {
		size_t f = fit(map->child[i]->key, host, repository);

		if (f > found_fit) {
			found = map->child[i];
			found_fit = f;
		}
	}
	return found;
}

static int answer(const struct registry_docker_config *config, enum registry_credential_kind kind, const char *user,
		  const char *secret, struct registry_credential *ret_cred)
{
	*ret_cred = (struct registry_credential){
		.kind = kind,
		.user = ib_strdup_null(user),
		.secret = ib_strdup(secret),
		.origin = ib_strdup(config->name),
	};
	return 1;
}

/* "auth": base64 of user:password; the first colon separates; old files pad the end with NULs. */
static int decode_auth(const struct registry_docker_config *config, const char *auth, const char *key,
		       struct registry_credential *ret_cred, struct ib_err *err)
{
	size_t len = 0;
	registry_autosecret *text = registry_base64_decode(auth, strlen(auth), &len);
	char *colon;

	while (text && len && !text[len - 1])
		len--;
	colon = text ? strchr(text, ':') : NULL;
	if (!colon || strlen(text) != len) {
		ib_autofree char *shown = ib_printable(key, 128);

		return ib_fail(err, IB_INVALID, "%s: \"auth\" of '%s' is not base64 of user:password", config->name,
			       shown);
	}
	*colon = '\0';
	(void)answer(config, REGISTRY_PASSWORD, text, colon + 1, ret_cred);
	*colon = ':';	/* all of it is wiped */
	return 1;
}

static int from_entry(const struct registry_docker_config *config, const struct ib_json *entry,
		      struct registry_credential *ret_cred, struct ib_err *err)
{
	const char *identity = ib_json_get_string(entry, "identitytoken");
	const char *bearer = ib_json_get_string(entry, "registrytoken");
	const char *auth = ib_json_get_string(entry, "auth");
	const char *user = ib_json_get_string(entry, "username");
	const char *password = ib_json_get_string(entry, "password");

	if (bearer && *bearer)
		return answer(config, REGISTRY_BEARER_TOKEN, NULL, bearer, ret_cred);
	if (identity && *identity)
		return answer(config, REGISTRY_IDENTITY_TOKEN, NULL, identity, ret_cred);
	if (auth && *auth)
		return decode_auth(config, auth, entry->key, ret_cred, err);
	if (user && *user && password)
		return answer(config, REGISTRY_PASSWORD, user, password, ret_cred);
	return 0;
}

static int from_helper(const struct registry_docker_config *config, const char *host, const char *repository,
		       struct registry_credential *ret_cred, struct ib_err *err)
{
	const struct ib_json *named = best(ib_json_get(config->json, "credHelpers"), host, repository);
	const char *helper = named && named->type == IB_JSON_STRING ? named->text :
			     ib_json_get_string(config->json, "credsStore");
	int found;

	if (!helper || !*helper)
		return 0;
	found = registry_credential_helper_get(helper, is_docker_hub(host) ? "https://index.docker.io/v1/" : host,
					       REGISTRY_HELPER_TIMEOUT_MS, ret_cred, err);
	return found < 0 ? ib_wrap(err, "credential helper of %s", config->name) : found;
}

int registry_docker_config_get(const struct registry_docker_config *config, const char *host,
			       const char *repository, struct registry_credential *ret_cred, struct ib_err *err)
{
	int found = from_helper(config, host, repository, ret_cred, err);
	const struct ib_json *entry;

	if (found)
		return found;
	entry = best(ib_json_get(config->json, "auths"), host, repository);
	return entry ? from_entry(config, entry, ret_cred, err) : 0;
}
