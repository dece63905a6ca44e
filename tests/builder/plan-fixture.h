/*
 * tests/builder/plan-fixture.h - a Dockerfile as text, planned on base images that are JSON.
 */
#ifndef TESTS_BUILDER_PLAN_FIXTURE_H
#define TESTS_BUILDER_PLAN_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "builder/plan/plan.h"
#include "oci/base/alloc.h"

#define PLAN_UNUSED __attribute__((unused))

#define PLAN_DIFF_ID "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"

/* name -> the "config" of its configuration; all have one layer and one history entry, "BASE". */
static const char *const plan_images[][2] = {
	{"base", "\"Env\":[\"PATH=/bin\",\"A=base\"],\"Cmd\":[\"sh\"],\"WorkingDir\":\"/home\""},
	{"bare", "\"Labels\":{}"},
	{"entry", "\"Entrypoint\":[\"/e\"],\"Cmd\":[\"c\"],\"User\":\"7\",\"Shell\":[\"/bin/bash\",\"-c\"]"},
	{"onbuild", "\"OnBuild\":[\"ENV O=1\",\"COPY $O /o\",\"RUN make\"]"},
	{"onbuild-from-stage", "\"OnBuild\":[\"COPY --from=tools /t /t\"]"},
	{"onbuild-bad", "\"OnBuild\":[\"NONSENSE\"]"},
	{"onbuild-from", "\"OnBuild\":[\"FROM base\"]"},
	{"onbuild-chain", "\"OnBuild\":[\"ONBUILD RUN x\"]"},
	{"onbuild-empty", "\"OnBuild\":[\"\"]"},
	{"exposing", "\"ExposedPorts\":{\"90/tcp\":{}},\"Volumes\":{\"/z\":{}},\"Labels\":{\"k\":\"base\",\"z\":\"1\"}"},
	{"checked", "\"Healthcheck\":{\"Test\":[\"CMD\",\"x\"],\"Interval\":1000000000}"},
};

#define PLAN_IMAGES (sizeof plan_images / sizeof *plan_images)

/* What is planned, and with what. */
struct plan_case {
	const char *dockerfile;
	const char *args;	/* build arguments, blank between; NULL: none */
	const char *target;
	const char *labels;	/* as args */
	enum plan_network network;
};

struct planned {
	struct dockerfile *df;
	struct plan_options options;
	struct ib_strv args, labels;
	struct oci_platform platform;
	struct oci_config *configs[PLAN_IMAGES];
	size_t asked;		/* how many times for an image */
	struct plan *plan;
	struct ib_err err;
	int r;
};

static int plan_base_image(void *ctx, const char *name, const struct oci_platform *platform, void **ret_handle,
			   const struct oci_config **ret_config, struct ib_err *err)
{
	struct planned *p = ctx;

	(void)platform;
	p->asked++;
	for (size_t i = 0; i < PLAN_IMAGES; i++) {
		ib_autofree char *json = ib_asprintf(
			"{\"architecture\":\"amd64\",\"os\":\"linux\",\"config\":{%s},\"created\":\"2020-01-01T00:00:00Z\","
			"\"history\":[{\"created\":\"2020-01-01T00:00:00Z\",\"created_by\":\"BASE\"}],"
			"\"rootfs\":{\"type\":\"layers\",\"diff_ids\":[\"" PLAN_DIFF_ID "\"]}}", plan_images[i][1]);

		if (strcmp(plan_images[i][0], name) != 0)
			continue;
		if (!p->configs[i] && oci_config_parse(json, strlen(json), &p->configs[i], err) < 0)
			return -1;
		*ret_handle = p->configs[i];
		*ret_config = p->configs[i];
		return 0;
	}
	return ib_fail(err, IB_NOTFOUND, "no image %s", name);
}

static void plan_split(const char *text, struct ib_strv *list)
{
	ib_autofree char *copy = ib_strdup(text ? text : "");
	char *save = NULL;

	for (char *word = strtok_r(copy, " ", &save); word; word = strtok_r(NULL, " ", &save))
		ib_strv_add(list, word);
}

/* In place: the plan points into it. p->r and p->err say how it went. */
PLAN_UNUSED static void planned_init(struct planned *p, const struct plan_case *c)
{
	*p = (struct planned){0};
	plan_split(c->args, &p->args);
	plan_split(c->labels, &p->labels);
	assert_int_equal(oci_platform_parse("linux/amd64", &p->platform, &p->err), 0);
	p->options = (struct plan_options){
		.build_args = &p->args,
		.target = c->target,
		.labels = &p->labels,
		.platform = &p->platform,
		.build_platform = &p->platform,
		.network = c->network,
		.base = plan_base_image,
		.ctx = p,
	};
	p->r = dockerfile_parse(c->dockerfile, strlen(c->dockerfile), "D", &p->df, &p->err);
	if (p->r == 0)
		p->r = plan_new(p->df, &p->options, &p->plan, &p->err);
}

PLAN_UNUSED static void planned_done(struct planned *p)
{
	plan_free(p->plan);
	dockerfile_free(p->df);
	for (size_t i = 0; i < PLAN_IMAGES; i++)
		oci_config_free(p->configs[i]);
	ib_strv_done(&p->args);
	ib_strv_done(&p->labels);
	oci_platform_done(&p->platform);
	ib_err_clear(&p->err);
}

PLAN_UNUSED static const struct plan_stage *planned_target(const struct planned *p)
{
	return &p->plan->stages[p->plan->target];
}

/* History after "BASE", a line each; what makes a layer has "+" in front. The caller's. */
PLAN_UNUSED static char *planned_history(const struct planned *p)
{
	const struct oci_config *config = planned_target(p)->config;
	struct ib_str out = IB_STR(1u << 20);

	for (size_t i = 0; i < config->n_history; i++) {
		const struct oci_history *h = &config->history[i];

		if (strcmp(h->created_by, "BASE") == 0)
			continue;
		assert_string_equal(h->comment, "buildkit.dockerfile.v0");
		ib_str_addf(&out, "%s%s\n", h->empty_layer ? "" : "+", h->created_by);
	}
	return ib_str_steal(&out);
}

/* The "config" of the configuration as it is written. The caller's. */
PLAN_UNUSED static char *planned_config(const struct planned *p)
{
	size_t n;
	ib_autofree char *json = oci_config_write(planned_target(p)->config, &n);
	const char *begin = strstr(json, "\"config\":{"), *end;

	assert_non_null(begin);
	begin += strlen("\"config\":");
	end = strstr(begin, ",\"created\"");
	if (!end)
		end = strstr(begin, ",\"history\"");
	assert_non_null(end);
	return ib_strndup(begin, (size_t)(end - begin));
}

#endif
