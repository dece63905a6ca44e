#include "builder/dockerfile/instructions.h"

#include <ctype.h>
#include <string.h>
#include <strings.h>

#include "builder/dockerfile/duration.h"
#include "builder/dockerfile/json-form.h"
#include "builder/dockerfile/rune.h"
#include "builder/dockerfile/words.h"
#include "oci/base/alloc.h"

#include "oci/base/poison.h"

static const char *name_of(const struct dockerfile_instruction *in)
{
	return dockerfile_syntax_of(in->op)->keyword;
}

static int need_one(const struct dockerfile_instruction *in, struct ib_err *err)
{
	return ib_fail(err, IB_USAGE, "%s requires at least one argument", name_of(in));
}

/* JSON form, or else one text. */
static int parse_command(struct dockerfile_instruction *in, const char *text, char escape,
			 struct ib_err *err)
{
	int json = dockerfile_json_form(text, &in->args, err);

	(void)escape;
	if (json < 0)
		return -1;
	in->json = json;
	if (!json)
		ib_strv_add(&in->args, text);
	return 0;
}

/* JSON form, or else words. */
static int parse_list(struct dockerfile_instruction *in, const char *text, struct ib_err *err)
{
	int json = dockerfile_json_form(text, &in->args, err);

	if (json < 0)
		return -1;
	in->json = json;
	if (!json)
		dockerfile_words_plain(text, &in->args);
	return 0;
}

static bool one_of(const char *word, const char *const *words)
{
	while (*words && strcmp(*words, word) != 0)
		words++;
	return *words;
}

/* What --network and --security may say is syntax: it is checked in stages that never run, too. */
static int check_run_flags(const struct dockerfile_instruction *in, struct ib_err *err)
{
	static const char *const networks[] = {"default", "none", "host", NULL};
	static const char *const securities[] = {"sandbox", "insecure", NULL};
	const char *network = dockerfile_flag(in, "network");
	const char *security = dockerfile_flag(in, "security");

	if (network && !one_of(network, networks)) {
		ib_autofree char *shown = ib_printable(network, 100);

		return ib_fail(err, IB_USAGE, "invalid network mode \"%s\"", shown);
	}
	if (security && !one_of(security, securities)) {
		ib_autofree char *shown = ib_printable(security, 100);

		return ib_fail(err, IB_USAGE, "security \"%s\" is not valid", shown);
	}
	return 0;
}

static int parse_run(struct dockerfile_instruction *in, const char *text, char escape, struct ib_err *err)
{
	if (check_run_flags(in, err) < 0 || parse_command(in, text, escape, err) < 0)
		return -1;
	if (in->json && !in->args.n)
		return ib_fail(err, IB_USAGE, "RUN: arguments are required");
	return 0;
}

static int parse_shell(struct dockerfile_instruction *in, const char *text, char escape, struct ib_err *err)
{
	if (parse_command(in, text, escape, err) < 0)
		return -1;
	if (!*text || !in->args.n)
		return need_one(in, err);
	if (!in->json)
		return ib_fail(err, IB_USAGE, "SHELL requires the arguments to be in JSON form");
	return 0;
}

static int parse_copy(struct dockerfile_instruction *in, const char *text, char escape, struct ib_err *err)
{
	(void)escape;
	if (parse_list(in, text, err) < 0)
		return -1;
	if (in->args.n < 2)
		return ib_fail(err, IB_USAGE,
			       "%s requires at least two arguments, but only one was provided. "
			       "Destination could not be determined",
			       name_of(in));
	return 0;
}

static int parse_volume(struct dockerfile_instruction *in, const char *text, char escape,
			struct ib_err *err)
{
	(void)escape;
	if (parse_list(in, text, err) < 0)
		return -1;
	for (size_t i = 0; i < in->args.n; i++) {
		char *raw = in->args.v[i];
		const char *start = rune_skip_spaces(raw);

		if (!*start)
			return ib_fail(err, IB_USAGE, "VOLUME specified can not be an empty string");
		in->args.v[i] = ib_strndup(start, rune_trimmed_len(start, strlen(start)));
		free(raw);
	}
	return in->args.n ? 0 : need_one(in, err);
}

static int parse_expose(struct dockerfile_instruction *in, const char *text, char escape,
			struct ib_err *err)
{
	(void)escape;
	dockerfile_words_plain(text, &in->args);
	return in->args.n ? 0 : need_one(in, err);
}

static int parse_text(struct dockerfile_instruction *in, const char *text, char escape, struct ib_err *err)
{
	(void)escape;
	if (!*text)
		return ib_fail(err, IB_USAGE, "%s requires exactly one argument", name_of(in));
	ib_strv_add(&in->args, text);
	return 0;
}

static int parse_pairs(struct dockerfile_instruction *in, const char *text, char escape, struct ib_err *err)
{
	return dockerfile_words_pairs(in, name_of(in), text, escape, err);
}

