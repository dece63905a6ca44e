/*
 * builder/output/output.h - where a build's result goes: --output, --push, --load.
 */
#ifndef BUILDER_OUTPUT_OUTPUT_H
#define BUILDER_OUTPUT_OUTPUT_H

#include <stdbool.h>

#include "builder/progress/progress.h"
#include "oci/store.h"
#include "oci/tar.h"
#include "oci/union.h"
#include "registry/registry.h"

enum builder_output_type {
	BUILDER_OUTPUT_IMAGE,		/* a name in the store */
	BUILDER_OUTPUT_REGISTRY,	/* pushed, and a name in the store */
	BUILDER_OUTPUT_OCI,		/* OCI archive, or layout directory with tar=false */
	BUILDER_OUTPUT_DOCKER,		/* docker-archive, or into a Docker engine when there is no dest */
	BUILDER_OUTPUT_TAR,		/* the files as a tar */
	BUILDER_OUTPUT_LOCAL,		/* the files in a directory */
	BUILDER_OUTPUT_CACHE_ONLY,	/* nothing */
};

struct builder_output {
	enum builder_output_type type;
	char *dest;		/* path; "-": standard output; NULL where the type needs none */
	struct ib_strv names;	/* name=: instead of --tag */
	bool push;		/* IMAGE with push=true */
	bool directory;		/* OCI, DOCKER with tar=false */
};

void builder_output_done(struct builder_output *output);

/*
 * Parse a --output value: "type=oci,dest=f", "-" (tar to stdout), or a directory. compression= and
 * compression-level=, when there, are handed back in *ret_compression as "gzip:9" (caller's; NULL when absent),
 * rewrite-timestamp= in *ret_rewrite (-1 absent, 0, 1). Unknown keys and those that are not built are refused
 * by name (IB_USAGE, IB_UNSUPPORTED).
 */
int builder_output_parse(const char *text, struct builder_output *ret_output, char **ret_compression,
			 int *ret_rewrite, struct ib_err *err);

bool builder_output_needs_image(const struct builder_output *output);
bool builder_output_needs_docker_layers(const struct builder_output *output);	/* no zstd */
bool builder_output_writes_stdout(const struct builder_output *output);

/* What the exporters work with; borrowed. */
struct builder_export {
	struct oci_store *store;
	struct builder_progress *progress;
	int step;			/* in the progress stream */
	const struct oci_descriptor *manifest;	/* image outputs */
	struct ib_strv names;		/* full references */
	struct oci_union *tree;		/* file outputs */
	bool clamp;			/* set all times of file outputs to epoch */
	int64_t epoch;
	const struct registry_options *registry;
	const char *created;		/* RFC 3339 time for index.json, or NULL */
};

/* Write one output. Files appear whole or not at all (a directory: file by file). */
int builder_output_write(const struct builder_output *output, const struct builder_export *export,
			 struct ib_err *err);

/* The writers, one file each. */
int builder_export_archive(const struct builder_output *output, const struct builder_export *export,
			   struct ib_err *err);
int builder_export_push(const struct builder_export *export, struct ib_err *err);
int builder_export_engine(const struct builder_export *export, struct ib_err *err);
int builder_export_tar(const struct builder_output *output, const struct builder_export *export,
		       struct ib_err *err);
int builder_export_local(const struct builder_output *output, const struct builder_export *export,
			 struct ib_err *err);

/*
 * A file that replaces dest when it is complete (temporary name beside it, fsync, rename), or standard
 * output for "-". write gets a sink for the bytes.
 */
int builder_output_file(const char *dest, int (*write)(void *ctx, oci_tar_sink *sink, void *sink_ctx,
						       struct ib_err *err),
			void *ctx, struct ib_err *err);

#endif
