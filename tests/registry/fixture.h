/*
 * tests/registry/fixture.h - a directory, a store, a session with short waits, and images to move.
 */
#ifndef TESTS_REGISTRY_FIXTURE_H
#define TESTS_REGISTRY_FIXTURE_H

#include "registry/conn-internal.h"

struct fixture {
	char *dir;		/* removed at the end */
	struct oci_store *store;
	struct registry_session *session;
	struct registry_conn *conn;	/* the last one of fixture_conn() */
};

/* config: content of config.json, or NULL. HOME becomes the directory. */
struct fixture *fixture_new(const char *config);
void fixture_free(struct fixture *f);

/* A fresh session, whose credentials are config. */
void fixture_session(struct fixture *f, const char *config);

/* A connection to text's repository; *ret_ref is the caller's. */
struct registry_conn *fixture_conn(struct fixture *f, const char *text, bool push, struct registry_reference *ret_ref);

/* Another, empty store in the directory. */
struct oci_store *fixture_store(struct fixture *f, const char *name);

/*
 * An image of linux/architecture in the store: gzip layers of so many incompressible bytes each, which differ by
 * seed. *ret_desc is its manifest's.
 */
void fixture_image(struct fixture *f, const char *architecture, size_t n_layers, size_t layer_bytes, unsigned seed,
		   struct oci_descriptor *ret_desc);

#endif
