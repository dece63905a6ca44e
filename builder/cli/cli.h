/*
 * builder/cli/cli.h - what the commands share: the store they work on, and their list.
 */
#ifndef BUILDER_CLI_CLI_H
#define BUILDER_CLI_CLI_H

#include "builder/cli/options.h"
#include "oci/descriptor.h"
#include "oci/store.h"

extern const struct cli_command cli_build, cli_images, cli_inspect, cli_history, cli_tag, cli_rmi, cli_pull,
	cli_push, cli_save, cli_load, cli_import, cli_prune, cli_df, cli_version;

/* The row of the option that every command on a store has. */
#define CLI_ROOT_OPTION(field) \
	{"root", 0, CLI_TEXT, (field), "DIR", "the store (else IMGBUILD_ROOT, or the user's default)"}

/* The path of the store: root, IMGBUILD_ROOT, /var/lib/imgbuild, $XDG_DATA_HOME/imgbuild. The caller's. */
int cli_root_path(const char *root, char **ret_path, struct ib_err *err);

/* Open the store, making it if need be. */
int cli_store_open(const char *root, struct oci_store **ret_store, struct ib_err *err);

/*
 * The image of a name as typed, or of a digest or its beginning (at least 4 digits) that is clear.
 * *ret_name (caller's; may be NULL) is the full name it has in the store, NULL when found by digest alone.
 */
int cli_image_find(struct oci_store *store, const char *typed, struct oci_descriptor *ret_desc, char **ret_name,
		   struct ib_err *err);

/* "12.5MB" as people write sizes, in powers of 1000. Returns buf. */
const char *cli_size(int64_t bytes, char buf[static 32]);

/* Flush standard output; a result that could not be written is a failure. */
int cli_flush(struct ib_err *err);

#endif
