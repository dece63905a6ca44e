/*
 * tests/registry/peer.h - other programs that a test talks to: started, found, and gone with the test.
 */
#ifndef TESTS_REGISTRY_PEER_H
#define TESTS_REGISTRY_PEER_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

struct peer {
	pid_t pid;
	int in;		/* its standard input: it ends when this is closed */
	int out;	/* its standard output */
};

/* Start argv[0] from PATH. false when it cannot be run. */
bool peer_start(struct peer *peer, const char *const *argv);

/* The peer's next line of output, without its end; fails the test after ten seconds. The caller's. */
char *peer_line(struct peer *peer);
void peer_stop(struct peer *peer);

/* Run a program to its end: its exit status; output (may be NULL) is the caller's. -1 when it cannot be run. */
int peer_run(const char *const *argv, char **ret_output);

bool peer_in_path(const char *program);

/* A python3 that can import all of these ("jwt cryptography", ""); NULL when there is none. */
const char *peer_python(const char *modules);

int peer_free_port(void);		/* on 127.0.0.1 */
void peer_wait_for_port(int port);	/* until somebody listens there; fails the test after ten seconds */

/* A file of dir with this content. */
void peer_write_file(const char *dir, const char *name, const char *text);

#endif
