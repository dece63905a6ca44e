#include "tests/oci/archive-fixture.h"

#include <sys/wait.h>

#include "oci/base/fd.h"
#include "oci/image.h"
#include "oci/reach.h"

#define OCI "application/vnd.oci.image."

static struct oci_descriptor put_text(struct fixture *f, enum oci_media media, const char *text)
{
	struct oci_descriptor desc = {.media = media, .size = (int64_t)strlen(text)};
	ib_autoerr err = {0};

	assert_int_equal(oci_store_put_bytes(f->store, text, strlen(text), &desc.digest, &err), 0);
	return desc;
}

static struct oci_config *config_for(const char *platform, const struct oci_descriptor *layer)
{
	struct oci_config *config = oci_config_new();
	struct oci_diff_id id = {layer->digest};
	ib_autoerr err = {0};

	assert_int_equal(oci_platform_parse(platform, &config->platform, &err), 0);
	oci_config_add_layer(config, &id);
	return config;
}

static void make_image(struct fixture *f, const char *platform, const char *layer_text, bool docker,
		       struct oci_descriptor *ret_desc)
{
	struct oci_descriptor layer = put_text(f, OCI_MEDIA_LAYER, layer_text);
	IB_CLEANUP(oci_config_freep) struct oci_config *config = config_for(platform, &layer);
	ib_autoerr err = {0};

	assert_int_equal(oci_image_write(f->store, config, &layer, 1, docker, NULL, ret_desc, &err), 0);
}

static struct oci_descriptor make_index(struct fixture *f, const struct oci_descriptor *v, size_t n)
{
	struct oci_index index = {.media = OCI_MEDIA_INDEX, .manifests = ib_memdup(v, n * sizeof *v), .n_manifests = n};
	size_t len;
	ib_autofree char *text = oci_index_write(&index, &len);

	free(index.manifests);
	return put_text(f, OCI_MEDIA_INDEX, text);
}

static void a_written_image_is_loaded_as_it_was(void **state)
{
	struct fixture *f = *state;
	oci_autodescriptor desc = {0};
	IB_CLEANUP(oci_image_freep) struct oci_image *image = NULL;
	ib_autoerr err = {0};

	make_image(f, "linux/arm/v7", "layer", false, &desc);
	assert_int_equal(desc.media, OCI_MEDIA_MANIFEST);
	assert_string_equal(desc.platform->variant, "v7");
	assert_int_equal(oci_image_load(f->store, &desc, NULL, &image, &err), 0);
	assert_string_equal(image->config->platform.architecture, "arm");
	assert_int_equal(image->manifest->n_layers, 1);
	assert_int_equal(image->manifest->config.media, OCI_MEDIA_CONFIG);
	assert_int_equal(oci_store_verify(f->store, &desc, &err), 0);
}

static void families_are_not_mixed_whatever_the_base_was(void **state)
{
	struct fixture *f = *state;
	struct oci_descriptor layers[2] = {put_text(f, OCI_MEDIA_LAYER_GZIP, "a"),
					   put_text(f, OCI_MEDIA_DOCKER_LAYER_GZIP, "b")};
	IB_CLEANUP(oci_config_freep) struct oci_config *config = config_for("linux/amd64", &layers[0]);
	struct oci_diff_id id = {layers[1].digest};

	oci_config_add_layer(config, &id);
	for (int docker = 0; docker < 2; docker++) {
		IB_CLEANUP(oci_image_freep) struct oci_image *image = NULL;
		oci_autodescriptor desc = {0};
		ib_autoerr err = {0};

		assert_int_equal(oci_image_write(f->store, config, layers, 2, docker, NULL, &desc, &err), 0);
		assert_int_equal(oci_image_load(f->store, &desc, NULL, &image, &err), 0);
		for (int i = 0; i < 2; i++)
			assert_int_equal(image->manifest->layers[i].media,
					 docker ? OCI_MEDIA_DOCKER_LAYER_GZIP : OCI_MEDIA_LAYER_GZIP);
		assert_int_equal(image->manifest->media, docker ? OCI_MEDIA_DOCKER_MANIFEST : OCI_MEDIA_MANIFEST);
		assert_int_equal(image->manifest->config.media, docker ? OCI_MEDIA_DOCKER_CONFIG : OCI_MEDIA_CONFIG);
	}
}

