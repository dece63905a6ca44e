#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "oci/base/alloc.h"
#include "oci/base/clock.h"
#include "oci/base/fd.h"
#include "oci/base/remove.h"
#include "registry/credential-helper.h"
#include "registry/docker-config.h"

/* printf 'user:password' | base64, and so on */
#define AUTH_USER "dXNlcjpwYXNzd29yZA=="	/* user:password */
#define AUTH_COLON "dXNlcjpwYTpzcw=="		/* user:pa:ss */
#define AUTH_NUL "dXNlcjpwYXNzd29yZAAA"		/* user:password\0\0 */
#define AUTH_OTHER "b3RoZXI6c2VjcmV0"		/* other:secret */

struct fixture {
	char *dir;
	char *path;	/* as it was */
};

static int setup(void **state)
{
	struct fixture *f = ib_new(struct fixture);
	ib_autofree char *path = NULL;

	f->dir = ib_strdup("/tmp/imgbuild-cred-XXXXXX");
	assert_non_null(mkdtemp(f->dir));
	f->path = ib_strdup(getenv("PATH"));
	path = ib_asprintf("%s:%s", f->dir, f->path);
	setenv("PATH", path, 1);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;
	ib_autoerr err = {0};

	setenv("PATH", f->path, 1);
	assert_int_equal(ib_remove_tree(AT_FDCWD, f->dir, &err), 0);
	free(f->dir);
	free(f->path);
	free(f);
	return 0;
}

static int get(const char *json, const char *host, const char *repository, struct registry_credential *cred,
	       struct ib_err *err)
{
	IB_CLEANUP(registry_docker_config_freep) struct registry_docker_config *config = NULL;

	if (registry_docker_config_parse(json, strlen(json), "config.json", &config, err) < 0)
		return -1;
	return registry_docker_config_get(config, host, repository, cred, err);
}

static void entries_are_found_by_host_and_path(void **state)
{
	static const struct {
		const char *key, *host, *repository;
		int found;
	} table[] = {
		{"registry.example", "registry.example", "a", 1},
		{"https://registry.example", "registry.example", "a", 1},
		{"https://registry.example/v2/", "registry.example", "a", 1},
		{"http://registry.example/v1", "registry.example", "a", 1},
		{"Registry.Example", "registry.example", "a", 1},
		{"registry.example:5000", "registry.example:5000", "a", 1},
		{"registry.example:5000", "registry.example", "a", 0},
		{"registry.example", "registry.example:5000", "a", 0},
		{"registry.example", "evil-registry.example", "a", 0},
		{"registry.example", "registry.example.evil", "a", 0},
		{"https://index.docker.io/v1/", "docker.io", "library/debian", 1},
		{"registry-1.docker.io", "docker.io", "library/debian", 1},
		{"docker.io", "docker.io", "library/debian", 1},
		{"registry.example/team", "registry.example", "team/app", 1},
		{"registry.example/team/app", "registry.example", "team/app", 1},
		{"registry.example/team/ap", "registry.example", "team/app", 0},
		{"registry.example/other", "registry.example", "team/app", 0},
	};

	(void)state;
	for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
		ib_autofree char *json = ib_asprintf("{\"auths\":{\"%s\":{\"auth\":\"" AUTH_USER "\"}}}", table[i].key);
		registry_autocredential cred = {0};
		ib_autoerr err = {0};

		if (get(json, table[i].host, table[i].repository, &cred, &err) != table[i].found)
			fail_msg("'%s' for %s", table[i].key, table[i].host);
		if (!table[i].found)
			continue;
		assert_int_equal(cred.kind, REGISTRY_PASSWORD);
		assert_string_equal(cred.user, "user");
		assert_string_equal(cred.secret, "password");
		assert_string_equal(cred.origin, "config.json");
	}
}

static void the_longest_path_wins(void **state)
{
	static const char json[] = "{\"auths\":{\"r.example/team/app\":{\"auth\":\"" AUTH_OTHER "\"},"
				   "\"r.example\":{\"auth\":\"" AUTH_USER "\"},"
				   "\"r.example/team\":{\"auth\":\"" AUTH_USER "\"}}}";
	registry_autocredential cred = {0}, general = {0};
	ib_autoerr err = {0};

	(void)state;
	assert_int_equal(get(json, "r.example", "team/app", &cred, &err), 1);
	assert_string_equal(cred.user, "other");
	assert_int_equal(get(json, "r.example", "team/application", &general, &err), 1);
	assert_string_equal(general.user, "user");
}

