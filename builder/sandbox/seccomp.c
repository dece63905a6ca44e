/*
 * The system call filter as a BPF program. Names become numbers by libseccomp; the program is made here: per
 * architecture a binary search over runs of calls with the same answer. That is a quarter of what libseccomp
 * would generate, is made in a tenth of the time, and the kernel loads it for every run.
 */
#include "builder/sandbox/sandbox-internal.h"

#include <endian.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <seccomp.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>

#include "builder/sandbox/seccomp-table.h"
#include "oci/base/alloc.h"

#include "oci/base/poison.h"

#define COUNT(array) (sizeof(array) / sizeof *(array))

#define CLONE_NAMESPACES (CLONE_NEWNS | CLONE_NEWCGROUP | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWUSER | \
			  CLONE_NEWPID | CLONE_NEWNET)

#if defined(__s390__)
#define CLONE_FLAGS_ARGUMENT 1
#else
#define CLONE_FLAGS_ARGUMENT 0
#endif

#define ARGUMENT(n) ((uint32_t)(offsetof(struct seccomp_data, args[n]) + (BYTE_ORDER == BIG_ENDIAN ? 4 : 0)))

/* Harmless values of personality(2): Linux, 32-bit, both without randomisation, and the question. */
static const uint32_t personalities[] = {0x0, 0x8, 0x20000, 0x20008, 0xffffffff};

enum answer { REFUSE, ALLOW, PRETEND, UNKNOWN, CLONE, SOCKET, PERSONALITY };

/* Answers by number, and the program that grows out of them. */
struct compiler {
	uint8_t answer[SANDBOX_NEWEST_SYSCALL + 1];
	struct sock_filter program[BPF_MAXINSNS];
	size_t n;
	bool overflow;	/* too many instructions, or a jump over more than 255 of them */
};

static void set_answer(struct compiler *c, uint32_t arch, const char *name, enum answer answer)
{
	int call = seccomp_syscall_resolve_name_arch(arch, name);

	/* Negative: not on this architecture, or unknown to this libseccomp. */
	if (call >= 0 && (size_t)call < COUNT(c->answer))
		c->answer[call] = (uint8_t)answer;
}

/*
 * i386 and s390 got calls of their own for what socketcall and ipc did, with the same numbers. libseccomp
 * gives no number for these names there.
 */
static void set_direct_calls(struct compiler *c)
{
	enum { FIRST_SOCKET = 359, LAST_SOCKET = 373, FIRST_IPC = 393, LAST_IPC = 402 };

	memset(c->answer + FIRST_SOCKET, ALLOW, LAST_SOCKET - FIRST_SOCKET + 1);
	memset(c->answer + FIRST_IPC, ALLOW, LAST_IPC - FIRST_IPC + 1);
	c->answer[FIRST_SOCKET] = SOCKET;	/* socket itself */
}

static void set_answers(struct compiler *c, uint32_t arch, bool single_id)
{
	memset(c->answer, REFUSE, sizeof c->answer);
	for (size_t i = 0; i < COUNT(seccomp_allowed); i++)
		set_answer(c, arch, seccomp_allowed[i], ALLOW);
	for (size_t i = 0; i < COUNT(seccomp_allowed_numbers); i++)
		c->answer[seccomp_allowed_numbers[i]] = ALLOW;
	for (size_t i = 0; i < COUNT(seccomp_pretended); i++)
		set_answer(c, arch, seccomp_pretended[i], single_id ? PRETEND : ALLOW);
	if (arch == SCMP_ARCH_X86 || arch == SCMP_ARCH_S390X)
		set_direct_calls(c);
	set_answer(c, arch, "clone", CLONE);
	set_answer(c, arch, "socket", SOCKET);
	set_answer(c, arch, "personality", PERSONALITY);
	/* Its flags are behind a pointer that no filter can read: C libraries fall back to clone. */
	set_answer(c, arch, "clone3", UNKNOWN);
}

static void emit(struct compiler *c, struct sock_filter instruction)
{
	if (c->n == COUNT(c->program))
		c->overflow = true;
	else
		c->program[c->n++] = instruction;
}

static void emit_return(struct compiler *c, uint32_t value)
{
	emit(c, (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, value));
}

static void emit_load(struct compiler *c, uint32_t offset)
{
	emit(c, (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offset));
}

static void emit_jump(struct compiler *c, uint16_t op, uint32_t k, size_t if_true, size_t if_false)
{
	if (if_true > UINT8_MAX || if_false > UINT8_MAX)
		c->overflow = true;
	emit(c, (struct sock_filter)BPF_JUMP((uint16_t)(BPF_JMP | op | BPF_K), k, (uint8_t)if_true,
					     (uint8_t)if_false));
}

