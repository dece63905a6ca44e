#include "oci/tar-header.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "oci/base/alloc.h"
#include "oci/base/str.h"

#include "oci/base/poison.h"

struct oci_tar_reader {
	struct tar_stream stream;
	bool ended;

	struct oci_tar_entry entry;	/* its strings are in the fields below */
	struct tar_content content;
	char name[OCI_TAR_MAX_NAME + 1];
	char link[OCI_TAR_MAX_NAME + 1];

	char *long_name, *long_link;	/* of GNU 'L' and 'K' headers, for the next entry; or NULL */
	struct tar_pax pax;		/* for the next entry: begins as a copy of global */
	struct tar_pax global;		/* for all entries that have none of their own */
	bool has_pax, has_global;
};

struct oci_tar_reader *oci_tar_reader_new(struct oci_reader *src)
{
	struct oci_tar_reader *r = ib_new(struct oci_tar_reader);

	tar_stream_init(&r->stream, src);
	tar_pax_init(&r->pax);
	tar_pax_init(&r->global);
	return r;
}

void oci_tar_reader_free(struct oci_tar_reader *r)
{
	if (!r)
		return;
	tar_pax_done(&r->pax);
	tar_pax_done(&r->global);
	tar_map_done(&r->content.map);
	free(r->long_name);
	free(r->long_link);
	tar_stream_done(&r->stream);
	free(r);
}

void oci_tar_entry_done(struct oci_tar_entry *entry)
{
	for (size_t i = 0; i < entry->n_xattrs; i++) {
		free(entry->xattrs[i].name);
		free(entry->xattrs[i].value);
	}
	free(entry->xattrs);
	free(entry->name);
	free(entry->link);
	*entry = (struct oci_tar_entry){0};
}

static int wrap_entry(struct oci_tar_reader *r, struct ib_err *err)
{
	ib_autofree char *shown = ib_printable(r->name, 256);

	return ib_wrap(err, "'%s'", shown);
}

static bool is_zero(const char *block)
{
	return block[0] == '\0' && memcmp(block, block + 1, TAR_BLOCK - 1) == 0;
}

/* The next header, checked but not consumed; NULL at the end of the archive. */
static int next_header(struct oci_tar_reader *r, const struct tar_header **ret_header, struct ib_err *err)
{
	const void *block;

	*ret_header = NULL;
	if (tar_stream_block(&r->stream, &block, err) < 0)
		return -1;
	if (!block)
		return 0;
	if (is_zero(block)) {
		tar_stream_consume(&r->stream, TAR_BLOCK);
		if (tar_stream_block(&r->stream, &block, err) < 0)
			return -1;
		if (block && !is_zero(block))
			return ib_fail(err, IB_INVALID, "follows a lone zero block");
		return 0;
	}
	if (!tar_checksum_ok(block))
		return ib_fail(err, IB_INVALID, "wrong checksum, or no tar archive");
	*ret_header = block;
	return 0;
}

/* With its padding the size must not pass int64_t. */
static int parse_size(const struct tar_header *h, int64_t *ret_size, struct ib_err *err)
{
	if (!tar_number_parse(h->size, sizeof h->size, ret_size) || *ret_size < 0 ||
	    *ret_size > INT64_MAX - TAR_BLOCK)
		return ib_fail(err, IB_INVALID, "bad size");
	return 0;
}

/* The header that is the next block and its content, which describe the entry after it. The caller's. */
static int read_meta(struct oci_tar_reader *r, const struct tar_header *h, char **ret_bytes, size_t *ret_n,
		     struct ib_err *err)
{
	ib_autofree char *bytes = NULL;
	int64_t size;

	if (parse_size(h, &size, err) < 0)
		return -1;
	if (size > OCI_TAR_MAX_PAX)
		return ib_fail(err, IB_LIMIT, "extended header of more than %u bytes", OCI_TAR_MAX_PAX);
	tar_stream_consume(&r->stream, TAR_BLOCK);
	bytes = ib_malloc((size_t)size + 1);
	if (tar_stream_copy(&r->stream, bytes, (size_t)size, err) < 0 ||
	    tar_stream_skip(&r->stream, tar_padding(size), err) < 0)
		return -1;
	bytes[size] = '\0';
	*ret_bytes = ib_steal_ptr(&bytes);
	*ret_n = (size_t)size;
	return 0;
}

static int read_long(struct oci_tar_reader *r, const struct tar_header *h, char **field, struct ib_err *err)
{
	ib_autofree char *bytes = NULL;
	size_t n;

	if (read_meta(r, h, &bytes, &n, err) < 0)
		return -1;
	if (strlen(bytes) > OCI_TAR_MAX_NAME)	/* the text ends at the NUL that GNU tar counts in */
		return ib_fail(err, IB_LIMIT, "name of more than %d bytes", OCI_TAR_MAX_NAME);
	free(*field);
	*field = ib_steal_ptr(&bytes);
	return 0;
}

static int read_pax(struct oci_tar_reader *r, const struct tar_header *h, struct tar_pax *pax,
		    struct ib_err *err)
{
	ib_autofree char *bytes = NULL;
	size_t n;

