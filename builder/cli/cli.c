#include "builder/cli/cli.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "oci/base/alloc.h"
#include "oci/base/fd.h"
#include "oci/config.h"
#include "oci/image.h"
#include "registry/reference.h"

#include "oci/base/poison.h"

int cli_root_path(const char *root, char **ret_path, struct ib_err *err)
{
	const char *data = getenv("XDG_DATA_HOME"), *home = getenv("HOME");

	if (!root || !*root)
		root = getenv("IMGBUILD_ROOT");
	if (root && *root)
		*ret_path = ib_strdup(root);
	else if (getuid() == 0)
		*ret_path = ib_strdup("/var/lib/imgbuild");
	else if (data && *data == '/')
		*ret_path = ib_asprintf("%s/imgbuild", data);
	else if (home && *home == '/')
		*ret_path = ib_asprintf("%s/.local/share/imgbuild", home);
	else
		return ib_fail(err, IB_USAGE, "there is no HOME to keep images in; name a directory with --root");
	return 0;
}

int cli_store_open(const char *root, struct oci_store **ret_store, struct ib_err *err)
{
	ib_autofree char *path = NULL;

	if (cli_root_path(root, &path, err) < 0)
		return -1;
	return oci_store_open(path, true, ret_store, err);
}

static bool is_hex(const char *s)
{
	size_t n = strspn(s, "0123456789abcdef");

	return n >= 4 && n <= 64 && !s[n];
}

/* Does the manifest's digest, or its configuration's (the image ID), begin with these digits? */
static bool begins_with(struct oci_store *store, const struct oci_descriptor *desc, const char *digits)
{
	IB_CLEANUP(oci_image_freep) struct oci_image *image = NULL;
	char text[OCI_DIGEST_SIZE];
	ib_autoerr err = {0};	/* an image that can't be read is not the one that is looked for */

	if (ib_starts(oci_digest_hex(&desc->digest, text), digits))
		return true;
	if (oci_image_load(store, desc, NULL, &image, &err) < 0)
		return false;
	return ib_starts(oci_digest_hex(&image->manifest->config.digest, text), digits);
}

static int find_by_digits(struct oci_store *store, const char *digits, struct oci_descriptor *ret_desc,
			  struct ib_err *err)
{
	IB_CLEANUP(oci_index_freep) struct oci_index *index = NULL;
	const struct oci_descriptor *found = NULL;

	if (oci_store_index(store, &index, err) < 0)
		return -1;
	for (size_t i = 0; i < index->n_manifests; i++) {
		const struct oci_descriptor *desc = &index->manifests[i];

		if (!begins_with(store, desc, digits))
			continue;
		if (found && !oci_digest_equal(&found->digest, &desc->digest))
			return ib_fail(err, IB_USAGE, "'%s' is the beginning of several images' digests", digits);
		found = desc;
	}
	if (!found)
		return ib_fail(err, IB_NOTFOUND, "there is no image '%s' in the store", digits);
	oci_descriptor_copy(ret_desc, found);
	return 0;
}

int cli_image_find(struct oci_store *store, const char *typed, struct oci_descriptor *ret_desc, char **ret_name,
		   struct ib_err *err)
{
	const char *digits = ib_starts(typed, "sha256:") ? typed + 7 : typed;
	ib_autofree char *name = NULL, *shown = ib_printable(typed, 256);
	registry_autoreference ref = {0};
	ib_autoerr missing = {0};

	if (ret_name)
		*ret_name = NULL;
	if (digits == typed && registry_reference_parse(typed, &ref, &missing) == 0) {
		name = registry_reference_str(&ref);
		if (oci_store_name_get(store, name, ret_desc, &missing) == 0) {
			if (ret_name)
				*ret_name = ib_steal_ptr(&name);
			return 0;
		}
		if (missing.code != IB_NOTFOUND) {
			ib_err_move(err, &missing);
			return -1;
		}
	}
	if (is_hex(digits))
		return find_by_digits(store, digits, ret_desc, err);
	if (!name) {
		ib_err_move(err, &missing);
		return -1;
	}
	return ib_fail(err, IB_NOTFOUND, "there is no image '%s' in the store; `imgbuild images` lists them", shown);
}

const char *cli_size(int64_t bytes, char buf[static 32])
{
	static const char *const units[] = {"B", "kB", "MB", "GB", "TB"};
	double value = (double)bytes;
	size_t i = 0;

	while (value >= 1000 && i < 4) {
		value /= 1000;
		i++;
	}
	(void)snprintf(buf, 32, i ? "%.3g%s" : "%.0f%s", value, units[i]);
	return buf;
}

int cli_flush(struct ib_err *err)
{
	if (fflush(stdout) != 0 || ferror(stdout))
		return ib_fail_sys(err, errno ? errno : EIO, "write standard output");
	return 0;
}
