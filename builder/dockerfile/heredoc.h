/*
 * builder/dockerfile/heredoc.h - finding here-documents on an instruction's line and reading their bodies.
 */
#ifndef BUILDER_DOCKERFILE_HEREDOC_H
#define BUILDER_DOCKERFILE_HEREDOC_H

#include "builder/dockerfile/dockerfile.h"

struct dockerfile_lines;

#define HEREDOCS_MAX 1000	/* of one instruction */

/* Does the whole of text open one heredoc? Then 1 and *ret_heredoc is filled, but for the body; else 0. */
int dockerfile_heredoc_parse(const char *text, struct dockerfile_heredoc *ret_heredoc);
void dockerfile_heredoc_done(struct dockerfile_heredoc *heredoc);

/*
 * Put the heredocs that line opens into the instruction, in order, and read their bodies from lines. Fails
 * with IB_USAGE ("unterminated heredoc NAME") or IB_LIMIT.
 */
int dockerfile_heredocs_read(struct dockerfile_instruction *in, const char *line,
			     struct dockerfile_lines *lines, struct ib_err *err);

/*
 * ADD, COPY: take the heredoc words out of the sources; of several heredocs with one name the last counts.
 * Fails when the destination is a heredoc.
 */
int dockerfile_heredocs_to_sources(struct dockerfile_instruction *in, const char *keyword,
				   struct ib_err *err);

#endif
