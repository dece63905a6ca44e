#include "builder/exec/hardlinks.h"

#include <stdlib.h>
#include <string.h>

#include "oci/base/alloc.h"
#include "oci/base/cleanup.h"

#include "oci/base/poison.h"

struct exec_hardlink {
	uint64_t dev, ino;
	size_t path;	/* offset in paths plus one; 0: the slot is free */
};

#define FIRST_SLOTS 64

void exec_hardlinks_done(struct exec_hardlinks *links)
{
	free(links->slot);
	free(links->paths);
	*links = (struct exec_hardlinks){0};
}

void exec_hardlinks_forget(struct exec_hardlinks *links)
{
	exec_hardlinks_done(links);
}

/* The slot of the file, or the free one where it belongs. */
static struct exec_hardlink *slot_of(const struct exec_hardlinks *links, uint64_t dev, uint64_t ino)
{
	uint64_t h = (ino ^ dev << 32) * 0x9e3779b97f4a7c15u;
	size_t i = (size_t)(h >> 20) & (links->n_slots - 1);

	while (links->slot[i].path && (links->slot[i].dev != dev || links->slot[i].ino != ino))
		i = (i + 1) & (links->n_slots - 1);
	return &links->slot[i];
}

const char *exec_hardlinks_find(const struct exec_hardlinks *links, const struct stat *st)
{
	const struct exec_hardlink *slot;

	if (!links->n)
		return NULL;
	slot = slot_of(links, st->st_dev, st->st_ino);
	return slot->path ? links->paths + slot->path - 1 : NULL;
}

static void grow_slots(struct exec_hardlinks *links)
{
	struct exec_hardlink *old = links->slot;
	size_t n_old = links->n_slots;

	links->n_slots = n_old ? 2 * n_old : FIRST_SLOTS;
	links->slot = ib_calloc(links->n_slots, sizeof *links->slot);
	for (size_t i = 0; i < n_old; i++)
		if (old[i].path)
			*slot_of(links, old[i].dev, old[i].ino) = old[i];
	free(old);
}

static void add_text(struct exec_hardlinks *links, const char *text, size_t n)
{
	while (links->paths_len + n > links->paths_cap) {
		links->paths_cap = links->paths_cap ? links->paths_cap + links->paths_cap / 2 : 4096;
		links->paths = ib_realloc(links->paths, links->paths_cap, 1);
	}
	memcpy(links->paths + links->paths_len, text, n);
	links->paths_len += n;
}

void exec_hardlinks_add(struct exec_hardlinks *links, const struct stat *st, const char *dir, const char *name)
{
	struct exec_hardlink *slot;

	if (4 * (links->n + 1) > 3 * links->n_slots)
		grow_slots(links);
	slot = slot_of(links, st->st_dev, st->st_ino);
	*slot = (struct exec_hardlink){.dev = st->st_dev, .ino = st->st_ino, .path = links->paths_len + 1};
	links->n++;
	add_text(links, dir, strlen(dir));
	if (*dir)
		add_text(links, "/", 1);
	add_text(links, name, strlen(name) + 1);
}
