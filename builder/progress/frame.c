#include "builder/progress/frame.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "builder/progress/text.h"
#include "oci/base/alloc.h"
#include "oci/base/clock.h"

#include "oci/base/poison.h"

#define OUTPUT_LINES 6		/* last lines of a running step */
#define TRANSFER_LINES 8	/* transfers of a running step, those under way first */
#define BAR_WIDTH 20
#define TIME_WIDTH 8		/* " 1234.5s" */

#define RED "\033[31m"
#define BLUE "\033[34m"
#define YELLOW "\033[33m"

/* How many lines a step gets below its own. */
struct share {
	bool shown;
	size_t transfers, output;
};

/* One line: left text cut to fit, right text at the right edge. colour may be NULL. */
static void add_line(struct progress_frame *frame, const char *colour, const char *left, const char *right)
{
	size_t right_width = progress_text_width(right);
	size_t room = frame->columns > right_width ? frame->columns - right_width : 0;
	size_t width;

	if (room == 0)
		right = "";
	if (colour && frame->colour)
		ib_str_adds(&frame->text, colour);
	width = progress_text_fit(&frame->text, left, room ? room : frame->columns);
	if (*right)
		ib_str_addf(&frame->text, "%*s%s", (int)(room - width), "", right);
	if (colour && frame->colour)
		ib_str_adds(&frame->text, "\033[0m");
	ib_str_adds(&frame->text, "\033[K\n");
	ib_grow(frame->widths, frame->n, frame->cap);
	frame->widths[frame->n++] = *right ? frame->columns : width;
}

static void add_head(struct progress_frame *frame, const struct progress_model *model)
{
	double seconds = (double)(ib_monotonic_ns() - model->started_ns) / 1e9;
	size_t over = 0, failed = 0, cancelled = 0;
	const char *word = "";
	char text[96];

	for (size_t i = 0; i < model->n; i++) {
		over += progress_step_over(model->steps[i]);
		failed += model->steps[i]->state == PROGRESS_FAILED;
		cancelled += model->steps[i]->state == PROGRESS_CANCELLED;
	}
	if (frame->final)
		word = failed ? " FAILED" : cancelled ? " CANCELED" : over == model->n ? " FINISHED" : "";
	(void)snprintf(text, sizeof text, "[+] Building %.1fs (%zu/%zu)%s", seconds, over, model->n, word);
	add_line(frame, NULL, text, "");
}

static void add_step(struct progress_frame *frame, const struct progress_step *step)
{
	static const struct {
		const char *word, *colour;
	} looks[] = {
		[PROGRESS_WAITING] = {"", NULL},	  [PROGRESS_RUNNING] = {"", NULL},
		[PROGRESS_DONE] = {"", BLUE},		  [PROGRESS_CACHED] = {"CACHED ", BLUE},
		[PROGRESS_FAILED] = {"ERROR ", RED},	  [PROGRESS_CANCELLED] = {"CANCELED ", YELLOW},
	};
	ib_autofree char *left = ib_asprintf(" => %s%s", looks[step->state].word, step->name);
	char right[32];

	(void)snprintf(right, sizeof right, " %*.1fs", TIME_WIDTH - 2, (double)progress_step_ns(step) / 1e9);
	add_line(frame, looks[step->state].colour, left, right);
}

static void add_transfer(struct progress_frame *frame, const struct progress_transfer *transfer)
{
	ib_autostr left = IB_STR(64u << 10);
	ib_autostr right = IB_STR(256);

	ib_str_adds(&left, " => => ");
	progress_transfer_id(&left, transfer);
	ib_str_addc(&right, ' ');
	if (transfer->total > 0 && !transfer->ended_ns && frame->columns >= 80) {
		double part = (double)transfer->current / (double)transfer->total;
		int filled = (int)(BAR_WIDTH * (part < 0 ? 0 : part > 1 ? 1 : part));

		ib_str_addf(&right, "[%.*s%*s] ", filled, "====================", BAR_WIDTH - filled, "");
	}
	progress_transfer_add(&right, transfer);
	add_line(frame, transfer->ended_ns ? BLUE : NULL, left.s, right.s);
}

static void add_transfers(struct progress_frame *frame, const struct progress_step *step, size_t n)
{
	/* Those under way, then the latest of those that are over. */
	for (size_t i = 0; i < step->n_transfers && n; i++) {
		if (!step->transfers[i].ended_ns) {
			add_transfer(frame, &step->transfers[i]);
			n--;
		}
	}
	for (size_t i = step->n_transfers; i > 0 && n; i--) {
		if (step->transfers[i - 1].ended_ns) {
			add_transfer(frame, &step->transfers[i - 1]);
			n--;
		}
	}
}

static void add_output(struct progress_frame *frame, const struct progress_step *step, size_t n)
{
	for (size_t i = step->tail_n - n; i < step->tail_n; i++) {
		ib_autofree char *left = ib_asprintf(" => => # %s", progress_step_tail(step, i));

		add_line(frame, NULL, left, "");
	}
}

static size_t at_most(size_t n, size_t most)
{
	return n < most ? n : most;
}

/*
 * Share out the rows below the head line: one to each step that runs or failed, then their transfers and
 * output, then one to each step that is over, the latest first.
 */
static void share_out(const struct progress_model *model, size_t rows, struct share *shares)
{
	for (size_t i = 0; i < model->n && rows; i++) {
		enum progress_state state = model->steps[i]->state;

		shares[i].shown = state == PROGRESS_RUNNING || state == PROGRESS_FAILED;
		rows -= shares[i].shown;
	}
	for (size_t i = 0; i < model->n && rows; i++) {
		const struct progress_step *step = model->steps[i];

		if (step->state != PROGRESS_RUNNING)
			continue;
		shares[i].transfers = at_most(at_most(step->n_transfers, TRANSFER_LINES), rows);
		rows -= shares[i].transfers;
		shares[i].output = at_most(at_most(step->tail_n, OUTPUT_LINES), rows);
		rows -= shares[i].output;
	}
	for (size_t i = model->n; i > 0 && rows; i--) {
		if (progress_step_over(model->steps[i - 1]) && !shares[i - 1].shown) {
			shares[i - 1].shown = true;
			rows--;
		}
	}
}

void progress_frame_draw(struct progress_frame *frame, const struct progress_model *model)
{
	ib_autofree struct share *shares = ib_calloc(model->n + 1, sizeof *shares);
	size_t warnings = frame->final ? model->warnings.n : 0;

	if (frame->final)
		for (size_t i = 0; i < model->n; i++)
			shares[i].shown = model->steps[i]->state != PROGRESS_WAITING;
	else if (frame->rows > 2)
		share_out(model, frame->rows - 2, shares);	/* the head; the row the cursor rests on */
	add_head(frame, model);
	for (size_t i = 0; i < model->n; i++) {
		if (!shares[i].shown)
			continue;
		add_step(frame, model->steps[i]);
		add_transfers(frame, model->steps[i], shares[i].transfers);
		add_output(frame, model->steps[i], shares[i].output);
	}
	for (size_t i = 0; i < warnings; i++)
		add_line(frame, YELLOW, model->warnings.v[i], "");
}

void progress_frame_done(struct progress_frame *frame)
{
	ib_str_done(&frame->text);
	free(frame->widths);
	frame->widths = NULL;
	frame->n = frame->cap = 0;
}

size_t progress_frame_rows(const struct progress_frame *frame, size_t columns)
{
	size_t rows = 0;

	for (size_t i = 0; i < frame->n; i++)
		rows += frame->widths[i] ? (frame->widths[i] + columns - 1) / columns : 1;
	return rows;
}
