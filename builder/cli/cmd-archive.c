/* imgbuild save, load, import. */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "builder/cli/cli.h"
#include "builder/output/output.h"
#include "oci/archive.h"
#include "oci/base/alloc.h"
#include "registry/reference.h"

#include "oci/base/poison.h"

struct archive {
	const char *root, *file, *format, *message, *compression, *platform;
	struct ib_strv arguments, env;
	struct oci_store *store;
	struct ib_pool *pool;
	int lock;	/* shared: nothing is collected meanwhile */
};

static void archive_done(struct archive *a)
{
	ib_closep(&a->lock);
	oci_store_free(a->store);
	ib_pool_free(a->pool);
	ib_strv_done(&a->arguments);
	ib_strv_done(&a->env);
}

static int begin(struct archive *a, const struct cli_command *command, const struct cli_option *options, size_t n,
		 int argc, char **argv, size_t min, size_t max, struct ib_err *err)
{
	int r = cli_parse(command, options, n, argc, argv, &a->arguments, err);

	if (r != 0)
		return r;
	if (cli_expect(command, &a->arguments, min, max, err) < 0 || cli_store_open(a->root, &a->store, err) < 0)
		return -1;
	a->pool = ib_pool_new(ib_processors());
	a->lock = oci_store_lock(a->store, false, true, err);
	return a->lock < 0 ? -1 : 0;
}

/* The images to save, each with the name it was found by. */
struct saving {
	const struct archive *archive;
	struct oci_archive_image *images;
	struct oci_descriptor *descs;
	char **names;
	size_t n;
	bool docker;
};

static void saving_done(struct saving *s)
{
	for (size_t i = 0; i < s->n; i++) {
		oci_descriptor_done(&s->descs[i]);
		free(s->names[i]);
	}
	free(s->images);
	free(s->descs);
	free(s->names);
}

static int find_images(struct saving *s, struct ib_err *err)
{
	const struct ib_strv *typed = &s->archive->arguments;

	s->images = ib_calloc(typed->n, sizeof *s->images);
	s->descs = ib_calloc(typed->n, sizeof *s->descs);
	s->names = ib_calloc(typed->n, sizeof *s->names);
	for (; s->n < typed->n; s->n++) {
		size_t i = s->n;

		if (cli_image_find(s->archive->store, typed->v[i], &s->descs[i], &s->names[i], err) < 0)
			return -1;
		s->images[i] = (struct oci_archive_image){
			.desc = &s->descs[i],
			.names = (const char *const *)&s->names[i],
			.n_names = s->names[i] != NULL,
		};
	}
	return 0;
}

static int write_images(void *ctx, oci_tar_sink *sink, void *sink_ctx, struct ib_err *err)
{
	const struct saving *s = ctx;

	return oci_archive_export(s->archive->store, s->images, s->n, s->docker, sink, sink_ctx, err);
}

static int save_format(const char *text, bool *ret_docker, bool *ret_directory, struct ib_err *err)
{
	ib_autofree char *shown = ib_printable(text, 64);

	*ret_docker = strcmp(text, "docker") == 0;
	*ret_directory = strcmp(text, "oci-dir") == 0;
	if (*ret_docker || *ret_directory || strcmp(text, "oci") == 0)
		return 0;
	return ib_fail(err, IB_USAGE, "--format: '%s' is none of docker, oci and oci-dir", shown);
}

static int save(int argc, char **argv, struct ib_err *err)
{
	IB_CLEANUP(archive_done) struct archive a = {.format = "docker", .file = "-", .lock = -1};
	const struct cli_option options[] = {
		{"output", 'o', CLI_TEXT, &a.file, "FILE", "write there instead of standard output"},
		{"format", 0, CLI_TEXT, &a.format, "docker|oci|oci-dir", "what is written (default: docker)"},
		CLI_ROOT_OPTION(&a.root),
	};
	IB_CLEANUP(saving_done) struct saving s = {.archive = &a};
	bool directory;
	int r = begin(&a, &cli_save, options, 3, argc, argv, 1, SIZE_MAX, err);

	if (r != 0)
		return r < 0 ? -1 : 0;
	if (save_format(a.format, &s.docker, &directory, err) < 0)
		return -1;
	if (strcmp(a.file, "-") == 0 && (directory || isatty(STDOUT_FILENO)))
		return ib_fail(err, IB_USAGE, "an archive is not written to a terminal; name a file with --output");
	if (find_images(&s, err) < 0)
		return -1;
	if (directory)
		return oci_layout_export(a.store, s.images, s.n, a.file, err);
	return builder_output_file(a.file, write_images, &s, err);
}

/* Names in an archive are another tool's words: those that are references become ours in full form. */
static int name_found(struct oci_store *store, const struct oci_archive_found *found, struct ib_err *err)
{
	char text[OCI_DIGEST_SIZE];

	for (size_t i = 0; i < found->names.n; i++) {
		registry_autoreference ref = {0};
		ib_autofree char *name = NULL, *familiar = NULL;
		ib_autoerr not_a_reference = {0};
		const char *names[1];

		if (registry_reference_parse(found->names.v[i], &ref, &not_a_reference) < 0 || ref.has_digest)
			continue;	/* "latest" alone in a layout, say: the digest is printed instead */
		names[0] = name = registry_reference_str(&ref);
		familiar = registry_reference_familiar(&ref);
		if (oci_store_name_set(store, names, 1, &found->desc, err) < 0)
			return -1;
		printf("Loaded image: %s\n", familiar);
	}
	if (!found->names.n)
		printf("Loaded image ID: %s\n", oci_digest_str(&found->desc.digest, text));
	return 0;
}

