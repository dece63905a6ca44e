#include "builder/cli/options.h"

#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "oci/base/alloc.h"

#include "oci/base/poison.h"

static void print_help(const struct cli_command *command, const struct cli_option *options, size_t n)
{
	printf("usage: imgbuild %s %s\n\n%s\n", command->name, command->usage, command->help);
	if (n)
		printf("\noptions:\n");
	for (size_t i = 0; i < n; i++) {
		ib_autofree char *left = ib_asprintf("--%s%s%s", options[i].name, options[i].argument ? " " : "",
						     options[i].argument ? options[i].argument : "");

		if (options[i].letter)
			printf("  -%c, %-28s %s\n", options[i].letter, left, options[i].help);
		else
			printf("      %-28s %s\n", left, options[i].help);
	}
}

static int set_flag(const struct cli_option *option, const char *value, struct ib_err *err)
{
	bool *flag = option->value;

	if (!value || strcmp(value, "true") == 0 || strcmp(value, "1") == 0)
		*flag = true;
	else if (strcmp(value, "false") == 0 || strcmp(value, "0") == 0)
		*flag = false;
	else
		return ib_fail(err, IB_USAGE, "--%s is either true or false", option->name);
	return 0;
}

static int set_value(const struct cli_option *option, const char *value, struct ib_err *err)
{
	switch (option->kind) {
	case CLI_FLAG:
		return set_flag(option, value, err);
	case CLI_TEXT:
		*(const char **)option->value = value;
		return 0;
	case CLI_LIST:
		ib_strv_add(option->value, value);
		return 0;
	case CLI_NUMBER:
		if (ib_parse_int(value, 0, INT32_MAX, option->value))
			return 0;
		return ib_fail(err, IB_USAGE, "--%s takes a number", option->name);
	}
	return 0;
}

static int unknown(const struct cli_command *command, const struct cli_option *options, size_t n,
		   const char *name, struct ib_err *err)
{
	ib_autofree const char **names = ib_calloc(n, sizeof *names);
	ib_autofree char *shown = ib_printable(name, 64);
	const char *nearest;

	for (size_t i = 0; i < n; i++)
		names[i] = options[i].name;
	nearest = ib_nearest(name, names, n);
	ib_fail(err, IB_USAGE, "%s has no option --%s", command->name, shown);
	if (nearest)
		return ib_err_hint(err, " (did you mean --%s?)", nearest);
	return ib_err_hint(err, "; `imgbuild %s --help` lists those it has", command->name);
}

struct cursor {
	const struct cli_command *command;
	const struct cli_option *options;
	size_t n;
	int argc, at;
	char **argv;
};

/* The value of an option that wants one: what is stuck to it, or the next word. */
static int value_of(struct cursor *c, const struct cli_option *option, const char *stuck,
		    const char **ret_value, struct ib_err *err)
{
	*ret_value = stuck;
	if (stuck || option->kind == CLI_FLAG)
		return 0;
	if (c->at + 1 >= c->argc)
		return ib_fail(err, IB_USAGE, "--%s needs a value", option->name);
	*ret_value = c->argv[++c->at];
	return 0;
}

static int parse_long(struct cursor *c, const char *word, struct ib_err *err)
{
	const char *eq = strchr(word, '=');
	ib_autofree char *name = eq ? ib_strndup(word, (size_t)(eq - word)) : ib_strdup(word);
	const char *value;

	for (size_t i = 0; i < c->n; i++)
		if (strcmp(c->options[i].name, name) == 0)
			return value_of(c, &c->options[i], eq ? eq + 1 : NULL, &value, err) < 0 ? -1 :
			       set_value(&c->options[i], value, err);
	return unknown(c->command, c->options, c->n, name, err);
}

static const struct cli_option *find_letter(const struct cursor *c, char letter)
{
	for (size_t i = 0; i < c->n; i++)
		if (c->options[i].letter == letter)
			return &c->options[i];
	return NULL;
}

static int parse_short(struct cursor *c, const char *word, struct ib_err *err)
{
	for (; *word; word++) {
		const struct cli_option *option = find_letter(c, *word);
		const char *value;

		if (!option)
			return ib_fail(err, IB_USAGE, "%s has no option -%c; `imgbuild %s --help` lists those it "
				       "has", c->command->name, *word, c->command->name);
		if (option->kind == CLI_FLAG) {
			if (set_flag(option, NULL, err) < 0)
				return -1;
			continue;
		}
		if (value_of(c, option, word[1] ? word + 1 + (word[1] == '=') : NULL, &value, err) < 0)
			return -1;
		return set_value(option, value, err);
	}
	return 0;
}

int cli_parse(const struct cli_command *command, const struct cli_option *options, size_t n, int argc,
	      char **argv, struct ib_strv *arguments, struct ib_err *err)
{
	struct cursor c = {command, options, n, argc, 1, argv};
	bool ended = false;

	for (; c.at < argc; c.at++) {
		const char *word = argv[c.at];
		int r = 0;

		if (ended || word[0] != '-' || !word[1])
			ib_strv_add(arguments, word);
		else if (strcmp(word, "--") == 0)
			ended = true;
		else if (strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0)
			return print_help(command, options, n), 1;
		else
			r = word[1] == '-' ? parse_long(&c, word + 2, err) : parse_short(&c, word + 1, err);
		if (r < 0)
			return -1;
	}
	return 0;
}

int cli_expect(const struct cli_command *command, const struct ib_strv *arguments, size_t min, size_t max,
	       struct ib_err *err)
{
	if (arguments->n >= min && arguments->n <= max)
		return 0;
	return ib_fail(err, IB_USAGE, "usage: imgbuild %s %s", command->name, command->usage);
}
