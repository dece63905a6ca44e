#include "oci/platform.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/utsname.h>

#include "oci/base/alloc.h"
#include "oci/base/str.h"

#include "oci/base/poison.h"

#define MAX_TEXT 128	/* no platform anybody wrote comes near */

/* Architectures by their usual names (Go's) and by those of uname(2) and of distributions. */
static const struct arch {
	const char *name, *normal, *variant;
} arches[] = {
	{"amd64", "amd64", NULL},	  {"x86_64", "amd64", NULL},
	{"x86-64", "amd64", NULL},	  {"386", "386", NULL},
	{"i386", "386", NULL},		  {"i486", "386", NULL},
	{"i586", "386", NULL},		  {"i686", "386", NULL},
	{"arm64", "arm64", NULL},	  {"aarch64", "arm64", NULL},
	{"arm", "arm", "v7"},		  {"armhf", "arm", "v7"},
	{"armv7l", "arm", "v7"},	  {"armv8l", "arm", "v7"},
	{"armel", "arm", "v6"},		  {"armv6l", "arm", "v6"},
	{"armv5tel", "arm", "v5"},	  {"armv5tejl", "arm", "v5"},
	{"ppc64le", "ppc64le", NULL},	  {"ppc64", "ppc64", NULL},
	{"s390x", "s390x", NULL},	  {"riscv64", "riscv64", NULL},
	{"loong64", "loong64", NULL},	  {"loongarch64", "loong64", NULL},
	{"mips", "mips", NULL},		  {"mipsle", "mipsle", NULL},
	{"mips64", "mips64", NULL},	  {"mips64le", "mips64le", NULL},
	{"wasm", "wasm", NULL},
};

static const char *const systems[] = {
	"linux", "windows", "darwin", "freebsd", "netbsd", "openbsd", "dragonfly",
	"solaris", "illumos", "plan9", "aix", "android", "js", "wasip1",
};

static const struct arch *find_arch(const char *name)
{
	for (size_t i = 0; i < sizeof arches / sizeof *arches; i++)
		if (strcasecmp(arches[i].name, name) == 0)
			return &arches[i];
	return NULL;
}

static bool known_system(const char *name)
{
	for (size_t i = 0; i < sizeof systems / sizeof *systems; i++)
		if (strcmp(systems[i], name) == 0)
			return true;
	return false;
}

void oci_platform_done(struct oci_platform *p)
{
	ib_freep(&p->os);
	ib_freep(&p->architecture);
	ib_freep(&p->variant);
	ib_freep(&p->os_version);
}

void oci_platform_copy(struct oci_platform *to, const struct oci_platform *from)
{
	struct oci_platform copy = {
		.os = ib_strdup_null(from->os),
		.architecture = ib_strdup_null(from->architecture),
		.variant = ib_strdup_null(from->variant),
		.os_version = ib_strdup_null(from->os_version),
	};

	oci_platform_done(to);
	*to = copy;
}

/*
 * Variants are steps of a ladder: "v7" is 7. A missing one is the step that everybody means by the bare
 * name. 0 for what is no such step; then only equal text serves.
 */
static int variant_step(const char *arch, const char *variant)
{
	if (!variant || !*variant)
		return strcmp(arch, "arm") == 0 ? 7 : strcmp(arch, "arm64") == 0 ? 8 :
		       strcmp(arch, "amd64") == 0 ? 1 : 0;
	if (strcmp(arch, "arm") != 0 && strcmp(arch, "arm64") != 0 && strcmp(arch, "amd64") != 0)
		return 0;
	if (*variant == 'v')
		variant++;
	return variant[0] >= '1' && variant[0] <= '9' && !variant[1] ? variant[0] - '0' : 0;
}

/* The normal form of an architecture and its variant, both lower case already. */
static void normalise(const char *arch, const char *variant, struct oci_platform *out)
{
	const struct arch *known = find_arch(arch);
	const char *normal = known ? known->normal : arch;
	int step;

	if (known && (!variant || !*variant))
		variant = known->variant;
	step = variant_step(normal, variant);
	out->architecture = ib_strdup(normal);
	if ((strcmp(normal, "arm64") == 0 && step == 8) || (strcmp(normal, "amd64") == 0 && step == 1))
		return;
	if (step)
		out->variant = ib_asprintf("v%d", step);
	else if (variant && *variant)
		out->variant = ib_strdup(variant);
}

