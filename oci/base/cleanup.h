/*
 * oci/base/cleanup.h - owning locals that free themselves at the end of their scope.
 *
 * Every owning local is declared with its destructor and initialised on the same line; ib_steal_*()
 * hands ownership on. Destructors accept NULL (or -1 for descriptors) and keep errno, so they may run
 * on an error path whose errno is still to be reported.
 */
#ifndef OCI_BASE_CLEANUP_H
#define OCI_BASE_CLEANUP_H

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#define IB_CLEANUP(fn) __attribute__((cleanup(fn)))

/* Define x_freep(), the cleanup function of a pointer whose destructor is x_free(). */
#define IB_DEFINE_FREE(type) \
	static inline void type##_freep(struct type **p) \
	{ \
		if (*p) { \
			int saved_ = errno; \
			type##_free(*p); \
			errno = saved_; \
		} \
	} \
	struct type

static inline void ib_freep(void *p)
{
	void **pp = p;
	int saved = errno;

	free(*pp);
	*pp = NULL;
	errno = saved;
}

static inline void ib_closep(int *fd)
{
	if (*fd >= 0) {
		int saved = errno;

		/* Never retried after EINTR: the number may already be another thread's. */
		(void)close(*fd);
		*fd = -1;
		errno = saved;
	}
}

#define ib_autofree IB_CLEANUP(ib_freep)
#define ib_autoclose IB_CLEANUP(ib_closep)

/* The value of the pointer *pp, which becomes NULL: the caller of the enclosing function owns it now. */
#define ib_steal_ptr(pp) \
	__extension__({ \
		__typeof__(pp) from_ = (pp); \
		__typeof__(*from_) stolen_ = *from_; \
		*from_ = NULL; \
		stolen_; \
	})

static inline int ib_steal_fd(int *fd)
{
	int stolen = *fd;

	*fd = -1;
	return stolen;
}

#endif
