/* imgbuild images. */
#include <stdio.h>
#include <string.h>

#include "builder/cli/cli.h"
#include "oci/base/alloc.h"
#include "oci/base/clock.h"
#include "oci/image.h"
#include "registry/reference.h"

#include "oci/base/poison.h"

struct row {
	char *repository, *tag;
	char id[OCI_DIGEST_SIZE];
	char created[IB_RFC3339_SIZE];
	int64_t size;
};

static void fill_name(const struct oci_descriptor *desc, struct row *row)
{
	const char *name = oci_descriptor_annotation(desc, "org.opencontainers.image.ref.name");
	registry_autoreference ref = {0};
	ib_autofree char *familiar = NULL;
	ib_autoerr err = {0};	/* a name that another tool put there and that is no reference: shown as it is */
	char *colon;

	if (!name || registry_reference_parse(name, &ref, &err) < 0) {
		row->repository = ib_printable(name ? name : "<none>", 256);
		row->tag = ib_strdup("<none>");
		return;
	}
	row->tag = ib_strdup(ref.tag ? ref.tag : "<none>");
	familiar = registry_reference_familiar(&ref);
	if (ref.has_digest && (colon = strchr(familiar, '@')))
		*colon = '\0';
	colon = ref.tag ? strrchr(familiar, ':') : NULL;
	if (colon)
		*colon = '\0';
	row->repository = ib_steal_ptr(&familiar);
}

static void fill_image(struct oci_store *store, const struct oci_descriptor *desc, struct row *row)
{
	IB_CLEANUP(oci_image_freep) struct oci_image *image = NULL;
	ib_autoerr err = {0};	/* an image for other machines only has a line all the same */
	struct timespec ts;

	oci_digest_hex(&desc->digest, row->id);
	if (oci_image_load(store, desc, NULL, &image, &err) < 0)
		return;
	oci_digest_hex(&image->manifest->config.digest, row->id);
	ts = (struct timespec){.tv_sec = image->config->created.ts.tv_sec};
	if (image->config->created.set)
		ib_rfc3339(&ts, row->created);
	for (size_t i = 0; i < image->manifest->n_layers; i++)
		row->size += image->manifest->layers[i].size;
}

static void print_row(const struct row *row, bool no_trunc)
{
	char size[32];

	printf("%-40s %-16s %-*.*s %-20s %8s\n", row->repository, row->tag, no_trunc ? 64 : 12, no_trunc ? 64 : 12,
	       row->id, row->created, cli_size(row->size, size));
}

static int images(int argc, char **argv, struct ib_err *err)
{
	IB_CLEANUP(oci_store_freep) struct oci_store *store = NULL;
	IB_CLEANUP(oci_index_freep) struct oci_index *index = NULL;
	const char *root = NULL;
	bool no_trunc = false, quiet = false;
	const struct cli_option options[] = {
		{"no-trunc", 0, CLI_FLAG, &no_trunc, NULL, "show image IDs in full"},
		{"quiet", 'q', CLI_FLAG, &quiet, NULL, "show image IDs only"},
		CLI_ROOT_OPTION(&root),
	};
	ib_autostrv arguments = {0};
	int r = cli_parse(&cli_images, options, 3, argc, argv, &arguments, err);

	if (r != 0)
		return r < 0 ? -1 : 0;
	if (cli_expect(&cli_images, &arguments, 0, 0, err) < 0 || cli_store_open(root, &store, err) < 0 ||
	    oci_store_index(store, &index, err) < 0)
		return -1;
	if (!quiet)
		printf("%-40s %-16s %-*s %-20s %8s\n", "REPOSITORY", "TAG", no_trunc ? 64 : 12, "IMAGE ID", "CREATED",
		       "SIZE");
	for (size_t i = 0; i < index->n_manifests; i++) {
		struct row row = {0};

		fill_name(&index->manifests[i], &row);
		fill_image(store, &index->manifests[i], &row);
		if (quiet)
			printf("%.*s\n", no_trunc ? 64 : 12, row.id);
		else
			print_row(&row, no_trunc);
		free(row.repository);
		free(row.tag);
	}
	return cli_flush(err);
}

const struct cli_command cli_images = {"images", "[OPTIONS]", "List the images in the store.", images};
