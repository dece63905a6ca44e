#include "registry/answer.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "oci/base/alloc.h"
#include "oci/base/json.h"
#include "oci/base/str.h"
#include "registry/url.h"

#include "oci/base/poison.h"

#define MAX_SHOWN_BYTES 300	/* of a server's own words */
#define READ_BYTES 16384

void registry_answer_done(struct registry_answer *answer)
{
	registry_http_stream_free(answer->stream);
	if (answer->body)
		explicit_bzero(answer->body, answer->len);	/* a token server's holds a token */
	free(answer->body);
	*answer = (struct registry_answer){0};
}

int registry_answer_read(struct registry_http_stream **take_stream, size_t max, struct registry_answer *ret_answer,
			 struct ib_err *err)
{
	struct registry_http_stream *stream = *take_stream;
	int status = registry_http_stream_status(stream);
	bool refusal = status >= 400;
	ib_autostr body = IB_STR(refusal ? REGISTRY_ERROR_MAX_BYTES : max);
	char buf[READ_BYTES];

	/* distribution 2.8 announces a length with 416 and sends nothing: waiting for it would be a stall. */
	while (status != 416 && !body.overflow) {
		ssize_t n = registry_http_stream_read(stream, buf, sizeof buf, err);

		if (n < 0)
			return -1;
		if (n == 0)
			break;
		ib_str_add(&body, buf, (size_t)n);
	}
	if (body.overflow && !refusal) {
		ib_autofree char *host = registry_url_host(registry_http_stream_url(stream));

		return ib_fail(err, IB_LIMIT, "%s: the answer is over %zu bytes", host, max);
	}
	registry_http_stream_finish(stream);
	*ret_answer = (struct registry_answer){.stream = stream, .status = status, .len = body.len};
	ret_answer->body = ib_str_steal(&body);
	*take_stream = NULL;
	return 0;
}

enum ib_code registry_code_of_status(int status)
{
	switch (status) {
	case 401:
	case 403:
	case 407:
	case 409:
	case 412:
		return IB_DENIED;
	case 404:
	case 410:
		return IB_NOTFOUND;
	case 405:
	case 415:
	case 501:
		return IB_UNSUPPORTED;
	case 413:
		return IB_LIMIT;
	case 408:
	case 429:
		return IB_NETWORK;
	default:
		return status >= 500 ? IB_NETWORK : IB_INVALID;
	}
}

/* What to say when the server says nothing that can be shown. */
static const char *phrase(int status)
{
	static const struct {
		int status;
		const char *text;
	} phrases[] = {
		{400, "bad request"},	       {401, "unauthorized"},	    {403, "forbidden"},
		{404, "not found"},	       {405, "method not allowed"}, {407, "proxy sign-in required"},
		{408, "request timeout"},      {409, "conflict"},	    {410, "gone"},
		{412, "precondition failed"},  {413, "too large"},	    {415, "media type not supported"},
		{416, "range not satisfiable"}, {429, "too many requests"}, {500, "internal server error"},
		{502, "bad gateway"},	       {503, "service unavailable"}, {504, "gateway timeout"},
	};

	for (size_t i = 0; i < sizeof phrases / sizeof *phrases; i++)
		if (phrases[i].status == status)
			return phrases[i].text;
	return "unexpected status";
}

static const struct ib_json *first_error(const struct ib_json *json)
{
	const struct ib_json *errors = ib_json_get(json, "errors");

	return errors && errors->type == IB_JSON_ARRAY && errors->n ? errors->child[0] : NULL;
}

bool registry_answer_says(const struct registry_answer *answer, const char *code)
{
	ib_autoerr err = {0};	/* no JSON says no code */
	ib_autojson *json = ib_json_parse(answer->body, answer->len, &err);
	const struct ib_json *errors = ib_json_get(json, "errors");

	for (size_t i = 0; errors && errors->type == IB_JSON_ARRAY && i < errors->n; i++) {
		const char *said = ib_json_get_string(errors->child[i], "code");

		if (said && strcasecmp(said, code) == 0)
			return true;
	}
	return false;
}

/* "UNAUTHORIZED", "authentication required" -> "unauthorized: authentication required". */
static char *join(const char *code, const char *message)
{
	char *text = ib_asprintf("%s%s%s", code ? code : "", code && message ? ": " : "", message ? message : "");

	for (size_t i = 0; code && code[i]; i++)
		if (text[i] >= 'A' && text[i] <= 'Z')
			text[i] = (char)(text[i] - 'A' + 'a');
	return text;
}

/* The server's own words, or NULL. */
static char *message_of(const struct registry_answer *answer)
{
	ib_autoerr err = {0};	/* most pages are no JSON */
	ib_autojson *json = ib_json_parse(answer->body, answer->len, &err);
	const struct ib_json *first = first_error(json);
	const char *code, *message;

	if (first) {
		code = ib_json_get_string(first, "code");
		message = ib_json_get_string(first, "message");
		return code || message ? join(code, message) : NULL;
	}
	code = ib_json_get_string(json, "error");
	message = ib_json_get_string(json, "error_description");
	if (!message)
		message = ib_json_get_string(json, "message");
	if (!message)
		message = ib_json_get_string(json, "details");
	return code || message ? join(code, message) : NULL;
}

/* The first line of a plain-text body, or NULL. */
static char *plain_text(const struct registry_answer *answer)
{
	const char *type = registry_http_stream_header(answer->stream, "content-type", 0);
	size_t n = strcspn(answer->body, "\r\n");

	if (!type || strncasecmp(type, "text/plain", 10) != 0 || n == 0)
		return NULL;
	return ib_strndup(answer->body, n);
}

int registry_answer_fail(const struct registry_answer *answer, struct ib_err *err)
{
	ib_autofree char *host = registry_url_host(registry_http_stream_url(answer->stream));
	ib_autofree char *said = message_of(answer), *shown = NULL;

	if (!said)
		said = plain_text(answer);
	shown = ib_printable(said ? said : phrase(answer->status), MAX_SHOWN_BYTES);
	ib_fail(err, registry_code_of_status(answer->status), "%d from %s: %s", answer->status, host, shown);
	err->http = answer->status;
	return -1;
}
