#include "builder/progress/reader.h"

#include <stdlib.h>

#include "builder/progress/spool.h"
#include "oci/base/alloc.h"

#include "oci/base/poison.h"

#define TEXT_MAX (1u << 20)	/* more than a name and all lines that a step keeps */

/* Says nothing, unless a step fails: then people want to see what it printed last. */
struct quiet {
	struct progress_reader reader;
	const struct progress_model *model;
	int fd;
};

void progress_failures_write(const struct progress_model *model, int fd)
{
	static const atomic_bool closing = true;

	for (size_t i = 0; i < model->n; i++) {
		const struct progress_step *step = model->steps[i];
		ib_autostr out = IB_STR(TEXT_MAX);

		if (step->state != PROGRESS_FAILED || !step->tail_n)
			continue;
		ib_str_addf(&out, "------\n > %s:\n", step->name);
		for (size_t line = 0; line < step->tail_n; line++)
			ib_str_addf(&out, "%s\n", progress_step_tail(step, line));
		ib_str_adds(&out, "------\n");
		(void)progress_write(fd, out.s, out.len, &closing);	/* nobody is left to tell */
	}
}

static void quiet_free(struct progress_reader *reader)
{
	struct quiet *quiet = (struct quiet *)reader;

	progress_failures_write(quiet->model, quiet->fd);
	free(quiet);
}

struct progress_reader *progress_quiet_new(const struct progress_model *model, int fd)
{
	static const struct progress_ops ops = {.free = quiet_free};
	struct quiet *quiet = ib_new(struct quiet);

	quiet->reader.ops = &ops;
	quiet->model = model;
	quiet->fd = fd;
	return &quiet->reader;
}
