/*
 * The input: an image config. What is read is written, and read again as the same: the second writing gives the
 * same bytes.
 */
#include <string.h>

#include "oci/config.h"
#include "tests/fuzz/fuzz.h"

#include "oci/base/poison.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	IB_CLEANUP(oci_config_freep) struct oci_config *config = NULL, *copy = NULL, *again = NULL;
	ib_autofree char *text = NULL, *second = NULL;
	struct oci_chain_id chain;
	ib_autoerr err = {0};
	size_t len, second_len;

	if (oci_config_parse((const char *)data, size, &config, &err) < 0) {
		fuzz_check(err.code == IB_INVALID || err.code == IB_LIMIT);
		return 0;
	}
	oci_config_chain_id(config, config->n_diff_ids, &chain);
	fuzz_check(oci_chain_id_is_empty(&chain) == (config->n_diff_ids == 0));
	copy = oci_config_copy(config);
	oci_config_set_env(copy, "PATH", "/bin");
	fuzz_check(strcmp(oci_config_env(copy, "PATH"), "/bin") == 0);
	text = oci_config_write(config, &len);
	if (len > OCI_CONFIG_MAX_BYTES)
		return 0;	/* escapes make it longer */
	fuzz_check(oci_config_parse(text, len, &again, &err) == 0);
	second = oci_config_write(again, &second_len);
	fuzz_check(second_len == len && memcmp(text, second, len) == 0);
	return 0;
}
