/*
 * builder/context/context.h - a build context: a local directory and its ignore file (Dockerfile reference,
 * ".dockerignore files").
 *
 * <Dockerfile path>.dockerignore beside the Dockerfile takes the place of .dockerignore in the directory.
 */
#ifndef BUILDER_CONTEXT_CONTEXT_H
#define BUILDER_CONTEXT_CONTEXT_H

#include "builder/context/pattern.h"
#include "oci/union.h"

#define BUILDER_IGNORE_MAX_BYTES (16u << 20)

struct builder_context {
	char *path;			/* absolute, links resolved */
	struct oci_union *tree;
	struct builder_ignore *ignore;	/* NULL: there is no ignore file */
	char *ignore_name;		/* its path, as it is shown; NULL likewise */
	char *stat_cache_dir;		/* NULL: none */
};

/*
 * Open the directory at path. dockerfile is the path of the Dockerfile, NULL when it is no file (stdin) or
 * the directory is a further context. stat_cache_dir (absolute) may be NULL. Fails with IB_USAGE: "context
 * 'x': no such directory", "... is not a directory", a bad pattern in the ignore file.
 */
int builder_context_open(const char *path, const char *dockerfile, const char *stat_cache_dir,
			 struct builder_context **ret_context, struct ib_err *err);
void builder_context_free(struct builder_context *context);
IB_DEFINE_FREE(builder_context);

#endif
