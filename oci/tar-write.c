#include "oci/tar-header.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "oci/base/alloc.h"
#include "oci/base/str.h"

#include "oci/base/poison.h"

struct oci_tar_writer {
	oci_tar_sink *sink;
	void *ctx;
	int64_t left;			/* content of the current entry that is still to come */
	unsigned int padding;
	char name[OCI_TAR_MAX_NAME + 2];	/* of the current entry, with a directory's '/' */
	struct ib_str pax;		/* records of the current entry */
};

struct oci_tar_writer *oci_tar_writer_new(oci_tar_sink *sink, void *ctx)
{
	struct oci_tar_writer *w = ib_new(struct oci_tar_writer);

	w->sink = sink;
	w->ctx = ctx;
	w->pax = (struct ib_str)IB_STR(OCI_TAR_MAX_PAX);
	return w;
}

void oci_tar_writer_free(struct oci_tar_writer *w)
{
	if (!w)
		return;
	ib_str_done(&w->pax);
	free(w);
}

static size_t decimal_digits(size_t n)
{
	size_t digits = 1;

	while (n >= 10) {
		n /= 10;
		digits++;
	}
	return digits;
}

/* "LENGTH KEY=VALUE\n", where LENGTH counts itself. */
static void add_record(struct ib_str *pax, const char *prefix, const char *key, const void *value, size_t n)
{
	size_t rest = strlen(prefix) + strlen(key) + n + 3, len = rest + 1;

	while (len != rest + decimal_digits(len))
		len = rest + decimal_digits(len);
	ib_str_addf(pax, "%zu %s%s=", len, prefix, key);
	ib_str_add(pax, value, n);
	ib_str_addc(pax, '\n');
}

static void add_number(struct ib_str *pax, const char *key, int64_t value)
{
	char text[32];
	int n = snprintf(text, sizeof text, "%" PRId64, value);

	add_record(pax, "", key, text, (size_t)n);
}

/* A number into its header field, or, where it does not fit, into a pax record beside a zero field. */
static void put_number(struct ib_str *pax, const char *key, char *field, size_t n, int64_t value)
{
	if (value < 0 || !tar_number_format(field, n, (uint64_t)value)) {
		(void)tar_number_format(field, n, 0);
		add_number(pax, key, value);
	}
}

static bool is_ascii(const char *s)
{
	for (; *s; s++)
		if ((unsigned char)*s >= 0x80)
			return false;
	return true;
}

/* What readers without pax see of a name: its beginning, in ASCII. */
static void put_shadow(char *field, size_t max, const char *s)
{
	for (size_t i = 0; i < max && s[i]; i++)
		field[i] = (unsigned char)s[i] < 0x80 ? s[i] : '_';
}

/* Split at a '/' so that both halves fit their fields, neither of them empty. */
static bool put_split(struct tar_header *h, const char *name, size_t n)
{
	size_t first = n > sizeof h->name + 1 ? n - sizeof h->name - 1 : 1;

	for (size_t i = first; i <= sizeof h->prefix && i + 1 < n; i++)
		if (name[i] == '/') {
			memcpy(h->prefix, name, i);
			memcpy(h->name, name + i + 1, n - i - 1);
			return true;
		}
	return false;
}

static void put_name(struct oci_tar_writer *w, struct tar_header *h)
{
	size_t n = strlen(w->name);

	if (is_ascii(w->name)) {
		if (n <= sizeof h->name) {
			memcpy(h->name, w->name, n);
			return;
		}
		if (put_split(h, w->name, n))
			return;
	}
	put_shadow(h->name, sizeof h->name, w->name);
	add_record(&w->pax, "", "path", w->name, n);
}

static void put_link(struct oci_tar_writer *w, struct tar_header *h, const char *link)
{
	size_t n = strlen(link);

	if (n <= sizeof h->linkname && is_ascii(link)) {
		memcpy(h->linkname, link, n);
		return;
	}
	put_shadow(h->linkname, sizeof h->linkname, link);
	add_record(&w->pax, "", "linkpath", link, n);
}

