/*
 * oci/platform.h - platforms: os/architecture[/variant] (image-index.md "platform"; the normal forms that
 * Docker and containerd use).
 */
#ifndef OCI_PLATFORM_H
#define OCI_PLATFORM_H

#include <stdbool.h>

#include "oci/base/err.h"

struct oci_platform {
	char *os, *architecture;	/* never NULL once filled */
	char *variant;			/* NULL when none */
	char *os_version;		/* NULL when none */
};

void oci_platform_done(struct oci_platform *platform);
#define oci_autoplatform IB_CLEANUP(oci_platform_done) struct oci_platform

/*
 * Parse "linux/arm64", "arm64", "linux/arm/v7" ... and bring it to its normal form: lower case, x86_64 ->
 * amd64, aarch64 -> arm64, armhf -> arm/v7, armel -> arm/v6, i386 -> 386, bare arm -> arm/v7,
 * arm64/v8 -> arm64, amd64/v1 -> amd64. One word is an architecture of linux, or an os ("linux") with the
 * host's architecture. Fails with IB_USAGE.
 */
int oci_platform_parse(const char *text, struct oci_platform *ret_platform, struct ib_err *err);

/* The machine we run on. */
void oci_platform_host(struct oci_platform *ret_platform);

void oci_platform_copy(struct oci_platform *to, const struct oci_platform *from);

/* "linux/arm/v7". The caller's. */
char *oci_platform_str(const struct oci_platform *platform);

/*
 * How well an offered platform serves the wanted one: 0 not at all, larger is better (exact variant over
 * a lower variant of the same architecture that still runs).
 */
int oci_platform_match(const struct oci_platform *wanted, const struct oci_platform *offered);

#endif
