#include "registry/reference.h"

#include <string.h>

#include "oci/base/alloc.h"
#include "oci/base/str.h"

#include "oci/base/poison.h"

#define NAME_MAX_BYTES 255	/* distribution: domain/path together */
#define TAG_MAX_BYTES 128
#define TEXT_MAX_BYTES 1024	/* no valid reference is longer than name, tag and a sha512 digest */

#define DOCKER_HUB "docker.io"

/* The locale must have no say in what a name is. */
static bool is_lower(char c)
{
	return c >= 'a' && c <= 'z';
}

static bool is_upper(char c)
{
	return c >= 'A' && c <= 'Z';
}

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static bool is_alnum(char c)
{
	return is_lower(c) || is_upper(c) || is_digit(c);
}

static bool has_upper(const char *s)
{
	for (; *s; s++)
		if (is_upper(*s))
			return true;
	return false;
}

static int refuse(struct ib_err *err, const char *text, const char *why)
{
	ib_autofree char *shown = ib_printable(text, 200);

	return ib_fail(err, IB_USAGE, "invalid reference '%s': %s", shown, why);
}

static bool is_image_id(const char *text)
{
	size_t n = 0;

	while (is_digit(text[n]) || (text[n] >= 'a' && text[n] <= 'f'))
		n++;
	return n == 64 && !text[n];
}

/* Length of the DNS label at s: letters, digits and inner hyphens; 0 when there is none. */
static size_t label_length(const char *s)
{
	size_t n = 0;

	while (is_alnum(s[n]) || s[n] == '-')
		n++;
	return n && s[0] != '-' && s[n - 1] != '-' ? n : 0;
}

/* Where the host ends in host[:port], or NULL when it is none. */
static const char *skip_host(const char *s)
{
	if (*s == '[') {
		size_t n = strspn(s + 1, "0123456789abcdefABCDEF:");

		return n && s[n + 1] == ']' ? s + n + 2 : NULL;
	}
	for (;;) {
		size_t n = label_length(s);

		if (!n)
			return NULL;
		s += n;
		if (*s != '.')
			return s;
		s++;
	}
}

static bool valid_domain(const char *domain)
{
	const char *p = skip_host(domain);
	long long port;

	if (!p || (*p && *p != ':'))
		return false;
	return !*p || (is_digit(p[1]) && ib_parse_int(p + 1, 1, 65535, &port));
}

/* Where the path component at s ends, or NULL: alphanumeric runs joined by ".", "_", "__" or hyphens. */
static const char *skip_component(const char *s)
{
	for (;;) {
		size_t n = 0;

		while (is_lower(s[n]) || is_digit(s[n]))
			n++;
		if (!n)
			return NULL;
		s += n;
		if (*s == '-')
			s += strspn(s, "-");
		else if (*s == '.')
			s++;
		else if (*s == '_')
			s += s[1] == '_' ? 2 : 1;
		else
			return s;
	}
}

static bool valid_path(const char *path)
{
	for (;;) {
		path = skip_component(path);
		if (!path)
			return false;
		if (*path != '/')
			return !*path;
		path++;
	}
}

static bool valid_tag(const char *tag)
{
	size_t n = strlen(tag);

	if (n < 1 || n > TAG_MAX_BYTES || tag[0] == '.' || tag[0] == '-')
		return false;
	for (; *tag; tag++)
		if (!is_alnum(*tag) && *tag != '_' && *tag != '.' && *tag != '-')
			return false;
	return true;
}

/* Does the text before the first slash name a host, or is it the first component on Docker Hub? */
static bool is_domain(const char *left)
{
	return strpbrk(left, ".:") || strcmp(left, "localhost") == 0 || has_upper(left);
}

/* Cut host and remainder; what stays in text is [:tag][@digest] cut off as well. */
static void split(char *text, const char **ret_host, const char **ret_path, char **ret_tag, char **ret_digest)
{
	char *slash = strchr(text, '/'), *rest = text, *colon;

	*ret_host = DOCKER_HUB;
	if (slash) {
		*slash = '\0';
		if (is_domain(text)) {
			*ret_host = strcmp(text, "index.docker.io") == 0 ? DOCKER_HUB : text;
			rest = slash + 1;
		} else {
			*slash = '/';
		}
	}
	*ret_digest = strchr(rest, '@');
	if (*ret_digest)
		*(*ret_digest)++ = '\0';
	colon = strchr(rest, ':');
	if (colon)
		*colon++ = '\0';
	*ret_tag = colon;
	*ret_path = rest;
}

