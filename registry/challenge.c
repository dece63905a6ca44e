#include "registry/challenge.h"

#include <stdbool.h>
#include <string.h>
#include <strings.h>

#include "oci/base/alloc.h"
#include "oci/base/str.h"

#include "oci/base/poison.h"

#define MAX_CHALLENGES 16	/* a server offers two or three */
#define MAX_VALUE_BYTES 8192	/* a scope list of hundreds of repositories */

static const char token_chars[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789!#$%&'*+-.^_`|~";
static const char token68_chars[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~+/";

void registry_challenges_done(struct registry_challenges *list)
{
	for (size_t i = 0; i < list->n; i++) {
		free(list->v[i].scheme);
		free(list->v[i].realm);
		free(list->v[i].service);
		free(list->v[i].scope);
		free(list->v[i].error);
	}
	free(list->v);
	*list = (struct registry_challenges){0};
}

static const char *skip_space(const char *p)
{
	return p + strspn(p, " \t");
}

/* The rest of an item that makes no sense, commas in quotes included. */
static const char *skip_item(const char *p)
{
	bool quoted = false;

	for (; *p && (quoted || *p != ','); p++) {
		if (*p == '"')
			quoted = !quoted;
		else if (quoted && *p == '\\' && p[1])
			p++;
	}
	return p;
}

/* A token or quoted string at p. Returns where it ends. */
static const char *parse_value(const char *p, struct ib_str *value)
{
	if (*p != '"') {
		/* Servers forget the quotes around URLs; a comma or blank still ends the value. */
		size_t n = strcspn(p, ", \t\"");

		ib_str_add(value, p, n);
		return p + n;
	}
	for (p++; *p && *p != '"'; p++) {
		if (*p == '\\' && p[1])
			p++;
		ib_str_addc(value, *p);
	}
	return *p ? p + 1 : p;
}

static void put(struct registry_challenge *c, const char *key, size_t n, const char *value)
{
	const struct {
		const char *name;
		char **field;
	} known[] = {
		{"realm", &c->realm},
		{"service", &c->service},
		{"scope", &c->scope},
		{"error", &c->error},
	};

	for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
		char **field = known[i].field;

		if (strlen(known[i].name) != n || strncasecmp(known[i].name, key, n) != 0)
			continue;
		if (!*field) {
			*field = ib_strdup(value);
		} else if (field == &c->scope && strlen(*field) + strlen(value) < MAX_VALUE_BYTES) {
			char *joined = ib_asprintf("%s %s", *field, value);

			free(*field);
			*field = joined;
		}
		return;
	}
}

/* After a scheme: a token68 stands alone up to the next comma; parameters do not. */
static const char *skip_token68(const char *p)
{
	size_t n = strspn(p, token68_chars);
	const char *end = p + n + strspn(p + n, "=");

	if (n == 0 || (*skip_space(end) && *skip_space(end) != ','))
		return p;
	return end;
}

void registry_challenges_parse(const char *value, struct registry_challenges *list)
{
	struct registry_challenge *current = NULL;
	const char *p = value;

	while (*(p += strspn(p, " \t,"))) {
		size_t n = strspn(p, token_chars);
		const char *token = p;

		p = skip_space(token + n);
		if (n == 0) {
			p = skip_item(token);
		} else if (*p == '=') {
			ib_autostr text = IB_STR(MAX_VALUE_BYTES);

			p = parse_value(skip_space(p + 1), &text);
			if (current && !text.overflow)
				put(current, token, n, text.s ? text.s : "");
		} else if (list->n == MAX_CHALLENGES) {
			return;
		} else {
			ib_grow(list->v, list->n, list->cap);
			current = &list->v[list->n++];
			*current = (struct registry_challenge){.scheme = ib_strndup(token, n)};
			p = skip_token68(p);
		}
	}
}

const struct registry_challenge *registry_challenges_choose(const struct registry_challenges *list)
{
	for (size_t i = 0; i < list->n; i++)
		if (strcasecmp(list->v[i].scheme, "Bearer") == 0 && list->v[i].realm)
			return &list->v[i];
	for (size_t i = 0; i < list->n; i++)
		if (strcasecmp(list->v[i].scheme, "Basic") == 0)
			return &list->v[i];
	return NULL;
}
