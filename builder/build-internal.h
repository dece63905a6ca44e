/*
 * builder/build-internal.h - parts of a build, shared by the files beside it.
 */
#ifndef BUILDER_BUILD_INTERNAL_H
#define BUILDER_BUILD_INTERNAL_H

#include "builder/build.h"
#include "builder/dockerfile/dockerfile.h"
#include "builder/exec/engine.h"

/*
 * Find, read and parse the Dockerfile (builder_build_options.dockerfile says how it is found). *ret_excerpt
 * (caller's) is set when an instruction is at fault.
 */
int builder_dockerfile_read(const char *path, const char *context, struct dockerfile **ret_df,
			    char **ret_excerpt, struct ib_err *err);

/* What is written at the end of a build must have a place to go: better said before it than after. */
int builder_check_destinations(const struct builder_build_options *options, struct ib_err *err);

/* Full references of what was typed; each may be named once. */
int builder_names_normalise(const struct ib_strv *typed, struct ib_strv *ret_names, struct ib_err *err);

/* Put in what only execution knows: diff IDs, and the times of history entries. */
void builder_config_finish(struct oci_config *config, const struct plan *plan, const struct exec_result *done);

/* Digest of the configuration of the image that manifest describes: its image ID. */
int builder_config_digest(struct oci_store *store, const struct oci_descriptor *manifest,
			  struct oci_digest *ret_digest, struct ib_err *err);

/* --iidfile and --metadata-file. */
int builder_write_ids(const struct builder_build_options *options, const struct builder_build_result *result,
		      const struct ib_strv *names, struct ib_err *err);

#endif