static int by_name(const void *a, const void *b)
{
	const struct oci_xattr *const *x = a, *const *y = b;

	return strcmp((*x)->name, (*y)->name);
}

/* In the order of their names: file systems list them in any order. */
static int add_xattrs(struct oci_tar_writer *w, const struct oci_tar_entry *entry, struct ib_err *err)
{
	const struct oci_xattr *sorted[OCI_TAR_MAX_XATTRS];

	if (entry->n_xattrs > OCI_TAR_MAX_XATTRS)
		return ib_fail(err, IB_LIMIT, "more than %d extended attributes", OCI_TAR_MAX_XATTRS);
	for (size_t i = 0; i < entry->n_xattrs; i++)
		sorted[i] = &entry->xattrs[i];
	if (entry->n_xattrs > 1)
		qsort(sorted, entry->n_xattrs, sizeof *sorted, by_name);
	for (size_t i = 0; i < entry->n_xattrs; i++) {
		if (strchr(sorted[i]->name, '='))
			return ib_fail(err, IB_UNSUPPORTED,
				       "pax has no extended attributes with '=' in their name");
		add_record(&w->pax, "SCHILY.xattr.", sorted[i]->name, sorted[i]->value, sorted[i]->size);
	}
	return 0;
}

static void put_checksum(struct tar_header *h)
{
	(void)tar_number_format(h->checksum, 7, tar_checksum(h));	/* six digits, NUL, blank */
	h->checksum[7] = ' ';
}

static void header_init(struct tar_header *h, char type, uint64_t mode, int64_t size)
{
	*h = (struct tar_header){.type = type};
	memcpy(h->magic, "ustar", sizeof h->magic);
	memcpy(h->version, "00", sizeof h->version);
	(void)tar_number_format(h->mode, sizeof h->mode, mode);
	(void)tar_number_format(h->uid, sizeof h->uid, 0);
	(void)tar_number_format(h->gid, sizeof h->gid, 0);
	(void)tar_number_format(h->size, sizeof h->size, (uint64_t)size);
	(void)tar_number_format(h->mtime, sizeof h->mtime, 0);
	(void)tar_number_format(h->devmajor, sizeof h->devmajor, 0);
	(void)tar_number_format(h->devminor, sizeof h->devminor, 0);
}

static const char zeros[2 * TAR_BLOCK];

static int write_pax(struct oci_tar_writer *w, struct ib_err *err)
{
	struct tar_header h;

	header_init(&h, 'x', 0644, (int64_t)w->pax.len);
	memcpy(h.name, "././@PaxHeader", 14);
	put_checksum(&h);
	if (w->sink(w->ctx, &h, sizeof h, err) < 0 || w->sink(w->ctx, w->pax.s, w->pax.len, err) < 0)
		return -1;
	return tar_padding((int64_t)w->pax.len) ?
		       w->sink(w->ctx, zeros, tar_padding((int64_t)w->pax.len), err) : 0;
}

/* The type byte, or NUL for what tar cannot hold. */
static char type_of(const struct oci_tar_entry *entry)
{
	switch (entry->mode & S_IFMT) {
	case S_IFREG:
		return entry->hardlink ? '1' : '0';
	case S_IFLNK:
		return '2';
	case S_IFCHR:
		return '3';
	case S_IFBLK:
		return '4';
	case S_IFDIR:
		return '5';
	case S_IFIFO:
		return '6';
	}
	return '\0';
}

static int check_name(const char *name, struct ib_err *err)
{
	if (!*name)
		return ib_fail(err, IB_INVALID, "empty name");
	if (strlen(name) > OCI_TAR_MAX_NAME)
		return ib_fail(err, IB_LIMIT, "name of more than %d bytes", OCI_TAR_MAX_NAME);
	return 0;
}

