#include "builder/sandbox/sandbox-internal.h"

#include <string.h>

#include "builder/sandbox/mount-call.h"
#include "oci/base/alloc.h"

#include "oci/base/poison.h"

/*
 * The old mount call takes one page of options, whose 4096 bytes 500 layers (the kernel's limit) do not fit in
 * by name, and the new one takes 256 bytes for each. So the directories are opened, and named by the numbers
 * of their descriptors relative to /proc/self/fd: three or four bytes each.
 */
#define OPTIONS_MAX 4095u	/* without the NUL */

struct opened {
	int *fd;
	size_t n, cap;
};

static void opened_done(struct opened *o)
{
	for (size_t i = 0; i < o->n; i++)
		(void)close(o->fd[i]);
	free(o->fd);
}

static int open_one(struct opened *o, const char *path, struct ib_str *options, const char *separator,
		    struct ib_err *err)
{
	int fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0)
		return ib_fail_sys(err, errno, "open layer '%s'", path);
	ib_grow(o->fd, o->n, o->cap);
	o->fd[o->n++] = fd;
	ib_str_addf(options, "%s%d", separator, fd);
	return 0;
}

static int open_all(const struct sandbox_overlay *overlay, struct opened *o, struct ib_str *options,
		    struct ib_err *err)
{
	for (size_t i = 0; i < overlay->lower->n; i++)
		if (open_one(o, overlay->lower->v[i], options, i ? ":" : "lowerdir=", err) < 0)
			return -1;
	if (overlay->upper && (open_one(o, overlay->upper, options, ",upperdir=", err) < 0 ||
			       open_one(o, overlay->work, options, ",workdir=", err) < 0))
		return -1;
	/*
	 * Layers carry user.overlay.* attributes, so that the same ones serve with and without privileges. This
	 * option also switches off redirects and metadata-only copies, which no other reader of an upper
	 * directory would understand.
	 */
	ib_str_adds(options, ",userxattr");
	if (options->overflow)
		return ib_fail(err, IB_LIMIT, "%zu layers are more than overlayfs takes in one mount",
			       overlay->lower->n);
	return 0;
}

static int try_mount(const struct sandbox_overlay *overlay, const char *options, const char *more)
{
	ib_autofree char *all = ib_asprintf("%s%s", options, more);
	char target[MOUNT_PROC_FD_SIZE];
	unsigned long flags = MS_NODEV | (overlay->upper ? 0 : MS_RDONLY);

	return mount_call("overlay", mount_proc_fd(overlay->target, target), "overlay", flags, all);
}

/*
 * A volatile mount leaves a mark that it was not flushed, and the kernel refuses the directories from then on.
 * To us that means nothing: what was written is in the page cache until the next boot, and then all of it goes.
 */
static void forget_volatile(const char *work)
{
	ib_autofree char *dir = ib_asprintf("%s/work/incompat/volatile", work);
	ib_autofree char *mark = ib_asprintf("%s/dirty", dir);

	if (unlink(mark) == 0)	/* mostly it is not there */
		(void)rmdir(dir);
}

int sandbox_overlay_mount(const struct sandbox_overlay *overlay, struct ib_err *err)
{
	/*
	 * volatile: nothing is flushed when it is unmounted, which otherwise waits for the whole file system.
	 * The index would only cost: no layer is ever exported.
	 */
	static const char *const variants[] = {",index=off,volatile", ",index=off", ""};
	IB_CLEANUP(opened_done) struct opened o = {0};
	ib_autostr options = IB_STR(OPTIONS_MAX - 32);
	int r = -1;

	if (open_all(overlay, &o, &options, err) < 0)
		return -1;
	if (overlay->work)
		forget_volatile(overlay->work);
	if (chdir("/proc/self/fd") < 0)
		return ib_fail_sys(err, errno, "enter /proc/self/fd");
	for (size_t i = overlay->upper ? 0 : 1; i < sizeof variants / sizeof *variants; i++) {
		r = try_mount(overlay, options.s, variants[i]);
		if (r == 0 || errno != EINVAL)	/* EINVAL: an option that this kernel does not know */
			break;
	}
	if (r < 0)
		(void)ib_fail_sys(err, errno, "mount overlay of %zu layers", overlay->lower->n);
	if (chdir("/") < 0 && r == 0)
		r = ib_fail_sys(err, errno, "enter /");
	return r;
}
