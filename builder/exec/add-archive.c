#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>

#include "builder/exec/copy-internal.h"
#include "oci/base/alloc.h"
#include "oci/base/log.h"
#include "oci/base/pool.h"
#include "oci/base/str.h"
#include "oci/compression.h"
#include "oci/layer-apply.h"
#include "oci/tar.h"

#include "oci/base/poison.h"

/* The decompressed bytes of the file at path of the tree. */
static int open_stream(struct exec_copier *copier, const char *path, struct oci_reader **ret_reader,
		       struct ib_err *err)
{
	int fd = oci_union_open(copier->tree->tree, path, err);

	if (fd < 0)
		return -1;
	return oci_decompress_reader_new(oci_file_reader_new(fd, path), NULL, ret_reader, err);
}

/*
 * By content alone: it is an archive when a first entry can be read out of it. So an empty file, an archive
 * without entries and anything that only looks compressed are files.
 */
int exec_archive_check(struct exec_copier *copier, const char *path, struct ib_err *err)
{
	IB_CLEANUP(oci_reader_freep) struct oci_reader *stream = NULL;
	IB_CLEANUP(oci_tar_reader_freep) struct oci_tar_reader *tar = NULL;
	const struct oci_tar_entry *entry;
	ib_autoerr judgement = {0};	/* dropped: it says why this is no archive, which is no failure */
	int fd = oci_union_open(copier->tree->tree, path, err);

	if (fd < 0)
		return -1;
	if (oci_decompress_reader_new(oci_file_reader_new(fd, path), NULL, &stream, &judgement) < 0)
		return ib_check_cancelled(err);
	tar = oci_tar_reader_new(stream);
	return oci_tar_next(tar, &entry, &judgement) > 0;
}

static int unpack(struct exec_copier *copier, const char *path, const char *dest, int dest_fd, struct ib_err *err)
{
	const struct exec_target *target = exec_upper_target(copier->upper);
	const struct exec_copy *copy = copier->selection->copy;
	IB_CLEANUP(oci_reader_freep) struct oci_reader *stream = NULL;
	struct oci_apply_result result = {0};
	const struct oci_apply_options options = {
		.form = OCI_APPLY_ARCHIVE,
		.lower = target->lower,
		.lower_path = dest,
		.keep_owner = target->keep_owner,
		.keep_devices = target->keep_devices,
		.force_owner = copy->chown && *copy->chown,
		.uid = copier->rules.uid,
		.gid = copier->rules.gid,
	};
	int r;

	if (open_stream(copier, path, &stream, err) < 0)
		return -1;
	r = oci_layer_apply(stream, dest_fd, &options, &result, err);
	exec_file_queue_count(copier->files, result.bytes);
	if (r == 0 && result.devices_left_out)
		ib_log(IB_LOG_DEBUG, "devices left out of archive=%s count=%" PRId64, path, result.devices_left_out);
	free(result.first_device);
	return r;
}

int exec_archive_unpack(struct exec_copier *copier, const char *path, const char *dest, struct ib_err *err)
{
	struct exec_metadata made = copier->made;
	ib_autofree char *shown = ib_printable(path, 1024);
	ib_autoclose int fd = -1;

	made.mode = 0755;	/* --chmod has no say in what is unpacked */
	if (exec_upper_goto(copier->upper, dest, &made, err) < 0)
		return -1;
	/* From here on the directory is the unpacker's: it may give it another mode, or time. */
	fd = fcntl(exec_upper_dir(copier->upper)->fd, F_DUPFD_CLOEXEC, 0);
	if (fd < 0)
		return ib_fail_sys(err, errno, "unpack '/%s'", shown);
	if (exec_upper_leave(copier->upper, err) < 0)
		return -1;
	return unpack(copier, path, dest, fd, err) < 0 ? ib_wrap(err, "unpack '/%s'", shown) : 0;
}
