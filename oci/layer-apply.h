/*
 * oci/layer-apply.h - unpacking a layer into a directory (layer.md "Applying Changesets"), safe against
 * every hostile tar.
 *
 * Names are cleaned and resolved inside the root; links in them are followed inside the tree only, by us.
 * Nothing outside the target directory is created, changed, or read. Fails with IB_INVALID (naming the
 * entry), IB_LIMIT (name, depth), IB_NOSPACE, IB_CANCELLED; what was unpacked until then is the caller's
 * to remove.
 */
#ifndef OCI_LAYER_APPLY_H
#define OCI_LAYER_APPLY_H

#include "oci/reader.h"
#include "oci/union.h"

enum oci_apply_form {
	/*
	 * The target becomes one layer of an OCI_UNION_OVERLAY: whiteouts are written as such (character
	 * device 0:0, opaque attribute). lower is what is below.
	 */
	OCI_APPLY_OVERLAY,
	/* The target is a full tree and whiteouts remove from it. lower is not used. */
	OCI_APPLY_MERGED,
	/*
	 * As MERGED, but names beginning with .wh. are ordinary: an archive that ADD unpacks, a root
	 * filesystem that is imported.
	 */
	OCI_APPLY_ARCHIVE,
};

struct oci_apply_options {
	enum oci_apply_form form;

	/*
	 * OVERLAY: the layers below, for parents that the layer does not mention (their metadata is
	 * copied up), links among them, and hard links to their files. NULL: not known yet; then
	 * *ret_needs_lower tells whether the result depends on it and the layer must be applied again.
	 */
	struct oci_union *lower;

	bool keep_owner;	/* false: one id only; ownership is not set, set-id bits are kept */
	bool keep_devices;	/* false: device nodes cannot be made here; they are counted and left out */
	bool force_owner;	/* every entry gets uid and gid below (ADD --chown) */
	uid_t uid;
	gid_t gid;
	int64_t max_bytes;	/* of unpacked content; 0: no limit */
};

struct oci_apply_result {
	bool needs_lower;	/* see options.lower */
	int64_t entries, bytes;
	int64_t devices_left_out;
	char *first_device;	/* caller's; NULL when none */
};

/*
 * Unpack the uncompressed tar src into target (a directory descriptor), reading src to its end.
 * result may be NULL.
 */
int oci_layer_apply(struct oci_reader *src, int target, const struct oci_apply_options *options,
		    struct oci_apply_result *result, struct ib_err *err);

#endif