static int set_name(struct oci_tar_writer *w, const struct oci_tar_entry *entry, struct ib_err *err)
{
	size_t n = strlen(entry->name);

	if (check_name(entry->name, err) < 0)
		return -1;
	memcpy(w->name, entry->name, n + 1);
	if (S_ISDIR(entry->mode) && w->name[n - 1] != '/')
		memcpy(w->name + n, "/", 2);
	return 0;
}

static int put_device(struct tar_header *h, const struct oci_tar_entry *entry, struct ib_err *err)
{
	if (!tar_number_format(h->devmajor, sizeof h->devmajor, entry->major) ||
	    !tar_number_format(h->devminor, sizeof h->devminor, entry->minor))
		return ib_fail(err, IB_UNSUPPORTED, "device number %u:%u does not fit a tar header",
			       entry->major, entry->minor);
	return 0;
}

static int write_entry(struct oci_tar_writer *w, const struct oci_tar_entry *entry, struct ib_err *err)
{
	struct tar_header h;
	char type = type_of(entry);

	if (!type)
		return ib_fail(err, IB_UNSUPPORTED, "tar holds no such file type");
	header_init(&h, type, entry->mode & 07777, 0);
	ib_str_reset(&w->pax);
	put_name(w, &h);
	if (entry->link && (type == '1' || type == '2')) {
		if (check_name(entry->link, err) < 0)
			return ib_wrap(err, "link target");
		put_link(w, &h, entry->link);
	}
	put_number(&w->pax, "uid", h.uid, sizeof h.uid, (int64_t)entry->uid);
	put_number(&w->pax, "gid", h.gid, sizeof h.gid, (int64_t)entry->gid);
	put_number(&w->pax, "size", h.size, sizeof h.size, entry->size);
	put_number(&w->pax, "mtime", h.mtime, sizeof h.mtime, entry->mtime.tv_sec);
	if ((type == '3' || type == '4') && put_device(&h, entry, err) < 0)
		return -1;
	if (add_xattrs(w, entry, err) < 0)
		return -1;
	if (w->pax.overflow)
		return ib_fail(err, IB_LIMIT, "pax header of more than %u bytes", OCI_TAR_MAX_PAX);
	if (w->pax.len && write_pax(w, err) < 0)
		return -1;
	put_checksum(&h);
	return w->sink(w->ctx, &h, sizeof h, err);
}

static int wrap_entry(const char *name, struct ib_err *err)
{
	ib_autofree char *shown = ib_printable(name, 256);

	return ib_wrap(err, "'%s'", shown);
}

static int check_complete(struct oci_tar_writer *w, struct ib_err *err)
{
	if (w->left == 0)
		return 0;
	(void)ib_fail(err, IB_MISMATCH, "%" PRId64 " bytes of its content are missing", w->left);
	return wrap_entry(w->name, err);
}

int oci_tar_begin(struct oci_tar_writer *w, const struct oci_tar_entry *entry, struct ib_err *err)
{
	if (check_complete(w, err) < 0)
		return -1;
	assert(entry->size >= 0 && (entry->size == 0 || type_of(entry) == '0'));
	if (set_name(w, entry, err) < 0 || write_entry(w, entry, err) < 0)
		return wrap_entry(entry->name, err);
	w->left = entry->size;
	w->padding = tar_padding(entry->size);
	return 0;
}

int oci_tar_write(struct oci_tar_writer *w, const void *bytes, size_t n, struct ib_err *err)
{
	if ((int64_t)n > w->left) {
		(void)ib_fail(err, IB_MISMATCH, "content is longer than its header says");
		return wrap_entry(w->name, err);
	}
	if (n && w->sink(w->ctx, bytes, n, err) < 0)
		return -1;
	w->left -= (int64_t)n;
	if (w->left == 0 && w->padding) {
		unsigned int padding = w->padding;

		w->padding = 0;
		return w->sink(w->ctx, zeros, padding, err);
	}
	return 0;
}

int oci_tar_end(struct oci_tar_writer *w, struct ib_err *err)
{
	if (check_complete(w, err) < 0)
		return -1;
	return w->sink(w->ctx, zeros, sizeof zeros, err);
}
