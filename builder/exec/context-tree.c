#include "builder/context/context.h"
#include "builder/exec/copy.h"

#include "oci/base/poison.h"

struct exec_tree exec_context_tree(const struct builder_context *context)
{
	return (struct exec_tree){
		.tree = context->tree,
		.ignore = context->ignore,
		.context = true,
		.stat_cache_dir = context->stat_cache_dir,
		.identity = context->path,
	};
}
