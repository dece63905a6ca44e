#include "oci/layer-apply-internal.h"

#include <stdlib.h>
#include <string.h>

#include "oci/base/alloc.h"

#include "oci/base/poison.h"

#define FIRST_CAPACITY 4096u	/* a power of two, as all are */

/* FNV-1a, continued over another piece. */
static uint64_t hash_more(uint64_t hash, const char *s, size_t n)
{
	for (size_t i = 0; i < n; i++)
		hash = (hash ^ (unsigned char)s[i]) * 1099511628211u;
	return hash;
}

static uint64_t hash_of(const char *dir, size_t n, const char *name)
{
	uint64_t hash = hash_more(14695981039346656037u, dir, n);

	if (n && *name)
		hash = hash_more(hash, "/", 1);
	hash = hash_more(hash, name, strlen(name));
	return hash ? hash : 1;	/* 0 is a free slot */
}

static uint64_t *slot_of(uint64_t *slots, size_t cap, uint64_t hash)
{
	size_t i = (size_t)(hash * 0x9e3779b97f4a7c15u) & (cap - 1);

	while (slots[i] && slots[i] != hash)
		i = (i + 1) & (cap - 1);
	return &slots[i];
}

static void enlarge(struct apply_record *r)
{
	size_t cap = r->cap ? 2 * r->cap : FIRST_CAPACITY;
	uint64_t *slots = ib_calloc(cap, sizeof *slots);

	for (size_t i = 0; i < r->cap; i++)
		if (r->slot[i])
			*slot_of(slots, cap, r->slot[i]) = r->slot[i];
	free(r->slot);
	r->slot = slots;
	r->cap = cap;
}

static void put(struct apply_record *r, uint64_t hash)
{
	uint64_t *slot;

	if (2 * r->n >= r->cap && r->n < APPLY_MAX_RECORD)
		enlarge(r);
	slot = slot_of(r->slot, r->cap, hash);
	if (*slot)
		return;
	if (r->n == APPLY_MAX_RECORD) {
		r->full = true;
		return;
	}
	*slot = hash;
	r->n++;
}

void apply_record_add(struct apply *a, struct apply_dir *dir, const char *name)
{
	if (a->options->form != OCI_APPLY_MERGED)
		return;
	put(&a->record, hash_of(dir->path, dir->len, name));
	for (size_t n = dir->len; !dir->recorded && n > 0; n--)
		if (n == dir->len || dir->path[n] == '/')
			put(&a->record, hash_of(dir->path, n, ""));
	dir->recorded = true;
}

int apply_record_has(const struct apply *a, const char *dir, const char *name, struct ib_err *err)
{
	const struct apply_record *r = &a->record;

	if (r->cap && *slot_of(r->slot, r->cap, hash_of(dir, strlen(dir), name)))
		return 1;
	if (r->full)
		return ib_fail(err, IB_LIMIT, "whiteout after more than %u entries", APPLY_MAX_RECORD);
	return 0;
}

void apply_record_done(struct apply_record *record)
{
	free(record->slot);
	*record = (struct apply_record){0};
}
