#include "builder/sandbox/sandbox-internal.h"

#include <fcntl.h>
#include <sys/mman.h>

#if defined(__x86_64__) || defined(__aarch64__)	/* as in meson.build */
#define HAVE_STUB 1
#include "builder/sandbox/exec-stub-bytes.h"
#endif
#include "oci/base/fd.h"

#include "oci/base/poison.h"

#ifndef MFD_EXEC
#define MFD_EXEC 0x10u	/* Linux 6.3 */
#endif

int sandbox_stub_open(void)
{
#ifdef HAVE_STUB
	ib_autoclose int fd = memfd_create("exec", MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_EXEC);

	if (fd < 0 && errno == EINVAL)
		fd = memfd_create("exec", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (fd < 0 || ib_write_full(fd, exec_stub_bytes, sizeof exec_stub_bytes) < 0 ||
	    fcntl(fd, F_ADD_SEALS, F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE) < 0)
		return -1;
	return ib_steal_fd(&fd);
#else
	return -1;
#endif
}
