#include "builder/progress/reader.h"

#include <stdlib.h>

#include "builder/progress/spool.h"
#include "oci/base/alloc.h"
#include "oci/base/clock.h"

#include "oci/base/poison.h"

#define TRANSFER_NS 3000000000	/* how often a transfer is reported */
#define RECORD_MAX (1u << 20)	/* longest text of one event: a line, a name or an error, all limited */

struct plain {
	struct progress_reader reader;
	struct progress_spool *spool;
	bool any;	/* something was printed */
};

static void put(struct plain *plain, const struct ib_str *text)
{
	progress_spool_add(plain->spool, text->s, text->len);
	plain->any = true;
}

/* "#N NAME" before the first line of a step, set off from what precedes. */
static void head(struct plain *plain, struct progress_step *step, struct ib_str *out)
{
	if (step->shown)
		return;
	step->shown = true;
	ib_str_addf(out, "%s#%d %s\n", plain->any ? "\n" : "", step->number, step->name);
}

static void plain_changed(struct progress_reader *reader, struct progress_step *step)
{
	struct plain *plain = (struct plain *)reader;
	ib_autostr out = IB_STR(RECORD_MAX);

	if (step->state == PROGRESS_WAITING)
		return;
	head(plain, step, &out);
	switch (step->state) {
	case PROGRESS_WAITING:
	case PROGRESS_RUNNING:
		break;
	case PROGRESS_DONE:
		ib_str_addf(&out, "#%d DONE %.1fs\n", step->number, (double)progress_step_ns(step) / 1e9);
		break;
	case PROGRESS_CACHED:
		ib_str_addf(&out, "#%d CACHED\n", step->number);
		break;
	case PROGRESS_FAILED:
		ib_str_addf(&out, "#%d ERROR: %s\n", step->number, step->failure);
		break;
	case PROGRESS_CANCELLED:
		ib_str_addf(&out, "#%d CANCELED\n", step->number);
		break;
	}
	if (out.len)
		put(plain, &out);
}

static void plain_line(struct progress_reader *reader, struct progress_step *step, const char *text)
{
	struct plain *plain = (struct plain *)reader;
	ib_autostr out = IB_STR(RECORD_MAX);
	double seconds = (double)(ib_monotonic_ns() - step->started_ns) / 1e9;

	head(plain, step, &out);
	ib_str_addf(&out, "#%d %.3f%s%s\n", step->number, seconds, *text ? " " : "", text);
	put(plain, &out);
}

static void plain_transfer(struct progress_reader *reader, struct progress_step *step,
			   struct progress_transfer *transfer)
{
	struct plain *plain = (struct plain *)reader;
	ib_autostr out = IB_STR(RECORD_MAX);
	int64_t now_ns = ib_monotonic_ns();
	int64_t since_ns = transfer->shown_ns ? transfer->shown_ns : transfer->started_ns;

	if (!transfer->ended_ns && now_ns - since_ns < TRANSFER_NS)
		return;
	transfer->shown_ns = now_ns;
	head(plain, step, &out);
	ib_str_addf(&out, "#%d ", step->number);
	progress_transfer_id(&out, transfer);
	ib_str_addc(&out, ' ');
	progress_transfer_add(&out, transfer);
	ib_str_addc(&out, '\n');
	put(plain, &out);
}

static void plain_warning(struct progress_reader *reader, struct progress_step *step, const char *text)
{
	struct plain *plain = (struct plain *)reader;
	ib_autostr out = IB_STR(RECORD_MAX);

	if (step) {
		head(plain, step, &out);
		ib_str_addf(&out, "#%d ", step->number);
	}
	ib_str_addf(&out, "WARN: %s\n", text);
	put(plain, &out);
}

static void plain_free(struct progress_reader *reader)
{
	struct plain *plain = (struct plain *)reader;

	progress_spool_free(plain->spool);
	free(plain);
}

struct progress_reader *progress_plain_new(int fd)
{
	static const struct progress_ops ops = {
		.changed = plain_changed,
		.line = plain_line,
		.transfer = plain_transfer,
		.warning = plain_warning,
		.free = plain_free,
	};
	struct plain *plain = ib_new(struct plain);

	plain->reader.ops = &ops;
	plain->spool = progress_spool_new(fd);
	return &plain->reader;
}