/* The lower-case form of a stage's name, or NULL when it is none: [a-z][a-z0-9-_.]* */
static char *stage_name(const char *word)
{
	ib_autofree char *name = ib_strdup(word);

	for (char *p = name; *p; p++)
		*p = (char)tolower((unsigned char)*p);
	if (!islower((unsigned char)*name) ||
	    name[strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789-_.")])
		return NULL;
	return ib_steal_ptr(&name);
}

static int parse_from(struct dockerfile_instruction *in, const char *text, char escape, struct ib_err *err)
{
	ib_autostrv words = {0};
	char *name = NULL;

	(void)escape;
	dockerfile_words_plain(text, &words);
	if (words.n != 1 && (words.n != 3 || strcasecmp(words.v[1], "as") != 0))
		return ib_fail(err, IB_USAGE, "FROM requires either one or three arguments");
	if (words.n == 3 && !(name = stage_name(words.v[2]))) {
		ib_autofree char *shown = ib_printable(words.v[2], 200);

		return ib_fail(err, IB_USAGE, "invalid name for build stage: \"%s\", "
			       "name can't start with a number or contain symbols", shown);
	}
	ib_strv_add(&in->args, words.v[0]);
	if (name)
		ib_strv_take(&in->args, name);
	return 0;
}

/* The trigger's own syntax is judged when it runs: the Dockerfile that uses it may know more words. */
static int parse_onbuild(struct dockerfile_instruction *in, const char *text, char escape,
			 struct ib_err *err)
{
	ib_autofree char *keyword = ib_strndup(text, dockerfile_word_len(text));

	(void)escape;
	if (!*text)
		return need_one(in, err);
	if (strcasecmp(keyword, "ONBUILD") == 0)
		return ib_fail(err, IB_USAGE, "Chaining ONBUILD via `ONBUILD ONBUILD` isn't allowed");
	if (strcasecmp(keyword, "FROM") == 0 || strcasecmp(keyword, "MAINTAINER") == 0)
		return ib_fail(err, IB_USAGE, "%s isn't allowed as an ONBUILD trigger",
			       strcasecmp(keyword, "FROM") == 0 ? "FROM" : "MAINTAINER");
	ib_strv_add(&in->args, text);
	return 0;
}

static int check_interval(const struct dockerfile_flag *flag, struct ib_err *err)
{
	int64_t ns = 0;

	if (*flag->value && dockerfile_duration_parse(flag->value, &ns, err) < 0)
		return ib_wrap(err, "--%s", flag->name);
	if (ns != 0 && ns < 1000000)
		return ib_fail(err, IB_USAGE, "Interval \"%s\" cannot be less than 1ms", flag->name);
	return 0;
}

static int check_retries(const struct dockerfile_flag *flag, struct ib_err *err)
{
	long long n = 0;

	if (*flag->value && !ib_parse_int(flag->value, INT32_MIN, INT32_MAX, &n)) {
		ib_autofree char *shown = ib_printable(flag->value, 100);

		return ib_fail(err, IB_USAGE, "--retries: not a number: \"%s\"", shown);
	}
	if (n < 0)
		return ib_fail(err, IB_USAGE, "--retries cannot be negative (%lld)", n);
	return 0;
}

static int check_health_flags(const struct dockerfile_instruction *in, struct ib_err *err)
{
	for (size_t i = 0; i < in->n_flags; i++) {
		bool retries = strcmp(in->flags[i].name, "retries") == 0;

		if ((retries ? check_retries : check_interval)(&in->flags[i], err) < 0)
			return -1;
	}
	return 0;
}

/* "CMD" and what follows it. */
static int parse_health_command(struct dockerfile_instruction *in, const char *text, struct ib_err *err)
{
	ib_autostrv argv = {0};
	int json = dockerfile_json_form(text, &argv, err);

	if (json < 0)
		return -1;
	if (!*text || (json && !argv.n))
		return ib_fail(err, IB_USAGE, "Missing command after HEALTHCHECK CMD");
	in->json = json;
	ib_strv_add(&in->args, "CMD");
	if (!json)
		ib_strv_add(&in->args, text);
	for (size_t i = 0; i < argv.n; i++)
		ib_strv_add(&in->args, argv.v[i]);
	return check_health_flags(in, err);
}

static int parse_healthcheck(struct dockerfile_instruction *in, const char *text, char escape,
			     struct ib_err *err)
{
	size_t n = dockerfile_word_len(text);
	ib_autofree char *type = ib_strndup(text, n);
	const char *rest = text + n + dockerfile_blank_len(text + n);

	(void)escape;
	for (char *p = type; *p; p++)
		*p = (char)toupper((unsigned char)*p);
	if (!*type)
		return need_one(in, err);
	if (strcmp(type, "CMD") == 0)
		return parse_health_command(in, rest, err);
	if (strcmp(type, "NONE") != 0) {
		ib_autofree char *shown = ib_printable(type, 200);

		return ib_fail(err, IB_USAGE, "Unknown type \"%s\" in HEALTHCHECK (try CMD)", shown);
	}
	if (*rest)
		return ib_fail(err, IB_USAGE, "HEALTHCHECK NONE takes no arguments");
	ib_strv_add(&in->args, "NONE");
	return 0;
}

static const struct dockerfile_flag_spec from_flags[] = {{"platform", FLAG_STRING}};
static const struct dockerfile_flag_spec run_flags[] = {
	{"mount", FLAG_LIST}, {"network", FLAG_STRING}, {"security", FLAG_STRING}, {"device", FLAG_LIST},
};
static const struct dockerfile_flag_spec add_flags[] = {
	{"chown", FLAG_STRING}, {"chmod", FLAG_STRING}, {"link", FLAG_BOOL}, {"exclude", FLAG_LIST},
	{"keep-git-dir", FLAG_BOOL}, {"checksum", FLAG_STRING}, {"unpack", FLAG_BOOL},
};
static const struct dockerfile_flag_spec copy_flags[] = {
	{"from", FLAG_STRING}, {"chown", FLAG_STRING}, {"chmod", FLAG_STRING}, {"link", FLAG_BOOL},
	{"parents", FLAG_BOOL}, {"exclude", FLAG_LIST},
};
static const struct dockerfile_flag_spec health_flags[] = {
	{"interval", FLAG_STRING}, {"timeout", FLAG_STRING}, {"start-period", FLAG_STRING},
	{"start-interval", FLAG_STRING}, {"retries", FLAG_STRING},
};

#define FLAGS(list) .flags = (list), .n_flags = sizeof (list) / sizeof *(list)

static const struct dockerfile_syntax syntaxes[] = {	/* Dockerfile reference, in its order */
	[DOCKERFILE_FROM] = {.keyword = "FROM", .parse = parse_from, FLAGS(from_flags)},
	[DOCKERFILE_RUN] = {.keyword = "RUN", .parse = parse_run, FLAGS(run_flags), .heredocs = true},
	[DOCKERFILE_CMD] = {.keyword = "CMD", .parse = parse_command},
	[DOCKERFILE_LABEL] = {.keyword = "LABEL", .parse = parse_pairs},
	[DOCKERFILE_MAINTAINER] = {.keyword = "MAINTAINER", .parse = parse_text},
	[DOCKERFILE_EXPOSE] = {.keyword = "EXPOSE", .parse = parse_expose},
	[DOCKERFILE_ENV] = {.keyword = "ENV", .parse = parse_pairs},
	[DOCKERFILE_ADD] = {.keyword = "ADD", .parse = parse_copy, FLAGS(add_flags), .heredocs = true},
	[DOCKERFILE_COPY] = {.keyword = "COPY", .parse = parse_copy, FLAGS(copy_flags), .heredocs = true},
	[DOCKERFILE_ENTRYPOINT] = {.keyword = "ENTRYPOINT", .parse = parse_command},
	[DOCKERFILE_VOLUME] = {.keyword = "VOLUME", .parse = parse_volume},
	[DOCKERFILE_USER] = {.keyword = "USER", .parse = parse_text},
	[DOCKERFILE_WORKDIR] = {.keyword = "WORKDIR", .parse = parse_text},
	[DOCKERFILE_ARG] = {.keyword = "ARG", .parse = dockerfile_words_args, .ignores_flags = true},
	[DOCKERFILE_ONBUILD] = {.keyword = "ONBUILD", .parse = parse_onbuild},
	[DOCKERFILE_STOPSIGNAL] = {.keyword = "STOPSIGNAL", .parse = parse_text, .ignores_flags = true},
	[DOCKERFILE_HEALTHCHECK] = {.keyword = "HEALTHCHECK", .parse = parse_healthcheck,
				    FLAGS(health_flags)},
	[DOCKERFILE_SHELL] = {.keyword = "SHELL", .parse = parse_shell},
};

#define N_SYNTAXES (sizeof syntaxes / sizeof *syntaxes)

const struct dockerfile_syntax *dockerfile_syntax_of(enum dockerfile_op op)
{
	return &syntaxes[op];
}

const char *dockerfile_op_name(enum dockerfile_op op)
{
	return syntaxes[op].keyword;
}

int dockerfile_op_parse(const char *keyword, enum dockerfile_op *ret_op, struct ib_err *err)
{
	const char *names[N_SYNTAXES], *nearest;
	ib_autofree char *shown = NULL;

	for (size_t i = 0; i < N_SYNTAXES; i++) {
		names[i] = syntaxes[i].keyword;
		if (strcasecmp(names[i], keyword) != 0)
			continue;
		*ret_op = (enum dockerfile_op)i;
		return 0;
	}
	shown = ib_printable(keyword, 100);
	nearest = ib_nearest(keyword, names, N_SYNTAXES);
	ib_fail(err, IB_USAGE, "unknown instruction: %s", shown);
	return nearest ? ib_err_hint(err, " (did you mean %s?)", nearest) : -1;
}
