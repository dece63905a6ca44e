/*
 * builder/plan/plan-internal.h - shared by the files of plan/.
 */
#ifndef BUILDER_PLAN_PLAN_INTERNAL_H
#define BUILDER_PLAN_PLAN_INTERNAL_H

#include "builder/plan/plan.h"

/* What one stage's evaluation carries from instruction to instruction. */
struct plan_eval {
	struct plan *plan;
	struct plan_stage *stage;
	const struct dockerfile_instruction *instruction;	/* the one at work */
	bool trigger;		/* it comes from ONBUILD of the base */
	bool has_cmd;		/* CMD was seen in this stage: ENTRYPOINT keeps it */
};

/* Record where it went wrong and put "NAME:LINE" in front. Returns -1. */
int plan_fail_at(struct plan *plan, const struct dockerfile_instruction *instruction, struct ib_err *err);

/* The stage of that name among the first `before` ones, the latest one; PLAN_NO_STAGE when there is none. */
size_t plan_find_stage(const struct plan *plan, const char *name, size_t before);

/* The stage whose name is nearest to what was written, NULL if none is near. Borrowed. */
const char *plan_nearest_stage(const struct plan *plan, const char *name);

/* The image of that name for that platform, asked for when new. */
int plan_image_get(struct plan *plan, const char *name, const struct oci_platform *platform, size_t *ret_index,
		   struct ib_err *err);

/* graph.c: stages, bases, target, who is needed. */
int plan_graph(struct plan *plan, struct ib_err *err);

/* Where --from points; stage is the one that asks. PLAN_FROM_IMAGE sets *ret_image_name (caller's). */
int plan_from_resolve(struct plan *plan, const struct plan_stage *stage, const char *from,
		      enum plan_source *ret_kind, size_t *ret_stage, char **ret_image_name, struct ib_err *err);

/* evaluate.c: one needed stage, its base being evaluated. */
int plan_stage_evaluate(struct plan *plan, struct plan_stage *stage, struct ib_err *err);

/* global.c: platform arguments, ARGs before FROM, SOURCE_DATE_EPOCH. */
int plan_global(struct plan *plan, struct ib_err *err);

/* The value of --build-arg name, or NULL. Borrowed. */
const char *plan_build_arg(const struct plan *plan, const char *name);

/* Expand a word in the stage's scope. *ret_text is the caller's. */
int plan_expand(const struct plan_eval *eval, const char *word, char **ret_text, struct ib_err *err);

/* One function per instruction; each is called once with eval->instruction of its kind. */
typedef int plan_instruction_fn(struct plan_eval *eval, struct ib_err *err);

plan_instruction_fn plan_arg, plan_env, plan_label, plan_maintainer, plan_expose, plan_user, plan_volume,
	plan_cmd, plan_entrypoint, plan_shell, plan_healthcheck, plan_stopsignal, plan_onbuild, plan_run,
	plan_copy, plan_workdir;

/* Append a history entry; created_by is taken. Returns its index. */
size_t plan_history(struct plan_eval *eval, char *take_created_by, bool empty_layer);

/* A new step of this kind with place and text filled in; borrowed until the next one. */
struct plan_step *plan_step_add(struct plan_eval *eval, enum plan_step_kind kind, const char *text);
void plan_step_done(struct plan_step *step);

/* The shell in force. */
void plan_shell_argv(const struct plan_eval *eval, struct ib_strv *argv);

/* Append s as a Go-quoted string: "..." with \" and \\ and escapes for what does not print. */
void plan_quote(struct ib_str *out, const char *s);

/* Nanoseconds as Go prints them: "1m30s". */
void plan_duration_print(int64_t ns, struct ib_str *out);

/* 0 when the text names a signal as docker accepts it. */
int plan_signal_check(const char *text, struct ib_err *err);

/* Join a path to WORKDIR without cleaning its end; cleaned form for WORKDIR itself. The caller's. */
char *plan_path_clean(const char *path);	/* absolute, lexically cleaned, "/" at least */

#endif