static void emit_answer(struct compiler *c, enum answer answer)
{
	const size_t n = COUNT(personalities);

	switch (answer) {
	case REFUSE:
		emit_return(c, SECCOMP_RET_ERRNO | EPERM);
		return;
	case ALLOW:
		emit_return(c, SECCOMP_RET_ALLOW);
		return;
	case PRETEND:
		emit_return(c, SECCOMP_RET_ERRNO | 0);
		return;
	case UNKNOWN:
		emit_return(c, SECCOMP_RET_ERRNO | ENOSYS);
		return;
	case CLONE:
		emit_load(c, ARGUMENT(CLONE_FLAGS_ARGUMENT));
		emit_jump(c, BPF_JSET, CLONE_NAMESPACES, 0, 1);
		break;
	case SOCKET:
		emit_load(c, ARGUMENT(0));
		emit_jump(c, BPF_JEQ, AF_VSOCK, 0, 1);	/* speaks to the hypervisor */
		break;
	case PERSONALITY:
		emit_load(c, ARGUMENT(0));
		for (size_t i = 0; i < n; i++)
			emit_jump(c, BPF_JEQ, personalities[i], n - i, 0);
		break;
	}
	emit_return(c, SECCOMP_RET_ERRNO | EPERM);
	emit_return(c, SECCOMP_RET_ALLOW);
}

/* Runs start[0] .. start[n - 1] of equal answers: half of them with each comparison. */
static void emit_search(struct compiler *c, const uint16_t *start, size_t n)
{
	size_t jump, half = n / 2;

	if (n == 1) {
		emit_answer(c, c->answer[start[0]]);
		return;
	}
	jump = c->n;
	emit_jump(c, BPF_JGE, start[half], 0, 0);
	emit_search(c, start, half);
	if (c->overflow || c->n - jump - 1 > UINT8_MAX)
		c->overflow = true;
	else
		c->program[jump].jt = (uint8_t)(c->n - jump - 1);
	emit_search(c, start + half, n - half);
}

static void emit_architecture(struct compiler *c, uint32_t arch, bool single_id)
{
	uint16_t start[SANDBOX_NEWEST_SYSCALL + 1];
	size_t jump = c->n, n = 0;

	set_answers(c, arch, single_id);
	for (uint16_t call = 0; call < COUNT(c->answer); call++)
		if (call == 0 || c->answer[call] != c->answer[call - 1])
			start[n++] = call;

	/* A = architecture; an unconditional jump over this block, for the others. */
	emit_jump(c, BPF_JEQ, arch, 1, 0);
	emit(c, (struct sock_filter)BPF_STMT(BPF_JMP | BPF_JA, 0));
	emit_load(c, offsetof(struct seccomp_data, nr));
	/* Newer than the table, or x32 (bit 30): programs take their older way. EPERM would make them fail. */
	emit_jump(c, BPF_JGT, SANDBOX_NEWEST_SYSCALL, 0, 1);
	emit_return(c, SECCOMP_RET_ERRNO | ENOSYS);
	emit_search(c, start, n);
	if (!c->overflow)
		c->program[jump + 1].k = (uint32_t)(c->n - jump - 2);
}

int sandbox_seccomp_build(bool single_id, struct sock_fprog *ret_filter, struct ib_err *err)
{
	ib_autofree struct compiler *c = ib_new(struct compiler);
	uint32_t native = seccomp_arch_native();	/* libseccomp's tokens are the kernel's AUDIT_ARCH_* */

	emit_load(c, offsetof(struct seccomp_data, arch));
	emit_architecture(c, native, single_id);
	if (native == SCMP_ARCH_X86_64)
		emit_architecture(c, SCMP_ARCH_X86, single_id);
	emit_return(c, SECCOMP_RET_ERRNO | ENOSYS);
	if (c->overflow)
		return ib_fail(err, IB_LIMIT, "the seccomp filter does not fit into a BPF program");
	*ret_filter = (struct sock_fprog){
		.len = (unsigned short)c->n,
		.filter = ib_memdup(c->program, c->n * sizeof *c->program),
	};
	return 0;
}

int sandbox_seccomp_load(const struct sock_fprog *filter, struct ib_err *err)
{
	struct sock_fprog copy = *filter;	/* the kernel's interface is not const */

	/* Without SPEC_ALLOW old kernels switch off store bypassing, which costs every program some percent. */
	if (syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_SPEC_ALLOW, &copy) == 0)
		return 0;
	if (errno == EINVAL && syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &copy) == 0)
		return 0;
	return ib_fail_sys(err, errno, "seccomp filter");
}