static int check(const char *text, const char *host, const char *path, const char *tag, struct ib_err *err)
{
	if (!valid_domain(host))
		return refuse(err, text, "the registry host is not valid");
	if (!*path)
		return refuse(err, text, "the repository is missing");
	if (has_upper(path))
		return refuse(err, text, "a repository is written in lower case");
	if (!valid_path(path))
		return refuse(err, text, "the repository is not valid");
	if (tag && !valid_tag(tag))
		return refuse(err, text, "a tag has 1 to 128 letters, digits and _ . - and starts with none of . -");
	return 0;
}

int registry_reference_parse(const char *text, struct registry_reference *ret_ref, struct ib_err *err)
{
	registry_autoreference ref = {0};
	ib_autofree char *copy = NULL;
	const char *host, *path;
	char *tag, *digest;

	if (!*text)
		return ib_fail(err, IB_USAGE, "empty reference");
	if (strlen(text) > TEXT_MAX_BYTES)
		return refuse(err, text, "it is too long");
	if (is_image_id(text))
		return refuse(err, text, "64 hexadecimal digits are an image id, not a name");
	copy = ib_strdup(text);
	split(copy, &host, &path, &tag, &digest);
	if (check(text, host, path, tag, err) < 0)
		return -1;
	if (digest) {
		if (oci_digest_parse(digest, &ref.digest, err) < 0)
			return refuse(err, text, "the digest is not sha256:<64 hex digits> or sha512:<128>");
		ref.has_digest = true;
	}
	ref.host = ib_strdup(host);
	ref.repository = strcmp(host, DOCKER_HUB) == 0 && !strchr(path, '/') ? ib_asprintf("library/%s", path) :
									      ib_strdup(path);
	if (strlen(ref.host) + 1 + strlen(ref.repository) > NAME_MAX_BYTES)
		return refuse(err, text, "host and repository together are over 255 bytes");
	ref.tag = tag ? ib_strdup(tag) : digest ? NULL : ib_strdup("latest");
	*ret_ref = ref;
	ref = (struct registry_reference){0};
	return 0;
}

void registry_reference_done(struct registry_reference *ref)
{
	ib_freep(&ref->host);
	ib_freep(&ref->repository);
	ib_freep(&ref->tag);
	*ref = (struct registry_reference){0};
}

void registry_reference_copy(struct registry_reference *to, const struct registry_reference *from)
{
	struct registry_reference copy = *from;

	copy.host = ib_strdup_null(from->host);
	copy.repository = ib_strdup_null(from->repository);
	copy.tag = ib_strdup_null(from->tag);
	registry_reference_done(to);
	*to = copy;
}

static char *with_suffix(const struct registry_reference *ref, const char *host, const char *repository)
{
	char digest[OCI_DIGEST_SIZE];

	return ib_asprintf("%s%s%s%s%s%s%s", host, *host ? "/" : "", repository, ref->tag ? ":" : "",
			   ref->tag ? ref->tag : "", ref->has_digest ? "@" : "",
			   ref->has_digest ? oci_digest_str(&ref->digest, digest) : "");
}

char *registry_reference_str(const struct registry_reference *ref)
{
	return with_suffix(ref, ref->host, ref->repository);
}

/* A short form must lead back to the same image: "docker.io/localhost/x" has none. */
static bool needs_host(const char *repository)
{
	const char *slash = strchr(repository, '/');
	ib_autofree char *first = NULL;

	if (!slash)
		return is_image_id(repository);
	first = ib_strndup(repository, (size_t)(slash - repository));
	return is_domain(first);
}

char *registry_reference_familiar(const struct registry_reference *ref)
{
	const char *repository = ref->repository;

	if (strcmp(ref->host, DOCKER_HUB) != 0)
		return registry_reference_str(ref);
	if (ib_starts(repository, "library/") && !strchr(repository + strlen("library/"), '/'))
		repository += strlen("library/");
	return needs_host(repository) ? registry_reference_str(ref) : with_suffix(ref, "", repository);
}
