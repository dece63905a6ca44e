#include "oci/tar-header.h"

#include <stdlib.h>
#include <string.h>

#include "oci/base/alloc.h"

#include "oci/base/poison.h"

struct gnu_piece {
	char offset[12];
	char size[12];
};

struct gnu_sparse_header {	/* GNU tar's old format: what it has in place of the prefix */
	char before[386];
	struct gnu_piece pieces[4];
	char extended;
	char real_size[12];
	char padding[17];
};

struct gnu_sparse_extension {
	struct gnu_piece pieces[21];
	char extended;
	char padding[7];
};

_Static_assert(sizeof(struct gnu_sparse_header) == TAR_BLOCK, "a header is one block");
_Static_assert(sizeof(struct gnu_sparse_extension) == TAR_BLOCK, "an extension is one block");

void tar_map_done(struct tar_map *map)
{
	free(map->v);
	*map = (struct tar_map){0};
}

static int fail_map(struct ib_err *err)
{
	return ib_fail(err, IB_INVALID, "bad sparse map");
}

int tar_map_add(struct tar_map *map, int64_t offset, int64_t size, struct ib_err *err)
{
	const struct tar_segment *last = map->n ? &map->v[map->n - 1] : NULL;
	int64_t end;

	if (map->n == TAR_MAX_SEGMENTS)
		return ib_fail(err, IB_LIMIT, "sparse map of more than %u pieces", TAR_MAX_SEGMENTS);
	if (offset < 0 || size < 0 || __builtin_add_overflow(offset, size, &end) ||
	    (last && offset < last->offset + last->size))
		return fail_map(err);
	ib_grow(map->v, map->n, map->cap);
	map->v[map->n++] = (struct tar_segment){offset, size};
	map->stored += size;	/* at most end: the pieces are disjoint */
	return 0;
}

int tar_map_add_gnu(struct tar_map *map, const void *block, bool extension, bool *ret_more,
		    struct ib_err *err)
{
	const struct gnu_sparse_header *h = block;
	const struct gnu_sparse_extension *x = block;
	const struct gnu_piece *pieces = extension ? x->pieces : h->pieces;
	size_t n = extension ? 21 : 4;

	*ret_more = extension ? x->extended : h->extended;
	for (size_t i = 0; i < n && pieces[i].size[0]; i++) {
		int64_t offset, size;

		if (!tar_number_parse(pieces[i].offset, sizeof pieces[i].offset, &offset) ||
		    !tar_number_parse(pieces[i].size, sizeof pieces[i].size, &size))
			return fail_map(err);
		if (tar_map_add(map, offset, size, err) < 0)
			return -1;
	}
	return 0;
}

bool tar_gnu_real_size(const void *block, int64_t *ret_size)
{
	const struct gnu_sparse_header *h = block;

	return tar_number_parse(h->real_size, sizeof h->real_size, ret_size) && *ret_size >= 0;
}

static int add_text_number(struct tar_map *map, struct tar_map_text *state, struct ib_err *err)
{
	if (!state->started) {
		state->started = true;
		if (state->number > TAR_MAX_SEGMENTS)
			return ib_fail(err, IB_LIMIT, "sparse map of more than %u pieces", TAR_MAX_SEGMENTS);
		state->left = 2 * state->number;
		return 0;
	}
	if (state->left-- % 2 == 0) {
		state->offset = state->number;
		return 0;
	}
	return tar_map_add(map, state->offset, state->number, err);
}

int tar_map_add_text(struct tar_map *map, struct tar_map_text *state, const char *block, bool *ret_more,
		     struct ib_err *err)
{
	for (size_t i = 0; i < TAR_BLOCK && (!state->started || state->left); i++) {
		char c = block[i];

		if (c >= '0' && c <= '9') {
			if (__builtin_mul_overflow(state->number, 10, &state->number) ||
			    __builtin_add_overflow(state->number, c - '0', &state->number))
				return fail_map(err);
			state->in_digits = true;
			continue;
		}
		if (c != '\n' || !state->in_digits)
			return fail_map(err);
		if (add_text_number(map, state, err) < 0)
			return -1;
		state->number = 0;
		state->in_digits = false;
	}
	*ret_more = !state->started || state->left;
	return 0;
}
