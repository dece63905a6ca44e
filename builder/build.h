/*
 * builder/build.h - a whole build: Dockerfile and context in, images, archives or files out.
 */
#ifndef BUILDER_BUILD_H
#define BUILDER_BUILD_H

#include <stdbool.h>

#include "builder/output/output.h"
#include "builder/plan/plan.h"
#include "builder/progress/progress.h"
#include "builder/sandbox/sandbox.h"
#include "builder/snapshot/snapshot.h"
#include "oci/compression.h"
#include "registry/registry.h"

/* All of one build. Strings are borrowed for the call. */
struct builder_build_options {
	const char *context;		/* directory */
	const char *dockerfile;		/* path; NULL: Dockerfile or dockerfile in the context; "-": stdin */
	struct ib_strv build_args;	/* "K=V" */
	struct ib_strv labels;		/* "K=V" or "K" */
	struct ib_strv tags;		/* as typed */
	const char *target;
	struct oci_platform platform;
	bool no_cache, pull;
	enum plan_network network;
	struct oci_compression_setting compression;
	enum builder_snapshotter snapshotter;
	size_t threads;			/* 0: one per processor */
	bool keep_times;		/* SOURCE_DATE_EPOCH does not bound the times of files */
	const struct builder_output *outputs;
	size_t n_outputs;
	struct registry_options registry;
	const char *iidfile, *metadata_file;	/* NULL: none */
};

/* What a build needs of its surroundings; borrowed. */
struct builder_build_env {
	struct oci_store *store;
	struct builder_progress *progress;
	struct sandbox_launcher *launcher;	/* NULL: RUN is refused with no_run_reason */
	const char *no_run_reason;
};

struct builder_build_result {
	bool has_image;
	struct oci_descriptor manifest;	/* of the image that was made */
	struct oci_digest config;
	char *excerpt;	/* after a failure: the lines at fault, for people; NULL when there are none */
};

void builder_build_result_done(struct builder_build_result *result);

/*
 * Build. ret_result is filled in part even on failure and is done by the caller. Names are set and files
 * appear only once everything they stand for is complete.
 */
int builder_build(const struct builder_build_env *env, const struct builder_build_options *options,
		  struct builder_build_result *ret_result, struct ib_err *err);

#endif
