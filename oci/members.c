#include "oci/members.h"

#include <stdlib.h>
#include <string.h>

#include "oci/base/alloc.h"

#include "oci/base/poison.h"

#define MAX_LINKS 8	/* followed for one name */

struct member {
	char *name;
	char *target;	/* of a link, else NULL */
	struct oci_digest digest;
	int64_t size;
	size_t at;	/* order in the archive */
};

struct oci_members {
	struct member *v;
	size_t n, cap;
	size_t names;	/* bytes */
};

struct oci_members *oci_members_new(void)
{
	return ib_new(struct oci_members);
}

void oci_members_free(struct oci_members *m)
{
	if (!m)
		return;
	for (size_t i = 0; i < m->n; i++) {
		free(m->v[i].name);
		free(m->v[i].target);
	}
	free(m->v);
	free(m);
}

/* Cut the last component off. False when there is none. */
static bool go_up(char *path, size_t *len)
{
	if (*len == 0)
		return false;
	while (*len > 0 && path[*len - 1] != '/')
		--*len;
	if (*len > 0)
		--*len;
	return true;
}

char *oci_members_clean(const char *path, const char *from)
{
	size_t len = from ? strlen(from) : 0;
	ib_autofree char *out = ib_malloc(len + strlen(path) + 2);

	if (len)
		memcpy(out, from, len);
	(void)go_up(out, &len);
	if (*path == '/')
		return NULL;
	while (*path) {
		size_t n = strcspn(path, "/");

		if (n == 2 && memcmp(path, "..", 2) == 0) {
			if (!from || !go_up(out, &len))
				return NULL;
		} else if (n && !(n == 1 && *path == '.')) {
			if (len)
				out[len++] = '/';
			memcpy(out + len, path, n);
			len += n;
		}
		path += n + (path[n] == '/');
	}
	out[len] = '\0';
	return ib_steal_ptr(&out);
}

static struct member *append(struct oci_members *m, const char *name, struct ib_err *err)
{
	if (m->n == OCI_MEMBERS_MAX || m->names + strlen(name) > OCI_MEMBERS_MAX_NAMES) {
		ib_fail(err, IB_LIMIT, "archive has more entries than an archive of images can need");
		return NULL;
	}
	m->names += strlen(name);
	ib_grow(m->v, m->n, m->cap);
	m->v[m->n] = (struct member){.name = ib_strdup(name), .at = m->n};
	return &m->v[m->n++];
}

int oci_members_add(struct oci_members *m, const char *name, const struct oci_digest *digest, int64_t size,
		    struct ib_err *err)
{
	struct member *member = append(m, name, err);

	if (!member)
		return -1;
	member->digest = *digest;
	member->size = size;
	return 0;
}

int oci_members_add_link(struct oci_members *m, const char *name, const char *target, struct ib_err *err)
{
	struct member *member = append(m, name, err);

	if (!member)
		return -1;
	m->names += strlen(target);
	member->target = ib_strdup(target);
	return 0;
}

static int compare(const void *a, const void *b)
{
	const struct member *x = a, *y = b;
	int order = strcmp(x->name, y->name);

	return order ? order : x->at < y->at ? -1 : x->at > y->at;
}

void oci_members_sort(struct oci_members *m)
{
	if (m->n > 1)
		qsort(m->v, m->n, sizeof *m->v, compare);
}

/* The last entry of that name. */
static const struct member *lookup(const struct oci_members *m, const char *name)
{
	size_t low = 0, high = m->n;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (strcmp(m->v[middle].name, name) <= 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low && strcmp(m->v[low - 1].name, name) == 0 ? &m->v[low - 1] : NULL;
}

bool oci_members_find(const struct oci_members *m, const char *name, struct oci_digest *ret_digest,
		      int64_t *ret_size)
{
	ib_autofree char *clean = oci_members_clean(name, NULL);
	const struct member *member = clean ? lookup(m, clean) : NULL;

	for (int links = 0; member && member->target && links < MAX_LINKS; links++)
		member = lookup(m, member->target);
	if (!member || member->target)
		return false;
	*ret_digest = member->digest;
	*ret_size = member->size;
	return true;
}
