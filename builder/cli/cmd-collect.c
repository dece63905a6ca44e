/* imgbuild df, prune. */
#include <stdio.h>
#include <unistd.h>

#include "builder/cache/collect.h"
#include "builder/cli/cli.h"

#include "oci/base/poison.h"

static void print_row(const char *what, int64_t number, int64_t size, int64_t reclaimable)
{
	char a[32], b[32];

	printf("%-14s %10jd %10s %12s\n", what, (intmax_t)number, cli_size(size, a), cli_size(reclaimable, b));
}

static int df(int argc, char **argv, struct ib_err *err)
{
	IB_CLEANUP(oci_store_freep) struct oci_store *store = NULL;
	struct builder_usage usage = {0};
	ib_autoclose int lock = -1;
	const char *root = NULL;
	const struct cli_option options[] = {CLI_ROOT_OPTION(&root)};
	ib_autostrv arguments = {0};
	int r = cli_parse(&cli_df, options, 1, argc, argv, &arguments, err);

	if (r != 0)
		return r < 0 ? -1 : 0;
	if (cli_expect(&cli_df, &arguments, 0, 0, err) < 0 || cli_store_open(root, &store, err) < 0 ||
	    (lock = oci_store_lock(store, false, true, err)) < 0 || builder_usage_read(store, &usage, err) < 0)
		return -1;
	printf("%-14s %10s %10s %12s\n", "TYPE", "NUMBER", "SIZE", "RECLAIMABLE");
	print_row("Images", usage.image_blobs, usage.image_bytes, 0);
	print_row("Build cache", usage.cache_blobs, usage.cache_bytes, usage.cache_bytes);
	print_row("Unused", usage.unused_blobs, usage.unused_bytes, usage.unused_bytes);
	print_row("Snapshots", usage.snapshots, usage.snapshot_bytes, usage.snapshot_bytes);
	return cli_flush(err);
}

static int prune(int argc, char **argv, struct ib_err *err)
{
	IB_CLEANUP(oci_store_freep) struct oci_store *store = NULL;
	const char *root = NULL;
	bool all = false;
	const struct cli_option options[] = {
		{"all", 'a', CLI_FLAG, &all, NULL, "remove the build cache and all snapshots too"},
		CLI_ROOT_OPTION(&root),
	};
	ib_autostrv arguments = {0};
	ib_autoclose int lock = -1;
	int64_t freed = 0;
	char size[32];
	int r = cli_parse(&cli_prune, options, 2, argc, argv, &arguments, err);

	if (r != 0)
		return r < 0 ? -1 : 0;
	if (cli_expect(&cli_prune, &arguments, 0, 0, err) < 0 ||
	    builder_collect_enter(err) < 0 || cli_store_open(root, &store, err) < 0)
		return -1;
	lock = oci_store_lock(store, true, false, err);
	if (lock < 0)
		return ib_err_hint(err, "; prune again when no build runs");
	if (builder_collect(store, all, &freed, err) < 0)
		return -1;
	printf("Total reclaimed space: %s\n", cli_size(freed, size));
	return cli_flush(err);
}

const struct cli_command cli_df = {"df", "[OPTIONS]", "Show what takes space in the store.", df};
const struct cli_command cli_prune = {
	"prune", "[OPTIONS]", "Remove what no image name and no cached step needs.", prune,
};
