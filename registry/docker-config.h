/*
 * registry/docker-config.h - credentials out of Docker's config.json and the containers tools' auth.json.
 */
#ifndef REGISTRY_DOCKER_CONFIG_H
#define REGISTRY_DOCKER_CONFIG_H

#include <stddef.h>

#include "registry/credentials.h"

struct registry_docker_config;

/*
 * Parse a file's bytes; name stands in errors and as origin. Entries are judged when they are asked for, so
 * a broken one does not lock out the others. Fails with IB_INVALID: no JSON object.
 */
int registry_docker_config_parse(const char *bytes, size_t len, const char *name,
				 struct registry_docker_config **ret_config, struct ib_err *err);
void registry_docker_config_free(struct registry_docker_config *config);
IB_DEFINE_FREE(registry_docker_config);

/*
 * The credential for host[:port]: credHelpers, else credsStore, else auths. Keys of auths may carry a scheme,
 * /v1/ or /v2/, and a path of the repository (the longest that fits wins); all names of Docker Hub are one.
 * Returns 1 with *ret_cred (the caller's), 0, or -1: a bad entry, a failing helper.
 */
int registry_docker_config_get(const struct registry_docker_config *config, const char *host,
			       const char *repository, struct registry_credential *ret_cred, struct ib_err *err);

/*
 * Add to chain what this user's tools know. With dir only dir/config.json; without, in this order,
 * DOCKER_AUTH_CONFIG (JSON itself), REGISTRY_AUTH_FILE, config.json in DOCKER_CONFIG or ~/.docker, and
 * containers/auth.json in XDG_RUNTIME_DIR and in XDG_CONFIG_HOME or ~/.config. Nothing is read before
 * the first question; files that are not there know nothing.
 */
void registry_docker_config_sources(struct registry_credentials *chain, const char *dir);

#endif
