/*
 * The input: a manifest or an index. What is read can be written, and what was written says the same.
 */
#include <string.h>

#include "oci/manifest.h"
#include "tests/fuzz/fuzz.h"

#include "oci/base/poison.h"

static void try_manifest(const char *bytes, size_t size)
{
	IB_CLEANUP(oci_manifest_freep) struct oci_manifest *m = NULL, *again = NULL;
	ib_autofree char *text = NULL;
	oci_autodescriptor desc = {0};
	ib_autoerr err = {0};
	size_t len;

	if (oci_manifest_parse(bytes, size, OCI_MEDIA_OTHER, &m, &err) < 0) {
		fuzz_check(err.code == IB_INVALID || err.code == IB_LIMIT);
		return;
	}
	oci_manifest_write(m->media, &m->config, m->layers, m->n_layers, NULL, &text, &len, &desc);
	fuzz_check(oci_manifest_parse(text, len, m->media, &again, &err) == 0);
	fuzz_check(again->n_layers == m->n_layers);
	for (size_t i = 0; i < m->n_layers; i++)
		fuzz_check(oci_digest_equal(&m->layers[i].digest, &again->layers[i].digest) &&
			   m->layers[i].size == again->layers[i].size && m->layers[i].media == again->layers[i].media);
}

static void try_index(const char *bytes, size_t size)
{
	IB_CLEANUP(oci_index_freep) struct oci_index *index = NULL, *again = NULL;
	ib_autofree char *text = NULL, *offered = NULL;
	const struct oci_descriptor *chosen;
	oci_autoplatform host = {0};
	ib_autoerr err = {0};
	size_t len;

	if (oci_index_parse(bytes, size, OCI_MEDIA_OTHER, &index, &err) < 0)
		return;
	oci_platform_host(&host);
	chosen = oci_index_choose(index, &host, &offered);
	fuzz_check((chosen == NULL) == (offered != NULL));
	text = oci_index_write(index, &len);
	fuzz_check(len > OCI_MANIFEST_MAX_BYTES ||
		   oci_index_parse(text, len, index->media, &again, &err) == 0);
	fuzz_check(!again || again->n_manifests == index->n_manifests);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	try_manifest((const char *)data, size);
	try_index((const char *)data, size);
	return 0;
}