void oci_platform_host(struct oci_platform *ret_platform)
{
	struct oci_platform host = {0};
	struct utsname name;

	if (uname(&name) < 0)
		abort();	/* cannot fail with a valid buffer */
	host.os = ib_strdup("linux");
	normalise(name.machine, NULL, &host);
	oci_platform_done(ret_platform);
	*ret_platform = host;
}

static int fail_parse(struct ib_err *err, const char *text, const char *why)
{
	ib_autofree char *shown = ib_printable(text, MAX_TEXT);

	return ib_fail(err, IB_USAGE, "'%s' is not a platform: %s", shown, why);
}

/* Cut a lower-case copy at its slashes. Returns the number of parts, 0 when the text has a wrong shape. */
static size_t split(char *text, char *parts[static 3])
{
	size_t n = 0;

	for (char *p = text, *next; p; p = next) {
		next = strchr(p, '/');
		if (next)
			*next++ = '\0';
		if (n == 3 || !*p)
			return 0;
		for (char *c = p; *c; c++) {
			if (!isalnum((unsigned char)*c) && !strchr("._-", *c))
				return 0;
			*c = (char)tolower((unsigned char)*c);
		}
		parts[n++] = p;
	}
	return n;
}

int oci_platform_parse(const char *text, struct oci_platform *ret_platform, struct ib_err *err)
{
	oci_autoplatform platform = {0};
	ib_autofree char *copy = ib_strndup(text, MAX_TEXT + 1);
	char *parts[3] = {0};
	size_t n = strlen(copy) > MAX_TEXT ? 0 : split(copy, parts);

	if (n == 0)
		return fail_parse(err, text, "it should look like linux/amd64 or linux/arm/v7");
	if (n == 1 && known_system(parts[0])) {
		oci_platform_host(&platform);
		free(platform.os);
		platform.os = ib_strdup(parts[0]);
	} else if (n == 1) {
		if (!find_arch(parts[0]))
			return fail_parse(err, text, "unknown operating system or architecture");
		platform.os = ib_strdup("linux");
		normalise(parts[0], NULL, &platform);
	} else {
		platform.os = ib_strdup(strcmp(parts[0], "macos") == 0 ? "darwin" : parts[0]);
		normalise(parts[1], parts[2], &platform);
	}
	oci_platform_done(ret_platform);
	*ret_platform = platform;
	platform = (struct oci_platform){0};
	return 0;
}

char *oci_platform_str(const struct oci_platform *p)
{
	bool variant = p->variant && *p->variant;

	return ib_asprintf("%s/%s%s%s", p->os ? p->os : "", p->architecture ? p->architecture : "",
			   variant ? "/" : "", variant ? p->variant : "");
}

int oci_platform_match(const struct oci_platform *wanted, const struct oci_platform *offered)
{
	oci_autoplatform want = {0}, offer = {0};
	int want_step, offer_step;

	if (!wanted->os || !offered->os || strcmp(wanted->os, offered->os) != 0)
		return 0;
	if (wanted->os_version &&
	    (!offered->os_version || strcmp(wanted->os_version, offered->os_version) != 0))
		return 0;
	/* What an index offers may be in any of the forms that builders have written over the years. */
	normalise(wanted->architecture ? wanted->architecture : "", wanted->variant, &want);
	normalise(offered->architecture ? offered->architecture : "", offered->variant, &offer);
	if (strcmp(want.architecture, offer.architecture) != 0)
		return 0;
	want_step = variant_step(want.architecture, want.variant);
	offer_step = variant_step(offer.architecture, offer.variant);
	if (want_step && offer_step)
		return offer_step <= want_step ? 1 + offer_step : 0;
	if (strcmp(want.variant ? want.variant : "", offer.variant ? offer.variant : "") != 0)
		return 0;
	return 1;
}
