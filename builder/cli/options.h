/*
 * builder/cli/options.h - the command line: one table per command, one parser.
 *
 * Long options take "--name value" and "--name=value", short ones "-n value" and "-nvalue"; booleans take
 * "--name" and "--name=true|false". "--" ends options. Options and arguments may be mixed.
 */
#ifndef BUILDER_CLI_OPTIONS_H
#define BUILDER_CLI_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>

#include "oci/base/err.h"
#include "oci/base/str.h"

enum cli_option_kind {
	CLI_FLAG,	/* value is a bool */
	CLI_TEXT,	/* value is a const char *: the last one given */
	CLI_LIST,	/* value is a struct ib_strv: all that were given */
	CLI_NUMBER,	/* value is a long long, at least 0 */
};

struct cli_option {
	const char *name;	/* without the dashes */
	char letter;		/* 0: none */
	enum cli_option_kind kind;
	void *value;
	const char *argument;	/* for help: "NAME[:TAG]"; NULL for flags */
	const char *help;
};

struct cli_command {
	const char *name;
	const char *usage;	/* what follows the name */
	const char *help;	/* one line */
	int (*run)(int argc, char **argv, struct ib_err *err);
};

/*
 * Parse argv[1..] by the table; what is no option is appended to *arguments (borrowed strings are copied).
 * Fails with IB_USAGE: unknown option (the nearest is named), missing or wrong value. 1 when --help was
 * asked for and printed to standard output, 0 to go on.
 */
int cli_parse(const struct cli_command *command, const struct cli_option *options, size_t n, int argc,
	      char **argv, struct ib_strv *arguments, struct ib_err *err);

/* min..max arguments, or IB_USAGE that says what the command wants. */
int cli_expect(const struct cli_command *command, const struct ib_strv *arguments, size_t min, size_t max,
	       struct ib_err *err);

#endif
