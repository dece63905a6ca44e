#include "builder/sandbox/sandbox-internal.h"

#include <string.h>
#include <sys/mman.h>

#include "oci/base/alloc.h"
#include "oci/base/fd.h"

#include "oci/base/poison.h"

/*
 * Numbers as eight bytes of this machine; strings and bytes as length and content with a NUL behind it, so
 * that they can be used where they lie; NULL as a length of NONE. Both sides are the same program, the checks
 * are for its own bugs.
 */
#define NONE UINT64_MAX

static void put_number(struct ib_str *out, uint64_t value)
{
	ib_str_add(out, &value, sizeof value);
}

static void put_bytes(struct ib_str *out, const void *bytes, size_t n)
{
	put_number(out, n);
	if (n)
		ib_str_add(out, bytes, n);
	ib_str_addc(out, '\0');
}

static void put_string(struct ib_str *out, const char *s)
{
	if (s)
		put_bytes(out, s, strlen(s));
	else
		put_number(out, NONE);
}

static void put_list(struct ib_str *out, const struct ib_strv *list)
{
	put_number(out, list->n);
	for (size_t i = 0; i < list->n; i++)
		put_string(out, list->v[i]);
}

static void put_mount(struct ib_str *out, const struct sandbox_mount *m)
{
	put_number(out, m->kind);
	put_string(out, m->target);
	put_number(out, m->read_only);
	put_string(out, m->source);
	put_number(out, (uint64_t)m->tmpfs_size);
	put_number(out, m->tmpfs_mode);
	put_list(out, &m->lower);
	put_string(out, m->upper);
	put_string(out, m->work);
	put_bytes(out, m->content, m->content_size);
	put_number(out, m->mode);
	put_number(out, m->uid);
	put_number(out, m->gid);
}

static void put_spec(struct ib_str *out, const struct sandbox_spec *spec)
{
	put_list(out, &spec->argv);
	put_list(out, &spec->env);
	put_string(out, spec->cwd);
	put_number(out, spec->uid);
	put_number(out, spec->gid);
	put_bytes(out, spec->groups, spec->n_groups * sizeof *spec->groups);
	put_string(out, spec->hostname);
	put_number(out, spec->network);
	put_list(out, &spec->lower);
	put_string(out, spec->upper);
	put_string(out, spec->work);
	put_number(out, spec->n_mounts);
	for (size_t i = 0; i < spec->n_mounts; i++)
		put_mount(out, &spec->mounts[i]);
	put_string(out, spec->resolv_conf);
	put_string(out, spec->hosts);
	put_number(out, (uint64_t)spec->shm_size);
	put_string(out, spec->scratch);
}

int sandbox_spec_write(const struct sandbox_spec *spec, uint32_t *ret_size, struct ib_err *err)
{
	ib_autoclose int fd = memfd_create("run", MFD_CLOEXEC);
	ib_autostr out = IB_STR(SANDBOX_SPEC_MAX);

	if (fd < 0)
		return ib_fail_sys(err, errno, "memory file for the run");
	put_spec(&out, spec);
	if (out.overflow)
		return ib_fail(err, IB_LIMIT, "arguments, environment and mounts take more than %u bytes",
			       SANDBOX_SPEC_MAX);
	if (ib_write_full(fd, out.s, out.len) < 0)
		return ib_fail_sys(err, errno, "memory file for the run");
	*ret_size = (uint32_t)out.len;
	return ib_steal_fd(&fd);
}

/* What is left to be read; a flaw shows once, at the end. */
struct input {
	char *p, *end;
	bool broken;
};

static uint64_t get_number(struct input *in)
{
	uint64_t value = 0;

	if ((size_t)(in->end - in->p) < sizeof value) {
		in->broken = true;
		return 0;
	}
	memcpy(&value, in->p, sizeof value);
	in->p += sizeof value;
	return value;
}

static char *get_bytes(struct input *in, size_t *ret_n)
{
	uint64_t n = get_number(in);
	char *bytes = in->p;

	*ret_n = 0;
	if (n == NONE || in->broken)
		return NULL;
	if (n >= (uint64_t)(in->end - in->p) || in->p[n] != '\0') {
		in->broken = true;
		return NULL;
	}
	in->p += n + 1;
	*ret_n = (size_t)n;
	return bytes;
}

static char *get_string(struct input *in)
{
	size_t n;

	return get_bytes(in, &n);
}

static size_t get_count(struct input *in)
{
	uint64_t n = get_number(in);

	if (n <= SANDBOX_LIST_MAX)
		return (size_t)n;
	in->broken = true;
	return 0;
}

static struct ib_strv get_list(struct input *in)
{
	struct ib_strv list = {.n = get_count(in)};

	list.cap = list.n + 1;
	list.v = ib_calloc(list.cap, sizeof *list.v);
	for (size_t i = 0; i < list.n; i++) {
		list.v[i] = get_string(in);
		if (!list.v[i])
			in->broken = true;
	}
	return list;
}

static void get_mount(struct input *in, struct sandbox_mount *m)
{
	m->kind = (enum sandbox_mount_kind)get_number(in);
	m->target = get_string(in);
	m->read_only = get_number(in) != 0;
	m->source = get_string(in);
	m->tmpfs_size = (int64_t)get_number(in);
	m->tmpfs_mode = (mode_t)get_number(in);
	m->lower = get_list(in);
	m->upper = get_string(in);
	m->work = get_string(in);
	m->content = get_bytes(in, &m->content_size);
	m->mode = (mode_t)get_number(in);
	m->uid = (uid_t)get_number(in);
	m->gid = (gid_t)get_number(in);
}

static void get_spec(struct input *in, struct sandbox_spec *spec)
{
	struct sandbox_mount *mounts;
	char *groups;
	size_t size;

	spec->argv = get_list(in);
	spec->env = get_list(in);
	spec->cwd = get_string(in);
	spec->uid = (uid_t)get_number(in);
	spec->gid = (gid_t)get_number(in);
	groups = get_bytes(in, &size);
	spec->n_groups = size / sizeof *spec->groups;
	spec->groups = ib_memdup(groups ? groups : "", spec->n_groups * sizeof *spec->groups);	/* aligned */
	spec->hostname = get_string(in);
	spec->network = (enum sandbox_network)get_number(in);
	spec->lower = get_list(in);
	spec->upper = get_string(in);
	spec->work = get_string(in);
	spec->n_mounts = get_count(in);
	mounts = ib_calloc(spec->n_mounts + 1, sizeof *mounts);
	for (size_t i = 0; i < spec->n_mounts; i++)
		get_mount(in, &mounts[i]);
	spec->mounts = mounts;
	spec->resolv_conf = get_string(in);
	spec->hosts = get_string(in);
	spec->shm_size = (int64_t)get_number(in);
	spec->scratch = get_string(in);
}

int sandbox_spec_read(int fd, uint32_t size, struct sandbox_spec *ret_spec, struct ib_err *err)
{
	char *bytes;
	struct input in;

	if (size > SANDBOX_SPEC_MAX)
		return ib_fail(err, IB_LIMIT, "run request of %u bytes", size);
	bytes = mmap(NULL, size ? size : 1, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
	if (bytes == MAP_FAILED)
		return ib_fail_sys(err, errno, "read run request");
	in = (struct input){.p = bytes, .end = bytes + size};
	*ret_spec = (struct sandbox_spec){0};
	get_spec(&in, ret_spec);
	if (in.broken || in.p != in.end)
		return ib_fail(err, IB_INVALID, "run request is damaged");
	return 0;
}