	if (read_meta(r, h, &bytes, &n, err) < 0)
		return -1;
	return tar_pax_parse(pax, bytes, n, err);
}

/* Forget what was said about an entry that has passed. */
static void reset_meta(struct oci_tar_reader *r)
{
	free(ib_steal_ptr(&r->long_name));
	free(ib_steal_ptr(&r->long_link));
	if (r->has_pax)
		tar_pax_done(&r->pax);
	r->has_pax = false;
}

/* What pax headers say about the entry in hand; NULL: nothing. */
static const struct tar_pax *pax_of(const struct oci_tar_reader *r)
{
	return r->has_pax ? &r->pax : r->has_global ? &r->global : NULL;
}

static size_t copy_field(char *to, const char *field, size_t max)
{
	size_t n = strnlen(field, max);

	memcpy(to, field, n);
	to[n] = '\0';
	return n;
}

static void copy_text(char *to, const char *text)
{
	memcpy(to, text, strlen(text) + 1);	/* texts are checked against OCI_TAR_MAX_NAME when read */
}

/* Name as the ustar or v7 header has it. */
static void header_name(struct oci_tar_reader *r, const struct tar_header *h)
{
	bool posix = memcmp(h->magic, "ustar", 6) == 0;
	/* star keeps times in the last bytes of the prefix and says so at the end of the block */
	size_t max = memcmp(h->padding + 8, "tar", 4) == 0 ? 131 : sizeof h->prefix;
	size_t n = 0;

	if (posix && h->prefix[0]) {
		n = copy_field(r->name, h->prefix, max);
		r->name[n++] = '/';
	}
	(void)copy_field(r->name + n, h->name, sizeof h->name);
}

static void set_names(struct oci_tar_reader *r, const struct tar_header *h)
{
	const struct tar_pax *pax = pax_of(r);
	const char *name = pax && pax->sparse_path ? pax->sparse_path : pax && pax->path ? pax->path : r->long_name;
	const char *link = pax && pax->linkpath ? pax->linkpath : r->long_link;

	if (name)
		copy_text(r->name, name);
	else
		header_name(r, h);
	if (link)
		copy_text(r->link, link);
	else
		(void)copy_field(r->link, h->linkname, sizeof h->linkname);
}

static int set_numbers(struct oci_tar_reader *r, const struct tar_header *h, struct ib_err *err)
{
	struct oci_tar_entry *e = &r->entry;
	const struct tar_pax *pax = pax_of(r);
	int64_t mode, uid, gid, seconds, major = 0, minor = 0;

	if (!tar_number_parse(h->mode, sizeof h->mode, &mode) ||
	    !tar_number_parse(h->uid, sizeof h->uid, &uid) ||
	    !tar_number_parse(h->gid, sizeof h->gid, &gid) ||
	    !tar_number_parse(h->mtime, sizeof h->mtime, &seconds))
		return ib_fail(err, IB_INVALID, "bad number in its header");
	if ((h->type == '3' || h->type == '4') &&
	    (!tar_number_parse(h->devmajor, sizeof h->devmajor, &major) ||
	     !tar_number_parse(h->devminor, sizeof h->devminor, &minor)))
		return ib_fail(err, IB_INVALID, "bad device number");
	uid = pax && pax->has_uid ? pax->uid : uid;
	gid = pax && pax->has_gid ? pax->gid : gid;
	if (uid < 0 || gid < 0)
		return ib_fail(err, IB_INVALID, "negative owner");
	if (major < 0 || major > UINT32_MAX || minor < 0 || minor > UINT32_MAX)
		return ib_fail(err, IB_INVALID, "bad device number");
	e->mode = (mode_t)(mode & 07777);
	e->uid = (uint64_t)uid;
	e->gid = (uint64_t)gid;
	e->mtime = pax && pax->has_mtime ? pax->mtime : (struct timespec){.tv_sec = seconds};
	e->major = (uint32_t)major;
	e->minor = (uint32_t)minor;
	e->xattrs = pax ? pax->xattrs : NULL;
	e->n_xattrs = pax ? pax->n_xattrs : 0;
	return 0;
}

enum kind { KIND_FILE, KIND_LINK, KIND_NODE, KIND_PASSED_OVER, KIND_UNKNOWN };

/* The kind of entry that a type byte stands for, and its type bits. */
static enum kind kind_of(char type, mode_t *ret_type)
{
	static const struct {
		char type;
		enum kind kind;
		mode_t mode;
	} types[] = {
		{'0', KIND_FILE, S_IFREG},
		{'\0', KIND_FILE, S_IFREG},
		{'7', KIND_FILE, S_IFREG},	/* contiguous, once upon a time */
		{'S', KIND_FILE, S_IFREG},	/* GNU sparse */
		{'D', KIND_FILE, S_IFDIR},	/* GNU incremental: its content is a list of names */
		{'5', KIND_NODE, S_IFDIR},
		{'1', KIND_LINK, S_IFREG},
		{'2', KIND_LINK, S_IFLNK},
		{'3', KIND_NODE, S_IFCHR},
		{'4', KIND_NODE, S_IFBLK},
		{'6', KIND_NODE, S_IFIFO},
		{'V', KIND_PASSED_OVER, 0},	/* GNU volume label */
		{'A', KIND_PASSED_OVER, 0},	/* Solaris access list */
	};

