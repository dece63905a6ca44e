#include "builder/output/output.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "oci/base/alloc.h"
#include "oci/base/str.h"

#include "oci/base/poison.h"

static const struct {
	const char *name;
	enum builder_output_type type;
} types[] = {
	{"image", BUILDER_OUTPUT_IMAGE},
	{"registry", BUILDER_OUTPUT_REGISTRY},
	{"oci", BUILDER_OUTPUT_OCI},
	{"docker", BUILDER_OUTPUT_DOCKER},
	{"tar", BUILDER_OUTPUT_TAR},
	{"local", BUILDER_OUTPUT_LOCAL},
	{"cacheonly", BUILDER_OUTPUT_CACHE_ONLY},
};

void builder_output_done(struct builder_output *output)
{
	free(output->dest);
	ib_strv_done(&output->names);
	*output = (struct builder_output){0};
}

/* What one --output says before it is put together. */
struct parsing {
	struct builder_output *output;
	bool has_type;
	char *compression, *level;
	int rewrite;
};

static int parse_bool(const char *key, const char *value, bool *ret, struct ib_err *err)
{
	ib_autofree char *shown = NULL;

	if (strcmp(value, "true") == 0 || strcmp(value, "1") == 0 || strcmp(value, "false") == 0 ||
	    strcmp(value, "0") == 0) {
		*ret = value[0] == 't' || value[0] == '1';
		return 0;
	}
	shown = ib_printable(value, 64);
	return ib_fail(err, IB_USAGE, "--output: %s=%s is neither true nor false", key, shown);
}

static int parse_type(struct parsing *p, const char *value, struct ib_err *err)
{
	const char *names[sizeof types / sizeof *types];
	ib_autofree char *shown = NULL;
	const char *nearest;

	for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
		names[i] = types[i].name;
		if (strcmp(value, types[i].name) == 0) {
			p->output->type = types[i].type;
			p->has_type = true;
			return 0;
		}
	}
	shown = ib_printable(value, 64);
	ib_fail(err, IB_USAGE, "--output: unknown type '%s'", shown);
	nearest = ib_nearest(value, names, sizeof types / sizeof *types);
	return nearest ? ib_err_hint(err, " (did you mean %s?)", nearest) : -1;
}

static int parse_names(struct parsing *p, const char *value)
{
	ib_autofree char *copy = ib_strdup(value);
	char *save = NULL;

	for (char *name = strtok_r(copy, ",", &save); name; name = strtok_r(NULL, ",", &save))
		ib_strv_add(&p->output->names, name);
	return 0;
}

static int parse_field(struct parsing *p, const char *key, const char *value, struct ib_err *err)
{
	static const char *const keys[] = {"type", "dest", "name", "push", "tar", "compression",
					   "compression-level", "rewrite-timestamp", "oci-mediatypes"};
	bool flag;

	if (strcmp(key, "type") == 0)
		return parse_type(p, value, err);
	if (strcmp(key, "name") == 0)
		return parse_names(p, value);
	if (strcmp(key, "dest") == 0) {
		free(p->output->dest);
		p->output->dest = ib_strdup(value);
		return 0;
	}
	if (strcmp(key, "compression") == 0 || strcmp(key, "compression-level") == 0) {
		char **field = key[11] ? &p->level : &p->compression;

		free(*field);
		*field = ib_strdup(value);
		return 0;
	}
	if (strcmp(key, "push") == 0)
		return parse_bool(key, value, &p->output->push, err);
	if (strcmp(key, "tar") == 0) {
		if (parse_bool(key, value, &flag, err) < 0)
			return -1;
		p->output->directory = !flag;
		return 0;
	}
	if (strcmp(key, "rewrite-timestamp") == 0) {
		if (parse_bool(key, value, &flag, err) < 0)
			return -1;
		p->rewrite = flag;
		return 0;
	}
	if (strcmp(key, "oci-mediatypes") == 0) {
		if (parse_bool(key, value, &flag, err) < 0)
			return -1;
		return flag ? 0 : ib_fail(err, IB_UNSUPPORTED, "--output: oci-mediatypes=false is not built in "
					  "this version");
	}
	ib_autofree char *shown = ib_printable(key, 64);
	const char *nearest = ib_nearest(key, keys, sizeof keys / sizeof *keys);

	ib_fail(err, IB_USAGE, "--output: unknown key '%s'", shown);
	return nearest ? ib_err_hint(err, " (did you mean %s?)", nearest) : -1;
}

/* One field of a CSV record; "" inside quotes is a quote. Returns what follows, NULL at the end. */
static const char *csv_field(const char *p, struct ib_str *field)
{
	bool quoted = *p == '"';

	ib_str_reset(field);
	if (quoted)
		p++;
	while (*p && (quoted || *p != ',')) {
		if (quoted && *p == '"') {
			if (p[1] != '"') {
				quoted = false;
				p++;
				continue;
			}
			p++;
		}
		ib_str_addc(field, *p++);
	}
	return *p == ',' ? p + 1 : NULL;
}

