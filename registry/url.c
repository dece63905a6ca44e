#include "registry/url.h"

#include <curl/curl.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "oci/base/alloc.h"
#include "oci/base/str.h"

#include "oci/base/poison.h"

#define MAX_URL_BYTES 16384	/* signed storage URLs reach 2 KiB */

static void url_cleanup(CURLU **url)
{
	curl_url_cleanup(*url);
}
#define autourl IB_CLEANUP(url_cleanup) CURLU

/* A part of url as a string of our own, or NULL. */
static char *part(CURLU *url, CURLUPart what, unsigned flags)
{
	char *s = NULL, *copy;

	if (curl_url_get(url, what, &s, flags) != CURLUE_OK)
		return NULL;
	copy = ib_strdup(s);
	curl_free(s);
	return copy;
}

static CURLU *parse(const char *text)
{
	CURLU *url = curl_url();

	if (!url)
		abort();
	if (curl_url_set(url, CURLUPART_URL, text, CURLU_PATH_AS_IS | CURLU_DISALLOW_USER) != CURLUE_OK) {
		curl_url_cleanup(url);
		return NULL;
	}
	return url;
}

static bool part_equal(CURLU *a, CURLU *b, CURLUPart what)
{
	ib_autofree char *x = part(a, what, CURLU_DEFAULT_PORT), *y = part(b, what, CURLU_DEFAULT_PORT);

	return x && y && strcasecmp(x, y) == 0;
}

bool registry_url_is_https(const char *url)
{
	return strncasecmp(url, "https://", 8) == 0;
}

static bool is_http_or_https(const char *url)
{
	return registry_url_is_https(url) || strncasecmp(url, "http://", 7) == 0;
}

bool registry_url_same_origin(const char *a, const char *b)
{
	autourl *x = parse(a), *y = parse(b);

	return x && y && part_equal(x, y, CURLUPART_SCHEME) && part_equal(x, y, CURLUPART_HOST) &&
	       part_equal(x, y, CURLUPART_PORT);
}

/* Without an explicit port, or with the one that says no more than the scheme. */
static bool has_usual_port(CURLU *url)
{
	ib_autofree char *port = part(url, CURLUPART_PORT, 0);

	return !port || strcmp(port, "80") == 0;
}

static int keep_https(CURLU *base, CURLU *url, struct ib_err *err)
{
	ib_autofree char *from = part(base, CURLUPART_SCHEME, 0), *to = part(url, CURLUPART_SCHEME, 0);
	ib_autofree char *port = part(base, CURLUPART_PORT, 0);

	if (!from || !to || strcasecmp(from, "https") != 0 || strcasecmp(to, "https") == 0)
		return 0;
	if (!part_equal(base, url, CURLUPART_HOST) ||
	    (!has_usual_port(url) && !part_equal(base, url, CURLUPART_PORT)))
		return ib_fail(err, IB_INVALID, "refused to go from https to http");
	if (curl_url_set(url, CURLUPART_SCHEME, "https", 0) != CURLUE_OK ||
	    curl_url_set(url, CURLUPART_PORT, port, 0) != CURLUE_OK)
		abort();
	return 0;
}

int registry_url_resolve(const char *base, const char *location, char **ret_url, struct ib_err *err)
{
	autourl *from = parse(base), *url = parse(base);
	ib_autofree char *scheme = NULL;

	if (!from || !url)
		return ib_fail(err, IB_INVALID, "the URL is not valid");
	if (strlen(location) > MAX_URL_BYTES)
		return ib_fail(err, IB_LIMIT, "the address in Location is over %d bytes", MAX_URL_BYTES);
	if (curl_url_set(url, CURLUPART_URL, location,
			 CURLU_PATH_AS_IS | CURLU_DISALLOW_USER | CURLU_NON_SUPPORT_SCHEME) != CURLUE_OK ||
	    curl_url_set(url, CURLUPART_FRAGMENT, NULL, 0) != CURLUE_OK)
		return ib_fail(err, IB_INVALID, "the address in Location is not valid");
	scheme = part(url, CURLUPART_SCHEME, 0);
	if (!scheme || (strcasecmp(scheme, "https") != 0 && strcasecmp(scheme, "http") != 0))
		return ib_fail(err, IB_INVALID, "the address in Location is neither https nor http");
	if (keep_https(from, url, err) < 0)
		return -1;
	*ret_url = part(url, CURLUPART_URL, 0);
	return *ret_url ? 0 : ib_fail(err, IB_INVALID, "the address in Location is not valid");
}

char *registry_url_host(const char *url)
{
	const char *p = is_http_or_https(url) ? strstr(url, "://") + 3 : url;

	return ib_strndup(p, strcspn(p, "/?#"));
}

char *registry_url_escape(const char *value)
{
	static const char hex[] = "0123456789ABCDEF";
	ib_autostr out = IB_STR(3 * strlen(value));

	for (; *value; value++) {
		unsigned char c = (unsigned char)*value;

		if ((c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') ||
		    strchr("-._~", c)) {
			ib_str_addc(&out, (char)c);
		} else {
			ib_str_addc(&out, '%');
			ib_str_addc(&out, hex[c >> 4]);
			ib_str_addc(&out, hex[c & 15]);
		}
	}
	return ib_str_steal(&out);
}

char *registry_url_add_query(const char *url, const char *key, const char *value)
{
	ib_autofree char *escaped = registry_url_escape(value);
	const char *query = strchr(url, '?');
	const char *glue = !query ? "?" : !query[1] || ib_ends(url, "&") ? "" : "&";

	return ib_asprintf("%s%s%s=%s", url, glue, key, escaped);
}

bool registry_host_is_loopback(const char *host)
{
	size_t n = *host == '[' ? strcspn(host, "]") + 1 : strcspn(host, ":");

	if (n == 9 && strncasecmp(host, "localhost", n) == 0)
		return true;
	if (n == 5 && strncmp(host, "[::1]", n) == 0)
		return true;
	/* Digits and dots only: 127.0.0.1.example is a name like any other. */
	return strncmp(host, "127.", 4) == 0 && strspn(host, "0123456789.") == n;
}
