/* Any bytes as config.json: an error, nobody, or a credential that can be sent. Helpers are not run. */
#include <stdlib.h>
#include <string.h>

#include "registry/docker-config.h"
#include "tests/fuzz/fuzz.h"

#include "oci/base/poison.h"

static void check(const struct registry_docker_config *config, const char *host)
{
	registry_autocredential cred = {0};
	ib_autoerr err = {0};
	int found = registry_docker_config_get(config, host, "team/app", &cred, &err);

	fuzz_check(found >= 0 || err.text);
	if (found == 1) {
		fuzz_check(cred.kind != REGISTRY_ANONYMOUS && cred.secret && cred.origin);
		fuzz_check(cred.kind != REGISTRY_PASSWORD || cred.user);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	IB_CLEANUP(registry_docker_config_freep) struct registry_docker_config *config = NULL;
	ib_autoerr err = {0};

	/* Nothing there to be run: every helper fails to start. */
	setenv("PATH", "/nonexistent", 1);
	if (registry_docker_config_parse((const char *)data, size, "config.json", &config, &err) < 0) {
		fuzz_check(err.text && !config);
		return 0;
	}
	check(config, "registry.example");
	check(config, "docker.io");
	check(config, "localhost:5000");
	return 0;
}