static void docker_has_no_zstd_layers(void **state)
{
	struct fixture *f = *state;
	struct oci_descriptor layer = put_text(f, OCI_MEDIA_LAYER_ZSTD, "a");
	IB_CLEANUP(oci_config_freep) struct oci_config *config = config_for("linux/amd64", &layer);
	oci_autodescriptor desc = {0};
	ib_autoerr err = {0};

	assert_int_equal(oci_image_write(f->store, config, &layer, 1, true, NULL, &desc, &err), -1);
	assert_int_equal(err.code, IB_UNSUPPORTED);
	assert_int_equal(count_blobs(f), 1);
}

static void of_an_index_the_wanted_platform_is_loaded(void **state)
{
	struct fixture *f = *state;
	struct oci_descriptor all[2] = {{0}}, inner, outer;
	IB_CLEANUP(oci_image_freep) struct oci_image *image = NULL;
	oci_autoplatform arm = {0}, sparc = {0};
	ib_autoerr err = {0};

	make_image(f, "linux/amd64", "a", false, &all[0]);
	make_image(f, "linux/arm64", "b", false, &all[1]);
	inner = make_index(f, all, 2);
	outer = make_index(f, &inner, 1);
	assert_int_equal(oci_platform_parse("arm64", &arm, &err), 0);
	assert_int_equal(oci_platform_parse("linux/sparc64", &sparc, &err), 0);
	assert_int_equal(oci_image_load(f->store, &outer, &arm, &image, &err), 0);
	assert_true(oci_digest_equal(&image->desc.digest, &all[1].digest));
	assert_int_equal(oci_image_load(f->store, &inner, &sparc, &image, &err), -1);
	assert_int_equal(err.code, IB_NOTFOUND);
	assert_string_equal(err.text, "image is not there for linux/sparc64; it is for: linux/amd64, linux/arm64");
	oci_descriptor_done(&all[0]);
	oci_descriptor_done(&all[1]);
}

static void indexes_without_end_are_refused(void **state)
{
	struct fixture *f = *state;
	oci_autodescriptor desc = {0};
	struct oci_descriptor level;
	struct oci_image *image = NULL;
	ib_autoerr err = {0};

	make_image(f, "linux/amd64", "a", false, &desc);
	level = make_index(f, &desc, 1);
	level = make_index(f, &level, 1);
	level = make_index(f, &level, 1);
	assert_int_equal(oci_image_load(f->store, &level, NULL, &image, &err), -1);
	assert_int_equal(err.code, IB_INVALID);
	ib_err_clear(&err);
	level = make_index(f, &level, 1);
	assert_int_equal(oci_store_verify(f->store, &level, &err), -1);
	assert_int_equal(err.code, IB_INVALID);
}

static void what_is_no_image_is_refused(void **state)
{
	static const char empty[] = "{}";
	struct fixture *f = *state;
	struct oci_descriptor config = put_text(f, OCI_MEDIA_CONFIG, "{\"rootfs\":{\"type\":\"layers\",\"diff_ids\":[]}}");
	struct oci_descriptor layer = put_text(f, OCI_MEDIA_LAYER, "x"), blank = put_text(f, OCI_MEDIA_EMPTY, empty);
	struct oci_descriptor none = {.media = OCI_MEDIA_CONFIG, .size = 5};
	const struct {
		const struct oci_descriptor *config, *layer;
		enum ib_code code;
		const char *part;
	} cases[] = {
		{&config, &layer, IB_INVALID, "1 layers, but its config 0 diff IDs"},
		{&blank, NULL, IB_INVALID, "its config is 'application/vnd.oci.empty.v1+json'"},
		{&none, NULL, IB_NOTFOUND, "is not in the store"},
	};

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		oci_autodescriptor desc = {0};
		ib_autofree char *bytes = NULL;
		struct oci_image *image = NULL;
		ib_autoerr err = {0};
		size_t len;

		oci_manifest_write(OCI_MEDIA_MANIFEST, cases[i].config, cases[i].layer, cases[i].layer ? 1 : 0, NULL,
				   &bytes, &len, &desc);
		assert_int_equal(oci_store_put_bytes(f->store, bytes, len, &desc.digest, &err), 0);
		assert_int_equal(oci_image_load(f->store, &desc, NULL, &image, &err), -1);
		assert_int_equal(err.code, cases[i].code);
		assert_non_null(strstr(err.text, cases[i].part));
	}
}

