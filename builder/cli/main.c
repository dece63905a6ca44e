#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "builder/cli/cli.h"
#include "oci/base/alloc.h"
#include "oci/base/log.h"
#include "oci/base/pool.h"

#include "oci/base/poison.h"

static const struct cli_command *const commands[] = {
	&cli_build, &cli_images, &cli_inspect, &cli_history, &cli_tag, &cli_rmi, &cli_pull, &cli_push, &cli_save,
	&cli_load, &cli_import, &cli_prune, &cli_df, &cli_version,
};

#define N_COMMANDS (sizeof commands / sizeof *commands)

static int help(void)
{
	printf("usage: imgbuild [COMMAND] [OPTIONS] [ARGUMENTS]\n\n"
	       "Without a command, imgbuild builds: imgbuild --tag myimage:v1 .\n\ncommands:\n");
	for (size_t i = 0; i < N_COMMANDS; i++)
		printf("  %-10s %s\n", commands[i]->name, commands[i]->help);
	printf("\n`imgbuild COMMAND --help` shows a command's options.\n");
	return 0;
}

static volatile sig_atomic_t interrupts;

/* The first one stops the work in good order, the second one at once. */
static void on_signal(int number)
{
	(void)number;
	if (interrupts++)
		_exit(130);
	ib_cancel();
}

static void handle_signals(void)
{
	struct sigaction action = {.sa_handler = on_signal};

	/* No SA_RESTART: what waits in a system call shall wake up and see that it is over. */
	(void)sigaction(SIGINT, &action, NULL);
	(void)sigaction(SIGTERM, &action, NULL);
	(void)sigaction(SIGHUP, &action, NULL);
	action.sa_handler = SIG_IGN;
	(void)sigaction(SIGPIPE, &action, NULL);	/* a closed pipe is an error like any other */
}

/* A descriptor 0, 1 or 2 that is closed would be given to the next file opened. */
static void open_standard_files(void)
{
	int fd;

	do
		fd = open("/dev/null", O_RDWR | O_CLOEXEC);
	while (fd >= 0 && fd <= 2);
	ib_closep(&fd);
}

static const struct cli_command *find_command(const char *name)
{
	for (size_t i = 0; i < N_COMMANDS; i++)
		if (strcmp(commands[i]->name, name) == 0)
			return commands[i];
	return NULL;
}

/* A first word that is neither command, option nor directory was meant to be a command. */
static int check_not_misspelt(const char *word, struct ib_err *err)
{
	const char *names[N_COMMANDS];
	const char *nearest;

	if (word[0] == '-' || strchr(word, '/') || access(word, F_OK) == 0)
		return 0;
	for (size_t i = 0; i < N_COMMANDS; i++)
		names[i] = commands[i]->name;
	nearest = ib_nearest(word, names, N_COMMANDS);
	if (!nearest)
		return 0;
	ib_autofree char *shown = ib_printable(word, 64);

	return ib_fail(err, IB_USAGE, "there is no command '%s' (did you mean %s?)", shown, nearest);
}

/* `imgbuild --root DIR COMMAND`: the store may be named in front of the command; it is moved behind it. */
static void move_root(int argc, char **argv)
{
	char *root[2] = {argc > 2 ? argv[1] : NULL, argc > 2 ? argv[2] : NULL};

	if (argc > 3 && strcmp(root[0], "--root") == 0 && find_command(argv[3])) {
		argv[1] = argv[3];
		argv[2] = root[0];
		argv[3] = root[1];
	} else if (argc > 2 && strncmp(root[0], "--root=", 7) == 0 && find_command(root[1])) {
		argv[1] = root[1];
		argv[2] = root[0];
	}
}

static int dispatch(int argc, char **argv, struct ib_err *err)
{
	const struct cli_command *command;

	move_root(argc, argv);
	command = argc > 1 ? find_command(argv[1]) : NULL;
	if (argc > 1 && (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0 || strcmp(argv[1], "help") == 0))
		return help();
	if (argc > 1 && strcmp(argv[1], "--version") == 0)
		return cli_version.run(1, argv, err);
	if (command)
		return command->run(argc - 1, argv + 1, err);
	if (argc > 1 && check_not_misspelt(argv[1], err) < 0)
		return -1;
	return cli_build.run(argc, argv, err);
}

int main(int argc, char **argv)
{
	ib_autoerr err = {0};

	open_standard_files();
	(void)umask(0);	/* modes are given where files are made; RUN has its own umask */
	handle_signals();
	if (dispatch(argc, argv, &err) == 0 && cli_flush(&err) == 0)
		return 0;
	(void)fflush(stdout);	/* the failure that counts is in err */
	if (interrupts || err.code == IB_CANCELLED) {
		ib_log(IB_LOG_ERROR, "interrupted");
		return 130;
	}
	ib_log(IB_LOG_ERROR, "%s", err.text);
	return ib_exit_status(err.code);
}
