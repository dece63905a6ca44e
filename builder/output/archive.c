/* type=oci, type=docker: archives, into a file or into a Docker engine. */
#include "oci/archive.h"

#include "builder/output/output.h"
#include "registry/docker-engine.h"

#include "oci/base/poison.h"

struct writing {
	const struct builder_output *output;
	const struct builder_export *export;
	struct oci_archive_image image;
};

static int write_archive(void *ctx, oci_tar_sink *sink, void *sink_ctx, struct ib_err *err)
{
	const struct writing *w = ctx;

	return oci_archive_export(w->export->store, &w->image, 1, w->output->type == BUILDER_OUTPUT_DOCKER, sink,
				  sink_ctx, err);
}

int builder_export_archive(const struct builder_output *output, const struct builder_export *export,
			   struct ib_err *err)
{
	ib_autojson *annotations = ib_json_object();
	struct writing w = {
		.output = output,
		.export = export,
		.image = {
			.desc = export->manifest,
			.names = (const char *const *)export->names.v,
			.n_names = export->names.n,
			.annotations = annotations,
		},
	};

	if (export->created)
		ib_json_set(annotations, "org.opencontainers.image.created", ib_json_string(export->created));
	if (output->directory)
		return oci_layout_export(export->store, &w.image, 1, output->dest, err);
	return builder_output_file(output->dest, write_archive, &w, err);
}

int builder_export_engine(const struct builder_export *export, struct ib_err *err)
{
	const struct oci_archive_image image = {
		.desc = export->manifest,
		.names = (const char *const *)export->names.v,
		.n_names = export->names.n,
	};

	return registry_engine_load(export->store, &image, err);
}