static int parse_fields(struct parsing *p, const char *text, struct ib_err *err)
{
	ib_autostr field = IB_STR(65536);

	for (const char *next = text; next;) {
		ib_autofree char *shown = NULL;
		char *eq;

		next = csv_field(next, &field);
		eq = field.s ? strchr(field.s, '=') : NULL;
		if (!eq) {
			shown = ib_printable(field.s ? field.s : "", 64);
			return ib_fail(err, IB_USAGE, "--output: invalid field '%s' must be a key=value pair",
				       shown);
		}
		*eq = '\0';
		if (parse_field(p, field.s, eq + 1, err) < 0)
			return -1;
	}
	if (!p->has_type)
		return ib_fail(err, IB_USAGE, "--output: type is required, as in type=oci,dest=FILE");
	return 0;
}

static int check(const struct builder_output *output, struct ib_err *err)
{
	bool needs_dest = output->type == BUILDER_OUTPUT_OCI || output->type == BUILDER_OUTPUT_TAR ||
			  output->type == BUILDER_OUTPUT_LOCAL;
	bool is_directory = output->type == BUILDER_OUTPUT_LOCAL || output->directory;

	if (needs_dest && !output->dest)
		return ib_fail(err, IB_USAGE, "--output: dest is required for this type, as in dest=PATH");
	if (output->dest && is_directory && strcmp(output->dest, "-") == 0)
		return ib_fail(err, IB_USAGE, "--output: a directory can't be written to standard output");
	if (output->directory && output->type != BUILDER_OUTPUT_OCI)
		return ib_fail(err, IB_UNSUPPORTED, "--output: tar=false is for type=oci only");
	if (output->push && output->type != BUILDER_OUTPUT_IMAGE)
		return ib_fail(err, IB_USAGE, "--output: push=true is for type=image only");
	return 0;
}

int builder_output_parse(const char *text, struct builder_output *ret_output, char **ret_compression,
			 int *ret_rewrite, struct ib_err *err)
{
	IB_CLEANUP(builder_output_done) struct builder_output output = {0};
	struct parsing p = {.output = &output, .rewrite = -1};
	int r = 0;

	if (strcmp(text, "-") == 0) {
		output.type = BUILDER_OUTPUT_TAR;
		output.dest = ib_strdup("-");
	} else if (!strchr(text, '=')) {
		output.type = BUILDER_OUTPUT_LOCAL;
		output.dest = ib_strdup(text);
	} else {
		r = parse_fields(&p, text, err);
	}
	if (r == 0)
		r = check(&output, err);
	*ret_compression = NULL;
	if (r == 0 && p.level && !p.compression)
		p.compression = ib_strdup("gzip");
	if (r == 0 && p.compression)
		*ret_compression = p.level ? ib_asprintf("%s:%s", p.compression, p.level) :
				   ib_strdup(p.compression);
	*ret_rewrite = p.rewrite;
	free(p.compression);
	free(p.level);
	if (r < 0)
		return -1;
	*ret_output = output;
	output = (struct builder_output){0};
	return 0;
}

bool builder_output_needs_image(const struct builder_output *output)
{
	return output->type != BUILDER_OUTPUT_TAR && output->type != BUILDER_OUTPUT_LOCAL &&
	       output->type != BUILDER_OUTPUT_CACHE_ONLY;
}

bool builder_output_needs_docker_layers(const struct builder_output *output)
{
	return output->type == BUILDER_OUTPUT_DOCKER;
}

bool builder_output_writes_stdout(const struct builder_output *output)
{
	return output->dest && strcmp(output->dest, "-") == 0;
}

static int name_in_store(const struct builder_export *export, struct ib_err *err)
{
	if (!export->names.n)
		return 0;
	return oci_store_name_set(export->store, (const char *const *)export->names.v, export->names.n,
				  export->manifest, err);
}

int builder_output_write(const struct builder_output *output, const struct builder_export *export,
			 struct ib_err *err)
{
	switch (output->type) {
	case BUILDER_OUTPUT_IMAGE:
	case BUILDER_OUTPUT_REGISTRY:
		if (name_in_store(export, err) < 0)
			return -1;
		if (output->type == BUILDER_OUTPUT_REGISTRY || output->push)
			return builder_export_push(export, err);
		return 0;
	case BUILDER_OUTPUT_OCI:
		return builder_export_archive(output, export, err);
	case BUILDER_OUTPUT_DOCKER:
		return output->dest ? builder_export_archive(output, export, err) :
				      builder_export_engine(export, err);
	case BUILDER_OUTPUT_TAR:
		return builder_export_tar(output, export, err);
	case BUILDER_OUTPUT_LOCAL:
		return builder_export_local(output, export, err);
	case BUILDER_OUTPUT_CACHE_ONLY:
		return 0;
	}
	return 0;
}