static void every_form_of_an_entry_is_understood(void **state)
{
	static const struct {
		const char *entry;
		int found;
		enum registry_credential_kind kind;
		const char *user, *secret;
	} table[] = {
		{"{\"auth\":\"" AUTH_COLON "\"}", 1, REGISTRY_PASSWORD, "user", "pa:ss"},
		{"{\"auth\":\"" AUTH_NUL "\"}", 1, REGISTRY_PASSWORD, "user", "password"},
		{"{\"auth\":\"" AUTH_USER "\",\"identitytoken\":\"tok\"}", 1, REGISTRY_IDENTITY_TOKEN, NULL, "tok"},
		{"{\"registrytoken\":\"ready\"}", 1, REGISTRY_BEARER_TOKEN, NULL, "ready"},
		{"{\"username\":\"u\",\"password\":\"p\"}", 1, REGISTRY_PASSWORD, "u", "p"},
		{"{}", 0, REGISTRY_ANONYMOUS, NULL, NULL},
		{"{\"auth\":\"\"}", 0, REGISTRY_ANONYMOUS, NULL, NULL},
		{"null", 0, REGISTRY_ANONYMOUS, NULL, NULL},
		{"[1]", 0, REGISTRY_ANONYMOUS, NULL, NULL},
	};

	(void)state;
	for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
		ib_autofree char *json = ib_asprintf("{\"auths\":{\"h\":%s}}", table[i].entry);
		registry_autocredential cred = {0};
		ib_autoerr err = {0};

		assert_int_equal(get(json, "h", "r", &cred, &err), table[i].found);
		assert_int_equal(cred.kind, table[i].kind);
		if (table[i].user)
			assert_string_equal(cred.user, table[i].user);
		if (table[i].secret)
			assert_string_equal(cred.secret, table[i].secret);
	}
}

static void a_broken_entry_is_named_without_its_content(void **state)
{
	static const char *const auths[] = {"c2VjcmV0", "sec!ret", "c2VjcmV0AGE6Yg=="};	/* no colon; no base64; inner NUL */

	(void)state;
	for (size_t i = 0; i < sizeof auths / sizeof *auths; i++) {
		ib_autofree char *json = ib_asprintf("{\"auths\":{\"h\":{\"auth\":\"%s\"}}}", auths[i]);
		registry_autocredential cred = {0};
		ib_autoerr err = {0};

		assert_int_equal(get(json, "h", "r", &cred, &err), -1);
		assert_int_equal(err.code, IB_INVALID);
		assert_string_equal(err.text, "config.json: \"auth\" of 'h' is not base64 of user:password");
	}
}

static void a_file_that_is_no_json_is_not_quoted(void **state)
{
	static const char *const files[] = {"{\"auths\":{\"h\":{\"auth\":\"secret", "[]", "secret", "{} {}"};

	(void)state;
	for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
		registry_autocredential cred = {0};
		ib_autoerr err = {0};

		assert_int_equal(get(files[i], "h", "r", &cred, &err), -1);
		assert_string_equal(err.text, "config.json is not a JSON object");
	}
}

static void write_helper(struct fixture *f, const char *name, const char *script)
{
	ib_autofree char *file = ib_asprintf("docker-credential-%s", name);
	ib_autoclose int dir = open(f->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	ib_autoerr err = {0};

	assert_int_equal(ib_replace_file(dir, file, script, strlen(script), 0755, &err), 0);
}

static void a_helper_is_asked_with_the_host_on_its_input(void **state)
{
	struct fixture *f = *state;
	registry_autocredential cred = {0}, hub = {0};
	ib_autoerr err = {0};

	write_helper(f, "echo", "#!/bin/sh\n[ \"$1\" = get ] && [ $# = 1 ] || exit 9\nread -r s || :\n"
				"printf '{\"ServerURL\":\"%s\",\"Username\":\"u-%s\",\"Secret\":\"s\"}' \"$s\" \"$s\"\n");
	assert_int_equal(get("{\"credsStore\":\"echo\"}", "h:5000", "r", &cred, &err), 1);
	assert_string_equal(cred.user, "u-h:5000");
	assert_string_equal(cred.secret, "s");
	assert_int_equal(cred.kind, REGISTRY_PASSWORD);
	assert_string_equal(cred.origin, "docker-credential-echo");
	assert_int_equal(get("{\"credHelpers\":{\"docker.io\":\"echo\"},\"credsStore\":\"absent\"}", "docker.io", "r",
			     &hub, &err), 1);
	assert_string_equal(hub.user, "u-https://index.docker.io/v1/");
}

static void a_helper_may_hold_an_identity_token(void **state)
{
	struct fixture *f = *state;
	registry_autocredential cred = {0};
	ib_autoerr err = {0};

	write_helper(f, "id", "#!/bin/sh\necho '{\"Username\":\"<token>\",\"Secret\":\"refresh\"}'\n");
	assert_int_equal(get("{\"credsStore\":\"id\"}", "h", "r", &cred, &err), 1);
	assert_int_equal(cred.kind, REGISTRY_IDENTITY_TOKEN);
	assert_string_equal(cred.secret, "refresh");
}

static void a_helper_without_an_entry_gives_way_to_the_file(void **state)
{
	struct fixture *f = *state;
	registry_autocredential cred = {0}, none = {0};
	ib_autoerr err = {0};

	write_helper(f, "none", "#!/bin/sh\necho 'credentials not found in native keychain'\nexit 1\n");
	assert_int_equal(get("{\"credsStore\":\"none\"}", "h", "r", &none, &err), 0);
	assert_int_equal(get("{\"credsStore\":\"none\",\"auths\":{\"h\":{\"auth\":\"" AUTH_USER "\"}}}", "h", "r", &cred,
			     &err), 1);
	assert_string_equal(cred.user, "user");
}

static void failing_helpers_are_reported_without_their_words(void **state)
{
	static const struct {
		const char *name, *script, *text;
		enum ib_code code;
	} table[] = {
		{"absent", NULL, "cannot run docker-credential-absent: No such file or directory", IB_NOTFOUND},
		{"fails", "#!/bin/sh\necho secret; echo secret >&2; exit 3\n", "docker-credential-fails failed with status 3",
		 IB_FAILED},
		{"nonsense", "#!/bin/sh\necho secret\n", "docker-credential-nonsense does not answer with a Username and a Secret",
		 IB_INVALID},
		{"endless", "#!/bin/sh\nwhile :; do echo secretsecretsecretsecretsecret; done\n",
		 "docker-credential-endless answers with over 65536 bytes", IB_LIMIT},
	};
	struct fixture *f = *state;

	for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
		registry_autocredential cred = {0};
		ib_autoerr err = {0};

		if (table[i].script)
			write_helper(f, table[i].name, table[i].script);
		assert_int_equal(registry_credential_helper_get(table[i].name, "h", 20000, &cred, &err), -1);
		assert_string_equal(err.text, table[i].text);
		assert_int_equal(err.code, table[i].code);
	}
}

