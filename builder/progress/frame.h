/*
 * builder/progress/frame.h - one picture of a build for a terminal: lines of text that fit it.
 */
#ifndef BUILDER_PROGRESS_FRAME_H
#define BUILDER_PROGRESS_FRAME_H

#include "builder/progress/reader.h"

struct progress_frame {
	size_t columns, rows;	/* of the terminal */
	bool colour;
	bool final;		/* all steps, however many; no output, no transfers */
	struct ib_str text;	/* lines, each "TEXT ESC[K NEWLINE" */
	size_t *widths;		/* cells of each line */
	size_t n, cap;
};

#define PROGRESS_FRAME(c, r) {.columns = (c), .rows = (r), .text = IB_STR(4u << 20)}

/* Draw the build; called with the model's lock held. */
void progress_frame_draw(struct progress_frame *frame, const struct progress_model *model);

void progress_frame_done(struct progress_frame *frame);

/* Rows that the lines take up on a terminal of that width, which may have changed since. */
size_t progress_frame_rows(const struct progress_frame *frame, size_t columns);

#endif
