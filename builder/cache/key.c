#include <stdlib.h>
#include <string.h>

#include "builder/cache/cache.h"
#include "oci/base/alloc.h"

#include "oci/base/poison.h"

struct builder_key_maker {
	struct oci_hash *hash;
};

static void frame(struct builder_key_maker *maker, char type, const char *tag, uint64_t n)
{
	uint8_t length[9] = {(uint8_t)type};

	for (int i = 0; i < 8; i++)
		length[1 + i] = (uint8_t)(n >> (8 * i));
	oci_hash_update(maker->hash, tag, strlen(tag) + 1);
	oci_hash_update(maker->hash, length, sizeof length);
}

struct builder_key_maker *builder_key_new(const char *kind)
{
	struct builder_key_maker *maker = ib_new(struct builder_key_maker);

	maker->hash = oci_hash_new(OCI_SHA256);
	builder_key_text(maker, "imgbuild.step.v1", kind);
	return maker;
}

void builder_key_maker_free(struct builder_key_maker *maker)
{
	if (!maker)
		return;
	oci_hash_free(maker->hash);
	free(maker);
}

void builder_key_bytes(struct builder_key_maker *maker, const char *tag, const void *bytes, size_t n)
{
	frame(maker, 'b', tag, n);
	oci_hash_update(maker->hash, bytes, n);
}

void builder_key_text(struct builder_key_maker *maker, const char *tag, const char *text)
{
	if (text)
		builder_key_bytes(maker, tag, text, strlen(text));
	else
		frame(maker, '0', tag, 0);
}

void builder_key_list(struct builder_key_maker *maker, const char *tag, const struct ib_strv *list)
{
	frame(maker, 'l', tag, list->n);
	for (size_t i = 0; i < list->n; i++)
		builder_key_text(maker, "", list->v[i]);
}

void builder_key_parent(struct builder_key_maker *maker, const struct builder_key *parent)
{
	builder_key_bytes(maker, "parent", parent->digest.raw, sizeof parent->digest.raw);
}

void builder_key_finish(struct builder_key_maker *maker, struct builder_key *ret_key)
{
	oci_hash_final(maker->hash, &ret_key->digest);
}
