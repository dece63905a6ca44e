/*
 * The last step of the sandbox's child: a program of its own, without a C library, that executes another. The
 * child runs it out of a sealed memory file, so that /proc/self/exe is that file while the kernel looks at what
 * the image offers as a program, and not the builder's file on the host.
 *
 * argv: the path to execute, then the arguments of the program from argv[0] on. A failure is told on
 * SANDBOX_REPORT_FD, which is closed when there is none.
 */
#include "builder/sandbox/report.h"

#define F_SETFD 2
#define FD_CLOEXEC 1

#if defined(__x86_64__)

enum { CALL_WRITE = 1, CALL_EXECVE = 59, CALL_EXIT = 60, CALL_FCNTL = 72 };

static long call(long number, long a, long b, long c)
{
	long result;

	__asm__ volatile("syscall" : "=a"(result) : "a"(number), "D"(a), "S"(b), "d"(c) : "rcx", "r11", "memory");
	return result;
}

/* The kernel starts us with the stack pointer at argc, argv, NULL, environment, NULL. */
__asm__(".globl _start\n_start:\n\txor %ebp, %ebp\n\tmov %rsp, %rdi\n\tand $-16, %rsp\n\tcall stub_main\n");

#elif defined(__aarch64__)

enum { CALL_FCNTL = 25, CALL_WRITE = 64, CALL_EXIT = 93, CALL_EXECVE = 221 };

static long call(long number, long a, long b, long c)
{
	register long x8 __asm__("x8") = number;
	register long x0 __asm__("x0") = a;
	register long x1 __asm__("x1") = b;
	register long x2 __asm__("x2") = c;

	__asm__ volatile("svc 0" : "+r"(x0) : "r"(x8), "r"(x1), "r"(x2) : "memory");
	return x0;
}

__asm__(".globl _start\n_start:\n\tmov x29, #0\n\tmov x0, sp\n\tbl stub_main\n");

#else
#error "exec-stub.c knows x86-64 and arm64; elsewhere the build leaves it out"
#endif

void stub_main(long *stack) __attribute__((noreturn, used));

void stub_main(long *stack)
{
	char **argv = (char **)(stack + 1);
	char **env = argv + stack[0] + 1;
	struct sandbox_report_head head = {.kind = SANDBOX_REPORT_EXEC};

	/* Closed: it was the image that executed us, by way of /proc/self/exe. */
	if (call(CALL_FCNTL, SANDBOX_REPORT_FD, F_SETFD, FD_CLOEXEC) == 0) {
		head.sys = (int32_t)-call(CALL_EXECVE, (long)argv[0], (long)(argv + 1), (long)env);
		(void)call(CALL_WRITE, SANDBOX_REPORT_FD, (long)&head, sizeof head);
	}
	for (;;)
		(void)call(CALL_EXIT, 127, 0, 0);
}
