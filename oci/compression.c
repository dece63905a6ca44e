#include "oci/compression.h"

#include <string.h>

#include "oci/base/alloc.h"
#include "oci/base/str.h"

#include "oci/base/poison.h"

static const struct {
	const char *name;
	int max_level;	/* 0: cannot be written */
	enum oci_media media, docker_media;	/* OCI_MEDIA_OTHER: there is none */
} compressions[] = {	/* by enum oci_compression */
	{"uncompressed", 0, OCI_MEDIA_LAYER, OCI_MEDIA_DOCKER_LAYER},
	{"gzip", 12, OCI_MEDIA_LAYER_GZIP, OCI_MEDIA_DOCKER_LAYER_GZIP},
	{"zstd", 19, OCI_MEDIA_LAYER_ZSTD, OCI_MEDIA_OTHER},
	{"bzip2", 0, OCI_MEDIA_OTHER, OCI_MEDIA_OTHER},
	{"xz", 0, OCI_MEDIA_OTHER, OCI_MEDIA_OTHER},
};

const char *oci_compression_name(enum oci_compression compression)
{
	return compressions[compression].name;
}

static const struct {
	const char *name;
	enum oci_compression compression;
} writable[] = {
	{"uncompressed", OCI_UNCOMPRESSED},
	{"none", OCI_UNCOMPRESSED},
	{"gzip", OCI_GZIP},
	{"zstd", OCI_ZSTD},
};

static int fail_unknown(const char *name, struct ib_err *err)
{
	const char *names[sizeof writable / sizeof *writable];
	ib_autofree char *shown = ib_printable(name, 64);
	const char *nearest;

	for (size_t i = 0; i < sizeof writable / sizeof *writable; i++)
		names[i] = writable[i].name;
	(void)ib_fail(err, IB_USAGE, "unknown compression '%s'; use gzip, zstd or uncompressed", shown);
	nearest = ib_nearest(name, names, sizeof names / sizeof *names);
	return nearest ? ib_err_hint(err, " (did you mean %s?)", nearest) : -1;
}

static int parse_level(const char *text, struct oci_compression_setting *setting, struct ib_err *err)
{
	const char *name = oci_compression_name(setting->compression);
	int max = compressions[setting->compression].max_level;
	long long level;

	if (!max)
		return ib_fail(err, IB_USAGE, "compression %s has no level", name);
	if (!ib_parse_int(text, 1, max, &level)) {
		ib_autofree char *shown = ib_printable(text, 32);

		return ib_fail(err, IB_USAGE, "%s has levels 1 to %d, not '%s'", name, max, shown);
	}
	setting->level = (int)level;
	return 0;
}

int oci_compression_parse(const char *text, struct oci_compression_setting *ret_setting, struct ib_err *err)
{
	const char *colon = strchr(text, ':');
	ib_autofree char *name = ib_strndup(text, colon ? (size_t)(colon - text) : strlen(text));

	for (size_t i = 0; i < sizeof writable / sizeof *writable; i++) {
		struct oci_compression_setting setting = {.compression = writable[i].compression};

		if (strcmp(name, writable[i].name) != 0)
			continue;
		if (colon && parse_level(colon + 1, &setting, err) < 0)
			return -1;
		*ret_setting = setting;
		return 0;
	}
	return fail_unknown(name, err);
}

int oci_compression_media(enum oci_compression compression, bool docker, enum oci_media *ret_media,
			  struct ib_err *err)
{
	enum oci_media media = docker ? compressions[compression].docker_media :
					compressions[compression].media;

	if (media == OCI_MEDIA_OTHER)
		return ib_fail(err, IB_UNSUPPORTED, "%s has no layers compressed with %s",
			       docker ? "the Docker image format" : "the OCI image format",
			       oci_compression_name(compression));
	*ret_media = media;
	return 0;
}

enum oci_compression oci_compression_sniff(const void *bytes, size_t n)
{
	static const struct {
		enum oci_compression compression;
		size_t n;
		const char *bytes, *mask;	/* NULL: all bits count */
	} signatures[] = {
		{OCI_GZIP, 3, "\x1f\x8b\x08", NULL},
		{OCI_ZSTD, 4, "\x28\xb5\x2f\xfd", NULL},
		{OCI_ZSTD, 4, "\x50\x2a\x4d\x18", "\xf0\xff\xff\xff"},	/* a skippable frame */
		{OCI_BZIP2, 6, "BZh01A", "\xff\xff\xff\xf0\xff\xff"},	/* level digit, begin of a block */
		{OCI_BZIP2, 6, "BZh0\x17\x72", "\xff\xff\xff\xf0\xff\xff"}, /* ... or of the end */
		{OCI_XZ, 6, "\xfd" "7zXZ\0", NULL},
	};
	const unsigned char *p = bytes;

	for (size_t i = 0; i < sizeof signatures / sizeof *signatures; i++) {
		size_t same = 0;

		while (n >= signatures[i].n && same < signatures[i].n) {
			unsigned char mask = signatures[i].mask ? (unsigned char)signatures[i].mask[same] : 0xff;

			if ((p[same] & mask) != ((unsigned char)signatures[i].bytes[same] & mask))
				break;
			same++;
		}
		if (same == signatures[i].n)
			return signatures[i].compression;
	}
	return OCI_UNCOMPRESSED;
}