static int open_input(const char *path, struct oci_reader **ret_reader, struct ib_err *err)
{
	int fd = strcmp(path, "-") == 0 ? fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 3) :
					  open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	ib_autofree char *shown = ib_printable(path, 256);

	if (fd < 0)
		return ib_fail_sys(err, errno, "open '%s'", shown);
	*ret_reader = oci_file_reader_new(fd, path);
	return 0;
}

static bool is_directory(const char *path)
{
	struct stat st;

	return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

static int read_images(struct archive *a, struct oci_archive_list *list, struct ib_err *err)
{
	const struct oci_compression_setting keep = {.compression = OCI_UNCOMPRESSED};
	IB_CLEANUP(oci_reader_freep) struct oci_reader *reader = NULL;

	if (is_directory(a->file))
		return oci_layout_import(a->store, a->file, list, err);
	if (open_input(a->file, &reader, err) < 0)
		return -1;
	return oci_archive_import(a->store, reader, a->pool, &keep, list, err);
}

static int load(int argc, char **argv, struct ib_err *err)
{
	IB_CLEANUP(archive_done) struct archive a = {.file = "-", .lock = -1};
	const struct cli_option options[] = {
		{"input", 'i', CLI_TEXT, &a.file, "FILE", "read this archive or layout directory instead of standard input"},
		CLI_ROOT_OPTION(&a.root),
	};
	IB_CLEANUP(oci_archive_list_done) struct oci_archive_list list = {0};
	int r = begin(&a, &cli_load, options, 2, argc, argv, 0, 0, err);

	if (r != 0)
		return r < 0 ? -1 : 0;
	if (read_images(&a, &list, err) < 0)
		return ib_wrap(err, "load %s", a.file);
	for (size_t i = 0; i < list.n; i++)
		if (name_found(a.store, &list.v[i], err) < 0)
			return -1;
	return cli_flush(err);
}

static int import_options(struct archive *a, struct oci_rootfs_options *options, struct ib_err *err)
{
	const char *epoch = getenv("SOURCE_DATE_EPOCH");
	long long seconds;

	(void)clock_gettime(CLOCK_REALTIME, &options->created);	/* cannot fail for this clock */
	if (epoch && *epoch && ib_parse_int(epoch, 0, INT64_C(253402300799), &seconds))
		options->created = (struct timespec){.tv_sec = seconds};
	options->changes_env = (const char *const *)a->env.v;
	options->n_changes_env = a->env.n;
	options->message = a->message;
	if (!a->platform) {
		oci_platform_host(&options->platform);
		return 0;
	}
	return oci_platform_parse(a->platform, &options->platform, err) < 0 ? ib_wrap(err, "--platform") : 0;
}

static int import_rootfs(struct archive *a, struct ib_err *err)
{
	struct oci_compression_setting setting = {.compression = OCI_GZIP};
	IB_CLEANUP(oci_reader_freep) struct oci_reader *reader = NULL;
	struct oci_rootfs_options options = {0};
	registry_autoreference ref = {0};
	oci_autodescriptor desc = {0};
	ib_autofree char *name = NULL;
	char text[OCI_DIGEST_SIZE];
	const char *names[1];
	int r;

	if (a->compression && oci_compression_parse(a->compression, &setting, err) < 0)
		return ib_wrap(err, "--compression");
	if (a->arguments.n > 1 && registry_reference_parse(a->arguments.v[1], &ref, err) < 0)
		return -1;
	if (open_input(a->arguments.v[0], &reader, err) < 0)
		return -1;
	r = import_options(a, &options, err);
	if (r == 0)
		r = oci_rootfs_import(a->store, reader, a->pool, &setting, &options, &desc, err);
	oci_platform_done(&options.platform);
	if (r < 0)
		return ib_wrap(err, "import %s", a->arguments.v[0]);
	if (a->arguments.n > 1) {
		names[0] = name = registry_reference_str(&ref);
		if (oci_store_name_set(a->store, names, 1, &desc, err) < 0)
			return -1;
	}
	printf("%s\n", oci_digest_str(&desc.digest, text));
	return cli_flush(err);
}

static int import(int argc, char **argv, struct ib_err *err)
{
	IB_CLEANUP(archive_done) struct archive a = {.lock = -1};
	const struct cli_option options[] = {
		{"env", 'e', CLI_LIST, &a.env, "NAME=VALUE", "set a variable in the image"},
		{"message", 'm', CLI_TEXT, &a.message, "TEXT", "comment of the history entry"},
		{"platform", 0, CLI_TEXT, &a.platform, "OS/ARCH", "platform of the image"},
		{"compression", 0, CLI_TEXT, &a.compression, "gzip|zstd|none[:LEVEL]", "compression of the layer"},
		CLI_ROOT_OPTION(&a.root),
	};
	int r = begin(&a, &cli_import, options, 5, argc, argv, 1, 2, err);

	if (r != 0)
		return r < 0 ? -1 : 0;
	return import_rootfs(&a, err);
}

const struct cli_command cli_save = {
	"save", "[OPTIONS] IMAGE...", "Write images as an archive.", save,
};
const struct cli_command cli_load = {
	"load", "[OPTIONS]", "Read images from an archive or layout into the store.", load,
};
const struct cli_command cli_import = {
	"import", "[OPTIONS] FILE|- [NAME[:TAG]]", "Make an image of a root filesystem tar.", import,
};
