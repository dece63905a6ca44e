/* Runs each file of the directories named on the command line through the fuzz target linked with this. */
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "oci/base/fd.h"
#include "oci/base/str.h"
#include "tests/fuzz/fuzz.h"

#include "oci/base/poison.h"

#define INPUT_MAX (16u << 20)

static int replay_file(int dir, const char *name, struct ib_err *err)
{
	ib_autofree char *bytes = NULL;
	ib_autofree uint8_t *exact = NULL;
	size_t n;

	if (ib_read_file(dir, name, INPUT_MAX, &bytes, &n, err) < 0)
		return ib_wrap(err, "%s", name);
	/* Without the NUL that ib_read_file() adds, so that a sanitizer sees a read behind the end. */
	exact = malloc(n ? n : 1);
	if (!exact)
		return ib_fail(err, IB_FAILED, "out of memory");
	memcpy(exact, bytes, n);
	(void)LLVMFuzzerTestOneInput(exact, n);
	return 0;
}

static int list(const char *path, struct ib_strv *ret_names, struct ib_err *err)
{
	DIR *dir = opendir(path);

	if (!dir)
		return ib_fail_sys(err, errno, "open '%s'", path);
	for (struct dirent *entry; (entry = readdir(dir));)
		if (entry->d_name[0] != '.')
			ib_strv_add(ret_names, entry->d_name);
	(void)closedir(dir);
	ib_strv_sort(ret_names);
	return ret_names->n ? 0 : ib_fail(err, IB_NOTFOUND, "no corpus in '%s'", path);
}

static int replay(const char *path, struct ib_err *err)
{
	ib_autostrv names = {0};
	ib_autoclose int dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (dir < 0)
		return ib_fail_sys(err, errno, "open '%s'", path);
	if (list(path, &names, err) < 0)
		return -1;
	for (size_t i = 0; i < names.n; i++) {
		/* The last name printed is the culprit when the target dies. */
		fprintf(stderr, "%s\n", names.v[i]);
		if (replay_file(dir, names.v[i], err) < 0)
			return -1;
	}
	return 0;
}

int main(int argc, char **argv)
{
	for (int i = 1; i < argc; i++) {
		ib_autoerr err = {0};

		if (replay(argv[i], &err) < 0) {
			fprintf(stderr, "%s\n", err.text);
			return 1;
		}
	}
	return argc < 2;
}