static void a_helper_that_hangs_is_killed_with_its_children(void **state)
{
	struct fixture *f = *state;
	registry_autocredential cred = {0};
	ib_autoerr err = {0};
	int64_t start = ib_monotonic_ns();

	write_helper(f, "hangs", "#!/bin/sh\nsleep 100 & wait\n");
	assert_int_equal(registry_credential_helper_get("hangs", "h", 300, &cred, &err), -1);
	assert_string_equal(err.text, "docker-credential-hangs did not answer in time");
	assert_true(ib_monotonic_ns() - start < 10000000000);
}

static void a_helper_name_cannot_leave_the_path(void **state)
{
	static const char *const names[] = {"", "../x", "a/b", "x\ny"};

	(void)state;
	for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
		registry_autocredential cred = {0};
		ib_autoerr err = {0};

		assert_int_equal(registry_credential_helper_get(names[i], "h", 1000, &cred, &err), -1);
		assert_int_equal(err.code, IB_USAGE);
	}
}

static void a_directory_without_config_knows_nobody(void **state)
{
	struct fixture *f = *state;
	IB_CLEANUP(registry_credentials_freep) struct registry_credentials *chain = registry_credentials_new();
	registry_autocredential cred = {0};
	ib_autoerr err = {0};

	registry_docker_config_sources(chain, f->dir);
	assert_int_equal(registry_credentials_get(chain, "h", "r", &cred, &err), 0);
	assert_int_equal(cred.kind, REGISTRY_ANONYMOUS);
}

static void sources_are_asked_in_their_order(void **state)
{
	static const char file[] = "{\"auths\":{\"h\":{\"auth\":\"" AUTH_OTHER "\"},\"g\":{\"auth\":\"" AUTH_OTHER "\"}}}";
	struct fixture *f = *state;
	IB_CLEANUP(registry_credentials_freep) struct registry_credentials *chain = registry_credentials_new();
	ib_autoclose int dir = open(f->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	registry_autocredential h = {0}, g = {0};
	ib_autoerr err = {0};

	assert_int_equal(ib_replace_file(dir, "config.json", file, strlen(file), 0600, &err), 0);
	setenv("DOCKER_AUTH_CONFIG", "{\"auths\":{\"h\":{\"auth\":\"" AUTH_USER "\"}}}", 1);
	setenv("DOCKER_CONFIG", f->dir, 1);
	registry_docker_config_sources(chain, NULL);
	assert_int_equal(registry_credentials_get(chain, "h", "r", &h, &err), 0);
	assert_int_equal(registry_credentials_get(chain, "g", "r", &g, &err), 0);
	unsetenv("DOCKER_AUTH_CONFIG");
	unsetenv("DOCKER_CONFIG");
	assert_string_equal(h.origin, "DOCKER_AUTH_CONFIG");
	assert_string_equal(h.user, "user");
	assert_string_equal(g.user, "other");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(entries_are_found_by_host_and_path),
		cmocka_unit_test(the_longest_path_wins),
		cmocka_unit_test(every_form_of_an_entry_is_understood),
		cmocka_unit_test(a_broken_entry_is_named_without_its_content),
		cmocka_unit_test(a_file_that_is_no_json_is_not_quoted),
		cmocka_unit_test(a_helper_is_asked_with_the_host_on_its_input),
		cmocka_unit_test(a_helper_may_hold_an_identity_token),
		cmocka_unit_test(a_helper_without_an_entry_gives_way_to_the_file),
		cmocka_unit_test(failing_helpers_are_reported_without_their_words),
		cmocka_unit_test(a_helper_that_hangs_is_killed_with_its_children),
		cmocka_unit_test(a_helper_name_cannot_leave_the_path),
		cmocka_unit_test(a_directory_without_config_knows_nobody),
		cmocka_unit_test(sources_are_asked_in_their_order),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
