/* RUN and WORKDIR. */
#include <string.h>
#include <strings.h>

#include "builder/plan/plan-internal.h"
#include "oci/base/alloc.h"

#include "oci/base/poison.h"

#define HISTORY_MAX (64u << 20)	/* ARGs, each up to an expanded value, and a heredoc */

#define SCRIPT_DIR "/dev/pipes/"	/* where BuildKit puts the script of a heredoc that begins with #! */

static int check_flags(const struct plan_eval *eval, struct ib_err *err)
{
	static const char *const absent[] = {"mount", "security", "device"};

	for (size_t i = 0; i < sizeof absent / sizeof *absent; i++)
		if (dockerfile_flag(eval->instruction, absent[i]))
			return ib_fail(err, IB_UNSUPPORTED, "RUN --%s is not built in this version",
				       absent[i]);
	return 0;
}

static int read_network(const struct plan_eval *eval, enum plan_network *ret_network, struct ib_err *err)
{
	const char *mode = dockerfile_flag(eval->instruction, "network");
	ib_autofree char *shown = NULL;

	*ret_network = eval->plan->options->network;
	if (!mode || strcmp(mode, "default") == 0)
		return 0;
	if (strcmp(mode, "none") == 0) {
		*ret_network = PLAN_NETWORK_NONE;
		return 0;
	}
	if (strcmp(mode, "host") != 0) {
		shown = ib_printable(mode, 64);
		return ib_fail(err, IB_USAGE, "invalid network mode \"%s\"", shown);
	}
	if (*ret_network != PLAN_NETWORK_HOST)
		return ib_fail(err, IB_DENIED, "network.host is not allowed; build with --network host to allow it");
	return 0;
}

/*
 * The shell's text. One heredoc alone is the command itself; with anything around it the shell reads the
 * heredocs, so it gets the line, each body, and each end word.
 */
static char *command_text(const struct dockerfile_instruction *instruction, struct plan_step *step)
{
	const struct dockerfile_heredoc *doc = instruction->heredocs;
	ib_autostr text = IB_STR(BUILDER_DOCKERFILE_MAX_BYTES);

	if (instruction->lone_heredoc) {
		ib_autofree char *body = dockerfile_heredoc_text(doc);

		if (strncmp(body, "#!", 2) != 0)
			return ib_steal_ptr(&body);
		step->inline_files = ib_new(struct plan_inline_file);
		step->n_inline_files = 1;
		step->inline_files->name = ib_strdup(doc->name);
		step->inline_files->content = ib_steal_ptr(&body);
		return ib_asprintf(SCRIPT_DIR "%s", doc->name);
	}
	ib_str_adds(&text, instruction->args.v[0]);
	for (size_t i = 0; i < instruction->n_heredocs; i++)
		ib_str_addf(&text, "\n%s%s", doc[i].body, doc[i].name);
	return ib_str_steal(&text);
}

/* "|2 A=1 B= " in front of the command: the ARGs declared so far, with what they are now. */
static void add_args(const struct plan_eval *eval, struct ib_str *history)
{
	ib_autostrv names = {0};

	plan_scope_names(eval->stage->args, &names);
	if (names.n)
		ib_str_addf(history, "|%zu ", names.n);
	for (size_t i = 0; i < names.n; i++) {
		const char *value = plan_scope_get(eval->stage->scope, names.v[i]);

		ib_str_addf(history, "%s=%s ", names.v[i], value ? value : "");
	}
}

/*
 * Proxy variables given as --build-arg reach the process in both cases without ARG. Those declared by ARG
 * are variables like any other.
 */
static void add_proxies(const struct plan_eval *eval, struct ib_strv *proxies)
{
	static const char *const names[] = {"HTTP_PROXY", "HTTPS_PROXY", "FTP_PROXY", "NO_PROXY", "ALL_PROXY"};

	for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
		ib_autofree char *lower = ib_strdup(names[i]);
		const char *value = plan_build_arg(eval->plan, names[i]);

		for (char *p = lower; *p; p++)
			*p = *p == '_' ? '_' : (char)(*p | 0x20);
		if (!value)
			value = plan_build_arg(eval->plan, lower);
		if (!value)
			continue;
		if (!plan_scope_get(eval->stage->scope, names[i]))
			ib_strv_take(proxies, ib_asprintf("%s=%s", names[i], value));
		if (!plan_scope_get(eval->stage->scope, lower))
			ib_strv_take(proxies, ib_asprintf("%s=%s", lower, value));
	}
}

static void fill_process(const struct plan_eval *eval, struct plan_step *step)
{
	const struct oci_config *config = eval->stage->config;

	plan_scope_env(eval->stage->scope, &step->env);
	add_proxies(eval, &step->proxies);
	step->cwd = plan_path_clean(config->working_dir ? config->working_dir : "/");
	step->user = ib_strdup_null(config->user);
}

int plan_run(struct plan_eval *eval, struct ib_err *err)
{
	const struct dockerfile_instruction *instruction = eval->instruction;
	ib_autostr history = IB_STR(HISTORY_MAX), command = IB_STR(HISTORY_MAX);
	ib_autofree char *text = ib_asprintf("RUN %s", instruction->original);
	struct plan_step *step;

	if (check_flags(eval, err) < 0)
		return -1;
	step = plan_step_add(eval, PLAN_RUN, text);
	if (read_network(eval, &step->network, err) < 0)
		return -1;
	if (instruction->json)
		ib_strv_copy(&step->argv, &instruction->args);
	else
		plan_shell_argv(eval, &step->argv);
	if (!instruction->json)
		ib_strv_take(&step->argv, command_text(instruction, step));
	fill_process(eval, step);
	for (size_t i = 0; i < step->argv.n; i++)
		ib_str_addf(&command, "%s%s", i ? " " : "", step->argv.v[i]);
	ib_str_adds(&history, "RUN ");
	add_args(eval, &history);
	ib_str_addf(&history, "%s # buildkit", command.s);
	step->history = plan_history(eval, ib_str_steal(&history), false);
	return 0;
}

static char *join_workdir(const char *base, const char *path)
{
	ib_autofree char *joined = NULL;

	if (!*path)
		return ib_strdup(base && *base ? base : "/");
	if (*path == '/')
		return ib_strdup(path);	/* stored as written */
	joined = ib_asprintf("%s/%s", base ? base : "", path);
	return plan_path_clean(joined);
}

int plan_workdir(struct plan_eval *eval, struct ib_err *err)
{
	struct oci_config *config = eval->stage->config;
	ib_autofree char *path = NULL, *text = NULL;
	struct plan_step *step;
	char *joined;

	if (plan_expand(eval, eval->instruction->args.v[0], &path, err) < 0)
		return -1;
	joined = join_workdir(config->working_dir, path);
	free(config->working_dir);
	config->working_dir = joined;
	text = ib_asprintf("WORKDIR %s", joined);
	if (strcmp(joined, "/") == 0) {
		plan_history(eval, ib_steal_ptr(&text), true);
		return 0;
	}
	step = plan_step_add(eval, PLAN_WORKDIR, text);
	step->dest = ib_strdup(joined);
	step->user = ib_strdup_null(config->user);
	step->history = plan_history(eval, ib_steal_ptr(&text), false);
	return 0;
}