	for (size_t i = 0; i < sizeof types / sizeof *types; i++)
		if (types[i].type == type) {
			*ret_type = types[i].mode;
			return types[i].kind;
		}
	return KIND_UNKNOWN;
}

/*
 * Fill the entry from its header, which is consumed. Only regular files have content, whatever the size
 * field of another type says: so do Go's and GNU's readers, and reading it otherwise would show other
 * entries than they see.
 */
static int set_entry(struct oci_tar_reader *r, const struct tar_header *h, enum kind kind, mode_t type,
		     struct ib_err *err)
{
	const struct tar_pax *pax = pax_of(r);
	int64_t size;
	size_t n;

	set_names(r, h);
	if (parse_size(h, &size, err) < 0 || set_numbers(r, h, err) < 0)
		return -1;
	if (pax && pax->has_size)
		size = pax->size;
	if (size > INT64_MAX - TAR_BLOCK)
		return ib_fail(err, IB_INVALID, "bad size");
	r->entry.mode |= type;
	r->entry.hardlink = kind == KIND_LINK && type == S_IFREG;
	r->entry.name = r->name;
	r->entry.link = kind == KIND_LINK ? r->link : NULL;
	if (kind != KIND_FILE) {
		tar_stream_consume(&r->stream, TAR_BLOCK);
		return 0;
	}
	if (tar_content_begin(&r->content, &r->stream, size, pax, &r->entry.size, err) < 0)
		return -1;
	n = strlen(r->name);
	if (type == S_IFDIR || (n && r->name[n - 1] == '/')) {	/* v7 writes directories like this */
		r->entry.mode = (r->entry.mode & 07777) | S_IFDIR;
		r->entry.size = 0;
		r->content.n = 0;	/* the rest is passed over */
	}
	return 0;
}

static int pass_over(struct oci_tar_reader *r, const struct tar_header *h, struct ib_err *err)
{
	int64_t size;

	reset_meta(r);
	if (parse_size(h, &size, err) < 0)
		return -1;
	tar_stream_consume(&r->stream, TAR_BLOCK);
	return tar_stream_skip(&r->stream, size + tar_padding(size), err);
}

/* What the header at hand is: 1 an entry, 0 something before or between entries that was taken in, -1. */
static int take_header(struct oci_tar_reader *r, const struct tar_header *h, struct ib_err *err)
{
	mode_t type = 0;
	enum kind kind;

	switch (h->type) {
	case 'x':
	case 'X':	/* Solaris, before POSIX chose */
		tar_pax_copy(&r->pax, &r->global);
		r->has_pax = true;
		return read_pax(r, h, &r->pax, err);
	case 'g':
		r->has_global = true;
		return read_pax(r, h, &r->global, err);
	case 'L':
		return read_long(r, h, &r->long_name, err);
	case 'K':
		return read_long(r, h, &r->long_link, err);
	}
	kind = kind_of(h->type, &type);
	if (kind == KIND_UNKNOWN)
		return ib_fail(err, IB_INVALID, "entry of an unknown type");
	if (kind == KIND_PASSED_OVER)
		return pass_over(r, h, err);
	if (set_entry(r, h, kind, type, err) < 0)
		return wrap_entry(r, err);
	return 1;
}

static int end_of_archive(struct oci_tar_reader *r, struct ib_err *err)
{
	if (r->long_name || r->long_link || r->has_pax)
		return ib_fail(err, IB_INVALID, "archive ends where an entry was announced");
	r->ended = true;
	return tar_stream_drain(&r->stream, err);
}

int oci_tar_next(struct oci_tar_reader *r, const struct oci_tar_entry **ret_entry, struct ib_err *err)
{
	int got = 0;

	if (r->ended)
		return 0;
	if (tar_content_end(&r->content, &r->stream, err) < 0)
		return wrap_entry(r, err);
	reset_meta(r);
	r->entry = (struct oci_tar_entry){0};
	while (got == 0 && !r->ended) {
		int64_t position = r->stream.position;
		const struct tar_header *h;

		if (next_header(r, &h, err) < 0)
			got = -1;
		else
			got = h ? take_header(r, h, err) : end_of_archive(r, err);
		if (got < 0)
			return ib_wrap(err, "tar header at byte %" PRId64, position);
	}
	*ret_entry = got ? &r->entry : NULL;
	return got;
}

int oci_tar_read(struct oci_tar_reader *r, const void **ret_bytes, size_t *ret_n, int64_t *ret_offset,
		 struct ib_err *err)
{
	int got = tar_content_read(&r->content, &r->stream, ret_bytes, ret_n, ret_offset, err);

	return got < 0 ? wrap_entry(r, err) : got;
}
