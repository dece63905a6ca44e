/*
 * builder/plan/plan.h - from instructions to steps: stages and what they need of each other, variables
 * expanded, image configuration and history computed, everything that touches files left as a list of
 * steps to be done (Dockerfile reference; configuration and history as BuildKit writes them).
 *
 * Planning runs nothing and reads no files. It asks for base images through plan_options.base, because
 * ENV, ONBUILD, SHELL, USER and WORKDIR of a base count.
 */
#ifndef BUILDER_PLAN_PLAN_H
#define BUILDER_PLAN_PLAN_H

#include <stdbool.h>

#include "builder/dockerfile/dockerfile.h"
#include "builder/plan/scope.h"
#include "oci/config.h"
#include "oci/platform.h"

#define PLAN_NO_STAGE ((size_t)-1)

enum plan_step_kind { PLAN_RUN, PLAN_COPY, PLAN_ADD, PLAN_WORKDIR };

enum plan_source { PLAN_FROM_CONTEXT, PLAN_FROM_STAGE, PLAN_FROM_IMAGE };

enum plan_network { PLAN_NETWORK_DEFAULT, PLAN_NETWORK_NONE, PLAN_NETWORK_HOST };

/* A file whose content stands in the Dockerfile. */
struct plan_inline_file {
	char *name, *content;
};

/* One step that makes a layer. */
struct plan_step {
	enum plan_step_kind kind;
	int line, end_line;	/* of the instruction, for excerpts; of FROM for a trigger */
	char *text;		/* after expansion, for people: "RUN make", "COPY a /b" */
	size_t history;		/* index of its entry in the stage's config */

	/* RUN */
	struct ib_strv argv;	/* shell included */
	struct ib_strv env;
	struct ib_strv proxies;	/* proxy variables given as build arguments: not part of the cache key */
	enum plan_network network;
	char *cwd;		/* absolute */
	char *user;		/* RUN, WORKDIR: as USER has it; NULL when none */

	/* COPY, ADD */
	enum plan_source from;
	size_t from_stage;	/* PLAN_FROM_STAGE */
	size_t from_image;	/* PLAN_FROM_IMAGE: index into plan.images */
	struct ib_strv sources;
	struct plan_inline_file *inline_files;
	size_t n_inline_files;
	char *dest;		/* absolute, uncleaned; also WORKDIR's directory */
	char *chown, *chmod;	/* NULL when none */
};

/* A base image, asked for once per reference and platform. */
struct plan_image {
	char *name;		/* as written, expanded */
	struct oci_platform platform;
	void *handle;		/* the answer of plan_options.base: whoever gave it owns it */
	const struct oci_config *config;	/* borrowed from it */
	bool full;		/* its files are or may be needed: it is somebody's base or source */
};

enum plan_base { PLAN_BASE_SCRATCH, PLAN_BASE_STAGE, PLAN_BASE_IMAGE };

struct plan_stage {
	size_t index;
	char *name;		/* lower case; NULL when it has none */
	const struct dockerfile_instruction *from;
	const struct dockerfile_instruction *instructions;	/* those after FROM */
	size_t n_instructions;

	enum plan_base base;
	size_t base_stage;
	size_t base_image;
	char *base_name;	/* expanded */
	struct oci_platform platform;

	bool needed;		/* for the target; only these have what follows */
	struct dockerfile_instruction **triggers;	/* ONBUILD of the base, parsed */
	size_t n_triggers;
	struct oci_config *config;	/* diff IDs and times of new layers are still to be filled in */
	size_t base_history;	/* entries that came with the base image or base stage */
	struct plan_step *steps;
	size_t n_steps, cap_steps;

	/* state at the end, from which a stage built on this one goes on */
	struct plan_scope *scope;
	struct plan_scope *args;	/* names of ARGs so far, values unused */
};

struct plan_options {
	const struct ib_strv *build_args;	/* "K=V" */
	const char *target;		/* NULL: the last stage */
	const struct ib_strv *labels;	/* "K=V" or "K" */
	const struct oci_platform *platform;
	const struct oci_platform *build_platform;
	enum plan_network network;

	/*
	 * Find an image: *ret_handle and *ret_config stay valid as long as the plan is used. Errors are
	 * wrapped with the place in the Dockerfile.
	 */
	int (*base)(void *ctx, const char *name, const struct oci_platform *platform, void **ret_handle,
		    const struct oci_config **ret_config, struct ib_err *err);
	void *ctx;
};

struct plan {
	const struct dockerfile *df;
	const struct plan_options *options;
	struct plan_scope *global;	/* platform arguments and ARGs before the first FROM */
	struct plan_stage *stages;
	size_t n_stages;
	size_t target;
	struct plan_image *images;
	size_t n_images, cap_images;
	bool has_epoch;			/* SOURCE_DATE_EPOCH was given as build or global argument */
	int64_t epoch;
	int failed_line, failed_end_line;	/* of the instruction at fault, 0: none */
};

/*
 * Plan a whole build. df and options outlive the plan. Fails with IB_USAGE for what the Dockerfile does
 * wrong, and with whatever options->base fails with. *ret_plan is set even then, with failed_line, as
 * long as it is not NULL: the caller frees it.
 */
int plan_new(const struct dockerfile *df, const struct plan_options *options, struct plan **ret_plan,
	     struct ib_err *err);
void plan_free(struct plan *plan);
IB_DEFINE_FREE(plan);

/* "build", or "stage-1" for one without a name. The caller's. */
char *plan_stage_display_name(const struct plan_stage *stage);

#endif
