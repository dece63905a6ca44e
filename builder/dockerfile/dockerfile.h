/*
 * builder/dockerfile/dockerfile.h - a Dockerfile as instructions (Dockerfile reference, "Format", "Parser
 * directives", "Here-Documents").
 *
 * Parsing knows the syntax of every instruction and nothing of images: words are kept as written, quotes
 * and variables included; builder/dockerfile/expand.h makes values of them.
 */
#ifndef BUILDER_DOCKERFILE_DOCKERFILE_H
#define BUILDER_DOCKERFILE_DOCKERFILE_H

#include <stdbool.h>
#include <stddef.h>

#include "oci/base/err.h"
#include "oci/base/str.h"

#define BUILDER_DOCKERFILE_MAX_BYTES (64u << 20)

enum dockerfile_op {
	DOCKERFILE_FROM, DOCKERFILE_RUN, DOCKERFILE_CMD, DOCKERFILE_LABEL, DOCKERFILE_MAINTAINER,
	DOCKERFILE_EXPOSE, DOCKERFILE_ENV, DOCKERFILE_ADD, DOCKERFILE_COPY, DOCKERFILE_ENTRYPOINT,
	DOCKERFILE_VOLUME, DOCKERFILE_USER, DOCKERFILE_WORKDIR, DOCKERFILE_ARG, DOCKERFILE_ONBUILD,
	DOCKERFILE_STOPSIGNAL, DOCKERFILE_HEALTHCHECK, DOCKERFILE_SHELL,
};

/* A flag such as --chown=1:2, in order of appearance, checked against the instruction's known ones. */
struct dockerfile_flag {
	char *name;	/* "chown" */
	char *value;	/* quotes removed, not expanded; "true" or "false" for booleans */
};

struct dockerfile_heredoc {
	char *name;		/* the word, quotes removed */
	int fd;			/* digits before <<, else 0 */
	bool expand;		/* the word had no quotes */
	bool strip_tabs;	/* <<- */
	char *body;		/* raw lines with their ends, tabs kept */
};

/* NAME or NAME=value of ENV, LABEL, ARG: raw, quotes kept. */
struct dockerfile_pair {
	char *name;
	char *value;		/* NULL: none was given (ARG) */
};

struct dockerfile_instruction {
	enum dockerfile_op op;
	char *keyword;		/* as written */
	int line, end_line;	/* 1-based, of the file; heredoc bodies included */
	char *original;		/* the joined instruction after its keyword and flags, ends trimmed */
	char *description;	/* comment lines right above it, or NULL */

	struct dockerfile_flag *flags;
	size_t n_flags;

	/*
	 * RUN, CMD, ENTRYPOINT, SHELL: json: argv; else one text. ADD, COPY: sources, except those that
	 * are heredocs, and then the destination. VOLUME, EXPOSE: words. FROM: image [AS name] as {image}
	 * or {image, name}, the name lower-cased. USER, WORKDIR, STOPSIGNAL, MAINTAINER: one text.
	 * HEALTHCHECK: {"NONE"}, {"CMD", argv...} with json, {"CMD", text} without. ONBUILD: the whole
	 * trigger text, heredocs included.
	 */
	struct ib_strv args;
	bool json;

	struct dockerfile_pair *pairs;	/* ENV, LABEL, ARG */
	size_t n_pairs;
	bool legacy_pair;		/* ENV name value, LABEL name value */

	struct dockerfile_heredoc *heredocs;	/* RUN, ADD, COPY (there of equal names only the last) */
	size_t n_heredocs;
	bool lone_heredoc;	/* RUN: the whole command is one heredoc */
};

struct dockerfile {
	char escape;	/* '\\' or '`' */
	char *syntax, *check;	/* directives' values or NULL */
	struct dockerfile_instruction *instructions;
	size_t n, cap;
	char *name;	/* for messages: the path given */
	char *source;	/* the whole text, for excerpts */
	size_t source_len;
	struct ib_strv warnings;	/* "line N: NoEmptyContinuation: ..." */
};

void dockerfile_free(struct dockerfile *df);
IB_DEFINE_FREE(dockerfile);

/*
 * Parse a whole file. name stands in messages. Fails with IB_USAGE: "NAME:LINE: what is wrong (did you mean
 * X?)"; nothing but syntax is checked (an empty file, no FROM, a bad flag, JSON of other than strings, an
 * unterminated heredoc ...). Binary content (a NUL byte) is refused with its own words. IB_LIMIT: too large, or
 * too many heredocs. IB_UNSUPPORTED: a file in the language of another frontend.
 */
int dockerfile_parse(const char *bytes, size_t len, const char *name, struct dockerfile **ret_df,
		     struct ib_err *err);

/* The same; where one instruction is at fault, *ret_excerpt (caller's, else untouched) shows it. */
int dockerfile_parse_shown(const char *bytes, size_t len, const char *name, struct dockerfile **ret_df,
			   char **ret_excerpt, struct ib_err *err);

/*
 * Parse one instruction that an ONBUILD trigger holds (no FROM, ONBUILD, MAINTAINER), in the escape of the
 * using Dockerfile. The result is the caller's, to be freed with dockerfile_instruction_done() and free().
 */
int dockerfile_parse_trigger(const char *text, char escape, struct dockerfile_instruction **ret_instruction,
			     struct ib_err *err);
void dockerfile_instruction_done(struct dockerfile_instruction *instruction);

const char *dockerfile_op_name(enum dockerfile_op op);	/* "RUN" */

/* What a heredoc stands for: its body, with leading tabs stripped when it was written <<-. The caller's. */
char *dockerfile_heredoc_text(const struct dockerfile_heredoc *heredoc);

/* The value of a flag, or NULL. The last one for a list flag: walk flags[] for all. Borrowed. */
const char *dockerfile_flag(const struct dockerfile_instruction *instruction, const char *name);
bool dockerfile_flag_true(const struct dockerfile_instruction *instruction, const char *name);

/*
 * "NAME:LINE" with the source lines of an instruction, culprits marked by ">>>", two lines of context, for
 * people. The caller's.
 */
char *dockerfile_excerpt(const struct dockerfile *df, int line, int end_line);

#endif
