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
	 * As MERGED, but names beginning with .wh. are ordinary, and ".." at the root stays there instead
	 * of being refused: an archive that ADD unpacks, a root filesystem that is imported.
	 *
	 * With lower the target is one layer of an overlay, as in OVERLAY: parents that only lower has are
	 * copied up, its links followed, its files replaced by what the archive has.
	 */
	OCI_APPLY_ARCHIVE,
};

struct oci_apply_options {
	enum oci_apply_form form;

	/*
	 * OVERLAY: the layers below, for parents that the layer does not mention (their metadata is
	 * copied up), links among them, and hard links to their files. NULL: not known yet; then
	 * result.needs_lower tells whether the result depends on it and the layer must be applied again.
	 * ARCHIVE: see there. MERGED: not used.
	 */
	struct oci_union *lower;
	const char *lower_path;	/* the counterpart of target in lower, a clean path; NULL: its root */

	bool keep_owner;	/* false: one id only; ownership is not set, set-id bits are kept */
	/*
	 * false: device nodes cannot be made here; they are counted and left out. So is the character device
	 * 0:0 in any case where the target is a layer of an overlay, for it would be a whiteout there.
	 */
	bool keep_devices;
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
 * result may be NULL; it is set on failure too.
 *
 * Directories that no entry describes are 0755, 0:0, with the time of the entry that needs them. Extended
 * attributes that the file system does not have, or that only its administrator may set, are left out, but
 * for security.capability, which is IB_DENIED or so when keep_owner; overlayfs' own are never set.
 */
int oci_layer_apply(struct oci_reader *src, int target, const struct oci_apply_options *options,
		    struct oci_apply_result *result, struct ib_err *err);

#endif
