/*
 * registry/answer.h - a whole answer in memory, and what a refusal says.
 */
#ifndef REGISTRY_ANSWER_H
#define REGISTRY_ANSWER_H

#include "registry/http.h"

struct registry_answer {
	struct registry_http_stream *stream;	/* finished; for its headers. Owned */
	int status;
	char *body;				/* NUL-terminated; never NULL once filled */
	size_t len;
};

void registry_answer_done(struct registry_answer *answer);
#define registry_autoanswer IB_CLEANUP(registry_answer_done) struct registry_answer

/*
 * Read the body of a started stream, which must not exceed max bytes (IB_LIMIT); of a refusal (status 400 or
 * more) what exceeds REGISTRY_ERROR_MAX_BYTES is left out. The stream is taken on success alone.
 */
int registry_answer_read(struct registry_http_stream **take_stream, size_t max, struct registry_answer *ret_answer,
			 struct ib_err *err);

/* Does the body name this error code ("BLOB_UPLOAD_UNKNOWN")? */
bool registry_answer_says(const struct registry_answer *answer, const char *code);

/*
 * Fill err from a refusal: "403 from registry.example: denied: no push scope". Returns -1. Understands the
 * errors of registries, token servers and storage hosts; of HTML and other pages it shows nothing.
 */
int registry_answer_fail(const struct registry_answer *answer, struct ib_err *err);

/* The code that stands for a refusal with this status. */
enum ib_code registry_code_of_status(int status);

#endif
