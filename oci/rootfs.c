#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "oci/archive.h"
#include "oci/base/alloc.h"
#include "oci/image.h"
#include "oci/members.h"

#include "oci/base/poison.h"

#define MAX_HOLE (64ll << 30)	/* zeros written for one sparse file: its maker pays nothing for them */

struct rootfs {
	struct oci_tar_reader *in;
	struct oci_tar_writer *out;	/* the layer's */
};

static int fail_entry(struct ib_err *err, const struct oci_tar_entry *entry, const char *flaw)
{
	ib_autofree char *shown = ib_printable(entry->name, 200);

	return ib_fail(err, IB_INVALID, "'%s' %s", shown, flaw);
}

static int write_zeros(struct oci_tar_writer *out, int64_t n, struct ib_err *err)
{
	static const char zeros[65536];

	while (n > 0) {
		size_t piece = n < (int64_t)sizeof zeros ? (size_t)n : sizeof zeros;

		if (oci_tar_write(out, zeros, piece, err) < 0)
			return -1;
		n -= (int64_t)piece;
	}
	return 0;
}

/* Layers have no sparse files: holes are written out. */
static int copy_content(const struct rootfs *r, const struct oci_tar_entry *entry, struct ib_err *err)
{
	int64_t done = 0, holes = 0, offset;
	const void *bytes;
	size_t n;
	int got;

	do {
		got = oci_tar_read(r->in, &bytes, &n, &offset, err);
		if (got < 0)
			return -1;
		if (got == 0) {
			offset = entry->size;
			n = 0;
		}
		holes += offset - done;
		if (holes > MAX_HOLE)
			return fail_entry(err, entry, "has holes of more than 64 GiB");
		if (write_zeros(r->out, offset - done, err) < 0 || (n && oci_tar_write(r->out, bytes, n, err) < 0))
			return -1;
		done = offset + (int64_t)n;
	} while (got > 0);
	return 0;
}

static bool is_whiteout(const char *name)
{
	const char *slash = strrchr(name, '/');

	return ib_starts(slash ? slash + 1 : name, ".wh.");
}

/* What only the overlay file system of the machine that made the tar could understand. */
static bool is_foreign_xattr(const char *name)
{
	return ib_starts(name, "trusted.overlay.") || ib_starts(name, "user.overlay.");
}

static void copy_xattrs(const struct oci_tar_entry *entry, struct oci_tar_entry *to)
{
	to->xattrs = ib_calloc(entry->n_xattrs ? entry->n_xattrs : 1, sizeof *to->xattrs);
	to->n_xattrs = 0;
	for (size_t i = 0; i < entry->n_xattrs; i++)
		if (!is_foreign_xattr(entry->xattrs[i].name))
			to->xattrs[to->n_xattrs++] = entry->xattrs[i];	/* borrowed */
}

/* Absolute names are common in such tars; they mean the root of the image. */
static char *clean(const char *name)
{
	return oci_members_clean(name + strspn(name, "/"), NULL);
}

static int write_entry(const struct rootfs *r, const struct oci_tar_entry *entry, struct ib_err *err)
{
	struct oci_tar_entry to = *entry;
	ib_autofree char *name = clean(entry->name), *link = NULL;
	ib_autofree struct oci_xattr *xattrs = NULL;

	if (!name || (entry->hardlink && !(link = clean(entry->link))))
		return fail_entry(err, entry, "leads out of the root");
	if (!*name)
		return 0;	/* the root itself has no place in a layer */
	if (is_whiteout(name))
		return fail_entry(err, entry, "would delete files when it stands in a layer");
	if (S_ISCHR(entry->mode) && entry->major == 0 && entry->minor == 0)
		return fail_entry(err, entry, "is a device that stands for a deleted file");
	to.name = name;
	if (entry->hardlink)
		to.link = link;
	copy_xattrs(entry, &to);
	xattrs = to.xattrs;
	if (oci_tar_begin(r->out, &to, err) < 0)
		return -1;
	return S_ISREG(entry->mode) && !entry->hardlink ? copy_content(r, entry, err) : 0;
}

static int copy_entries(const struct rootfs *r, struct ib_err *err)
{
	const struct oci_tar_entry *entry;
	int got;

	while ((got = oci_tar_next(r->in, &entry, err)) > 0)
		if (write_entry(r, entry, err) < 0)
			return -1;
	return got;
}

static int write_layer(struct oci_store *store, struct oci_reader *src, struct ib_pool *pool,
		       const struct oci_compression_setting *setting, struct oci_layer *ret_layer,
		       struct ib_err *err)
{
	IB_CLEANUP(oci_layer_writer_freep) struct oci_layer_writer *writer = NULL;
	IB_CLEANUP(oci_reader_freep) struct oci_reader *plain = NULL;
	IB_CLEANUP(oci_tar_reader_freep) struct oci_tar_reader *in = NULL;

	if (oci_decompress_reader_new(oci_borrowed_reader_new(src), NULL, &plain, err) < 0 ||
	    oci_layer_writer_new(store, pool, setting, &writer, err) < 0)
		return -1;
	in = oci_tar_reader_new(plain);
	if (copy_entries(&(struct rootfs){in, oci_layer_writer_tar(writer)}, err) < 0)
		return -1;
	return oci_layer_writer_finish(writer, ret_layer, err);
}

static int set_env(struct oci_config *config, const struct oci_rootfs_options *options, struct ib_err *err)
{
	for (size_t i = 0; i < options->n_changes_env; i++) {
		const char *text = options->changes_env[i], *equals = strchr(text, '=');
		ib_autofree char *key = NULL;

		if (!equals || equals == text)
			return ib_fail(err, IB_USAGE, "'%s' is not NAME=VALUE", text);
		key = ib_strndup(text, (size_t)(equals - text));
		oci_config_set_env(config, key, equals + 1);
	}
	return 0;
}

static int write_image(struct oci_store *store, struct oci_config *config, const struct oci_layer *layer,
		       const struct oci_rootfs_options *options, struct oci_descriptor *ret_desc,
		       struct ib_err *err)
{
	struct oci_history history = {.created = {true, options->created}};
	ib_autofree char *message = ib_strdup_null(options->message);

	history.comment = message;
	oci_platform_copy(&config->platform, &options->platform);
	config->created = history.created;
	oci_config_add_history(config, &history);
	oci_config_add_layer(config, &layer->diff_id);
	return oci_image_write(store, config, &layer->desc, 1, false, NULL, ret_desc, err);
}

int oci_rootfs_import(struct oci_store *store, struct oci_reader *src, struct ib_pool *pool,
		      const struct oci_compression_setting *setting, const struct oci_rootfs_options *options,
		      struct oci_descriptor *ret_desc, struct ib_err *err)
{
	IB_CLEANUP(oci_config_freep) struct oci_config *config = oci_config_new();
	struct oci_layer layer = {0};
	int r;

	if (set_env(config, options, err) < 0)
		return -1;
	if (write_layer(store, src, pool, setting, &layer, err) < 0)
		return ib_wrap(err, "cannot import the root filesystem");
	r = write_image(store, config, &layer, options, ret_desc, err);
	oci_layer_done(&layer);
	return r;
}