static int note(void *ctx, const struct oci_descriptor *desc, struct ib_err *err)
{
	(void)err;
	ib_strv_add(ctx, oci_descriptor_media_str(desc));
	return 0;
}

static void what_an_image_refers_to_comes_before_it(void **state)
{
	static const char *const expected[] = {
		OCI "config.v1+json", OCI "layer.v1.tar", OCI "manifest.v1+json", OCI "index.v1+json",
	};
	struct fixture *f = *state;
	oci_autodescriptor desc = {0};
	struct oci_descriptor index;
	ib_autostrv list = {0};
	ib_autoerr err = {0};

	make_image(f, "linux/amd64", "a", false, &desc);
	index = make_index(f, &desc, 1);
	assert_int_equal(oci_reach(f->store, &index, 0, note, &list, &err), 0);
	assert_int_equal(list.n, 4);
	for (size_t i = 0; i < 4; i++)
		assert_string_equal(list.v[i], expected[i]);
	assert_int_equal(oci_store_remove_blob(f->store, &desc.digest, &err), 0);
	assert_int_equal(oci_reach(f->store, &index, 0, note, &list, &err), -1);
	assert_int_equal(err.code, IB_NOTFOUND);
	ib_err_clear(&err);
	assert_int_equal(oci_reach(f->store, &index, OCI_REACH_LENIENT, note, &list, &err), 0);
}

static int run(const char *const argv[])
{
	int status, null;
	pid_t pid = fork();

	if (pid == 0) {
		null = open("/dev/null", O_WRONLY);
		dup2(null, 1);
		execvp(argv[0], (char *const *)(uintptr_t)argv);
		_exit(127);
	}
	assert_true(waitpid(pid, &status, 0) == pid);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static void skopeo_and_umoci_find_an_image_by_its_full_name(void **state)
{
	static const char *const names[] = {"docker.io/library/x:v1", "localhost:5000/team/y:v2"};
	static const char *const probe[] = {"skopeo", "--version", NULL}, *const probe2[] = {"umoci", "--version", NULL};
	struct fixture *f = *state;
	oci_autodescriptor desc = {0}, again = {0};
	struct oci_descriptor layer = {.media = OCI_MEDIA_LAYER};
	IB_CLEANUP(oci_config_freep) struct oci_config *config = NULL;
	ib_autofree char *a = ib_asprintf("oci:%s:%s", f->root, names[0]), *b = ib_asprintf("oci:%s:%s", f->root, names[1]),
			 *c = ib_asprintf("oci:%s:copied:1", f->root), *d = ib_asprintf("%s:%s", f->root, names[0]);
	ib_autoerr err = {0};

	if (run(probe) != 0 || run(probe2) != 0) {
		print_message("skopeo and umoci are not both installed\n");
		skip();
	}
	end_archive(f);	/* an empty layer */
	layer.size = (int64_t)f->tar.len;
	assert_int_equal(oci_store_put_bytes(f->store, f->tar.s, f->tar.len, &layer.digest, &err), 0);
	config = config_for("linux/amd64", &layer);
	assert_int_equal(oci_image_write(f->store, config, &layer, 1, false, NULL, &desc, &err), 0);
	assert_int_equal(oci_store_name_set(f->store, names, 2, &desc, &err), 0);
	assert_int_equal(run((const char *[]){"skopeo", "inspect", b, NULL}), 0);
	assert_int_equal(run((const char *[]){"skopeo", "copy", "-q", a, c, NULL}), 0);
	assert_int_equal(run((const char *[]){"umoci", "stat", "--image", d, NULL}), 0);
	assert_int_equal(run((const char *[]){"umoci", "gc", "--layout", f->root, NULL}), 0);
	assert_int_equal(oci_store_name_get(f->store, "copied:1", &again, &err), 0);
	assert_true(oci_digest_equal(&again.digest, &desc.digest));
	assert_int_equal(oci_store_verify(f->store, &again, &err), 0);
	assert_int_equal(oci_store_name_set(f->store, names, 2, &desc, &err), 0);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(a_written_image_is_loaded_as_it_was),
		T(families_are_not_mixed_whatever_the_base_was),
		T(docker_has_no_zstd_layers),
		T(of_an_index_the_wanted_platform_is_loaded),
		T(indexes_without_end_are_refused),
		T(what_is_no_image_is_refused),
		T(what_an_image_refers_to_comes_before_it),
		T(skopeo_and_umoci_find_an_image_by_its_full_name),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
