#include "oci/layer-apply.h"

#include <stdlib.h>

#include "oci/base/alloc.h"
#include "oci/base/pool.h"
#include "oci/base/str.h"
#include "oci/layer-apply-internal.h"

#include "oci/base/poison.h"

static int apply_one(struct apply *a, struct oci_tar_reader *tar, const struct oci_tar_entry *e,
		     struct ib_err *err)
{
	char path[OCI_TAR_MAX_NAME + 1];
	int whiteout = 0;

	a->result.entries++;
	a->entry_mtime = e->mtime;
	if (apply_name_clean(e->name, a->options->form == OCI_APPLY_ARCHIVE, path, err) < 0)
		return -1;
	if (a->layer)
		whiteout = apply_whiteout(a, path, err);
	if (whiteout)
		return whiteout < 0 ? -1 : 0;
	return apply_entry(a, tar, e, path, err);
}

static int apply_all(struct apply *a, struct oci_tar_reader *tar, struct ib_err *err)
{
	const struct oci_tar_entry *e;
	int got;

	while ((got = oci_tar_next(tar, &e, err)) > 0) {
		if (ib_check_cancelled(err) < 0)
			return -1;
		if (apply_one(a, tar, e, err) < 0) {
			ib_autofree char *shown = ib_printable(e->name, 256);

			return a->named ? -1 : ib_wrap(err, "'%s'", shown);
		}
	}
	return got < 0 ? -1 : apply_dirs_flush(a, err);
}

int oci_layer_apply(struct oci_reader *src, int target, const struct oci_apply_options *options,
		    struct oci_apply_result *result, struct ib_err *err)
{
	IB_CLEANUP(oci_tar_reader_freep) struct oci_tar_reader *tar = oci_tar_reader_new(src);
	struct apply a = {
		.options = options,
		.overlay = options->form == OCI_APPLY_OVERLAY ||
			   (options->form == OCI_APPLY_ARCHIVE && options->lower),
		.layer = options->form != OCI_APPLY_ARCHIVE,
	};
	int done = apply_dirs_init(&a, target, err);

	if (done == 0)
		done = apply_all(&a, tar, err);
	apply_dirs_done(&a);
	apply_record_done(&a.record);
	if (result)
		*result = a.result;
	else
		free(a.result.first_device);
	return done;
}
