#include "builder/sandbox/sandbox-internal.h"

#include <errno.h>
#include <linux/capability.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "oci/base/poison.h"

/* What container engines leave to root by default: mask a80425fb. */
static const uint64_t default_caps =
	1ull << CAP_CHOWN | 1ull << CAP_DAC_OVERRIDE | 1ull << CAP_FOWNER | 1ull << CAP_FSETID | 1ull << CAP_KILL |
	1ull << CAP_SETGID | 1ull << CAP_SETUID | 1ull << CAP_SETPCAP | 1ull << CAP_NET_BIND_SERVICE |
	1ull << CAP_NET_RAW | 1ull << CAP_SYS_CHROOT | 1ull << CAP_MKNOD | 1ull << CAP_AUDIT_WRITE |
	1ull << CAP_SETFCAP;

int sandbox_caps_limit(struct ib_err *err)
{
	/* EINVAL: past the last capability that this kernel has. */
	for (unsigned long cap = 0; cap < 64; cap++) {
		if (default_caps & (1ull << cap))
			continue;
		if (prctl(PR_CAPBSET_DROP, cap, 0, 0, 0) < 0) {
			if (errno == EINVAL)
				break;
			return ib_fail_sys(err, errno, "drop capability %lu", cap);
		}
	}
	/* Old kernels have none to clear. */
	(void)prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
	return 0;
}

bool sandbox_caps_have(int cap)
{
	struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct data[2];

	return syscall(SYS_capget, &header, data) == 0 && data[CAP_TO_INDEX(cap)].effective & CAP_TO_MASK(cap);
}

int sandbox_caps_drop(uid_t uid, struct ib_err *err)
{
	struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct data[2];

	if (syscall(SYS_capget, &header, data) < 0)
		return ib_fail_sys(err, errno, "read capabilities");
	for (int i = 0; i < 2; i++) {
		/* Those that we lack ourselves, in a locked-down container, cannot be given. */
		uint32_t keep = uid == 0 ? (uint32_t)(default_caps >> (32 * i)) : 0;

		data[i].permitted &= keep;
		data[i].effective = data[i].permitted;
		data[i].inheritable = 0;
	}
	if (syscall(SYS_capset, &header, data) < 0)
		return ib_fail_sys(err, errno, "set capabilities");
	return 0;
}
