/* Parsing any text ends, with an error or with a reference whose two forms parse back to itself. */
#include <string.h>

#include "oci/base/alloc.h"
#include "registry/reference.h"
#include "tests/fuzz/fuzz.h"

#include "oci/base/poison.h"

static void check_form(const char *form, const char *full)
{
	registry_autoreference again = {0};
	ib_autofree char *text = NULL;
	ib_autoerr err = {0};

	fuzz_check(registry_reference_parse(form, &again, &err) == 0);
	text = registry_reference_str(&again);
	fuzz_check(strcmp(text, full) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	ib_autofree char *text = ib_malloc(size + 1);
	ib_autofree char *full = NULL, *familiar = NULL;
	registry_autoreference ref = {0};
	ib_autoerr err = {0};

	if (size)
		memcpy(text, data, size);
	text[size] = '\0';
	if (registry_reference_parse(text, &ref, &err) < 0) {
		fuzz_check(err.code == IB_USAGE && err.text && !ref.host);
		return 0;
	}
	fuzz_check(ref.tag || ref.has_digest);
	fuzz_check(strlen(ref.host) + 1 + strlen(ref.repository) <= 255);
	fuzz_check(!strpbrk(ref.host, "/@ ?#") && !strpbrk(ref.repository, ":@ ?#%") && !strstr(ref.repository, ".."));
	full = registry_reference_str(&ref);
	familiar = registry_reference_familiar(&ref);
	check_form(full, full);
	check_form(familiar, full);
	return 0;
}
