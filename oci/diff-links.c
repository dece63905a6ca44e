#include "oci/diff-links.h"

#include <stdlib.h>
#include <string.h>

#define uthash_fatal(text) abort()
#include <uthash.h>

#include "oci/base/alloc.h"

#include "oci/base/poison.h"

struct inode {
	dev_t dev;
	ino_t ino;
};

struct link {
	struct inode key;
	nlink_t left;		/* names not yet seen */
	UT_hash_handle hh;
	char name[];
};

struct diff_links {
	struct link *table;
	struct link *last;	/* taken out of the table, its name still lent */
};

struct diff_links *diff_links_new(void)
{
	return ib_new(struct diff_links);
}

void diff_links_free(struct diff_links *links)
{
	struct link *l, *next;

	if (!links)
		return;
	HASH_ITER(hh, links->table, l, next)
	{
		HASH_DEL(links->table, l);
		free(l);
	}
	free(links->last);
	free(links);
}

static void remember(struct diff_links *links, const struct inode *key, nlink_t left, const char *path)
{
	size_t n = strlen(path) + 1;
	struct link *l = ib_malloc(sizeof *l + n);

	l->key = *key;
	l->left = left;
	memcpy(l->name, path, n);
	HASH_ADD(hh, links->table, key, sizeof l->key, l);
}

const char *diff_links_seen(struct diff_links *links, const struct stat *st, const char *path)
{
	struct inode key = {.dev = st->st_dev, .ino = st->st_ino};
	struct link *l;

	HASH_FIND(hh, links->table, &key, sizeof key, l);
	if (!l) {
		if (HASH_COUNT(links->table) < DIFF_LINKS_MAX)
			remember(links, &key, st->st_nlink - 1, path);
		return NULL;
	}
	if (--l->left == 0) {
		HASH_DEL(links->table, l);
		free(links->last);
		links->last = l;
	}
	return l->name;
}
