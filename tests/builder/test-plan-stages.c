/* Planning: stages, what they need of each other, steps as they are handed to execution. */
#include "tests/builder/plan-fixture.h"

#include "oci/base/poison.h"

static void plan(struct planned *p, const struct plan_case *c)
{
	planned_init(p, c);
	if (p->r < 0)
		fail_msg("%s\n%s", c->dockerfile, p->err.text);
}

/* Which stages are needed, as digits. */
static const struct {
	struct plan_case c;
	const char *needed;
} graphs[] = {
	{{.dockerfile = "FROM scratch AS a\nFROM scratch AS b\nFROM scratch"}, "2"},
	{{.dockerfile = "FROM scratch AS a\nFROM a AS b\nFROM b"}, "012"},
	{{.dockerfile = "FROM scratch AS a\nFROM scratch AS b\nCOPY --from=a / /\nFROM scratch\nCOPY --from=B / /"}, "012"},
	{{.dockerfile = "FROM scratch\nFROM scratch\nCOPY --from=00 / /"}, "01"},
	{{.dockerfile = "FROM scratch AS a\nFROM scratch AS b\nFROM a", .target = "A"}, "0"},
	{{.dockerfile = "FROM scratch AS a\nCOPY <<E /a\n1\nE\nFROM scratch AS a\nFROM a"}, "12"},
	{{.dockerfile = "FROM scratch AS scratch\nENV A=1\nFROM scratch"}, "01"},
	{{.dockerfile = "FROM missing AS a\nSTOPSIGNAL foo\nFROM scratch"}, "1"},
	{{.dockerfile = "FROM scratch AS a\nFROM scratch AS b\nONBUILD COPY --from=a / /\nFROM b"}, "012"},
	{{.dockerfile = "FROM scratch AS tools\nFROM base AS x\nFROM onbuild-from-stage"}, "02"},
	{{.dockerfile = "FROM scratch AS a\nFROM scratch\nCOPY --from= a /"}, "1"},
};

static void only_what_the_target_needs_is_needed(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof graphs / sizeof *graphs; i++) {
		struct planned p;
		char got[16];
		size_t n = 0;

		plan(&p, &graphs[i].c);
		for (size_t k = 0; k < p.plan->n_stages; k++)
			if (p.plan->stages[k].needed)
				got[n++] = (char)('0' + k);
		got[n] = '\0';
		if (strcmp(got, graphs[i].needed) != 0)
			fail_msg("%s\nneeds %s, not %s", graphs[i].c.dockerfile, graphs[i].needed, got);
		planned_done(&p);
	}
}

static void an_image_is_asked_for_once(void **state)
{
	struct planned p;

	(void)state;
	plan(&p, &(struct plan_case){.dockerfile = "FROM base AS a\nFROM base AS b\nCOPY --from=a / /\nCOPY --from=base / /\nFROM base\n"
				     "COPY --from=b / /"});
	assert_int_equal(p.asked, 1);
	planned_done(&p);
}

static void a_stage_on_a_stage_has_its_platform(void **state)
{
	struct planned p;

	(void)state;
	plan(&p, &(struct plan_case){.dockerfile = "FROM --platform=linux/arm64 base AS a\nFROM a"});
	assert_string_equal(planned_target(&p)->config->platform.architecture, "arm64");
	planned_done(&p);
}

static void stage_names_are_shown(void **state)
{
	struct planned p;
	ib_autofree char *named = NULL, *unnamed = NULL;

	(void)state;
	plan(&p, &(struct plan_case){.dockerfile = "FROM scratch AS Build\nFROM build"});
	named = plan_stage_display_name(&p.plan->stages[0]);
	unnamed = plan_stage_display_name(&p.plan->stages[1]);
	assert_string_equal(named, "build");
	assert_string_equal(unnamed, "stage-1");
	planned_done(&p);
}

static void assert_list(const struct ib_strv *list, const char *want)
{
	ib_autostr got = IB_STR(4096);

	for (size_t i = 0; i < list->n; i++)
		ib_str_addf(&got, "%s%s", i ? "|" : "", list->v[i]);
	assert_string_equal(got.s ? got.s : "", want);
}

static void a_process_gets_its_variables_and_place(void **state)
{
	struct planned p;
	const struct plan_step *step;

	(void)state;
	plan(&p, &(struct plan_case){.dockerfile = "FROM base\nARG X=1\nARG NONE\nENV B=2 A=3\nWORKDIR w/../v\nUSER 5:6\nRUN make $X", .args = "http_proxy=p NO_PROXY=n"});
	assert_int_equal(planned_target(&p)->n_steps, 2);
	step = &planned_target(&p)->steps[1];
	assert_int_equal(step->kind, PLAN_RUN);
	assert_list(&step->argv, "/bin/sh|-c|make $X");
	assert_list(&step->env, "PATH=/bin|A=3|X=1|B=2");
	assert_list(&step->proxies, "HTTP_PROXY=p|http_proxy=p|NO_PROXY=n|no_proxy=n");
	assert_string_equal(step->cwd, "/home/v");
	assert_string_equal(step->user, "5:6");
	assert_int_equal(step->line, 7);
	assert_int_equal(step->network, PLAN_NETWORK_DEFAULT);
	planned_done(&p);
}

static void networks_are_those_of_the_command_line_unless_said(void **state)
{
	static const struct {
		enum plan_network given;
		const char *flag;
		enum plan_network want;
	} rows[] = {
		{PLAN_NETWORK_NONE, "", PLAN_NETWORK_NONE},
		{PLAN_NETWORK_NONE, "--network=default", PLAN_NETWORK_NONE},
		{PLAN_NETWORK_HOST, "--network=none", PLAN_NETWORK_NONE},
		{PLAN_NETWORK_HOST, "--network=host", PLAN_NETWORK_HOST},
	};

	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		ib_autofree char *text = ib_asprintf("FROM bare\nRUN %s x", rows[i].flag);
		struct planned p;

		plan(&p, &(struct plan_case){.dockerfile = text, .network = rows[i].given});
		assert_int_equal(planned_target(&p)->steps[0].network, rows[i].want);
		planned_done(&p);
	}
}

/* WORKDIR, DEST as written -> where it is. */
static void destinations_are_absolute(void **state)
{
	static const char *const rows[][3] = {
		{"/", "x", "/x"}, {"/w", "x/", "/w/x/"}, {"/w/", ".", "/w/."}, {"/w", "$NONE", "/w/"}, {"/w", "/x", "/x"},
		{"/", "", "/"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		ib_autofree char *text = ib_asprintf("FROM scratch\nWORKDIR %s\nCOPY [\"a\",\"%s\"]", rows[i][0], rows[i][1]);
		struct planned p;

		plan(&p, &(struct plan_case){.dockerfile = text});
		assert_string_equal(planned_target(&p)->steps[planned_target(&p)->n_steps - 1].dest, rows[i][2]);
		planned_done(&p);
	}
}

static void heredocs_of_copy_are_expanded_unless_quoted(void **state)
{
	struct planned p;
	const struct plan_step *step;

	(void)state;
	plan(&p, &(struct plan_case){.dockerfile = "FROM scratch\nENV X=v\nCOPY <<E <<\"F\" /d/\n\\n \\\\ \\$X 'q' $X\nE\n\\n $X\nF"});
	step = &planned_target(&p)->steps[0];
	assert_int_equal(step->n_inline_files, 2);
	assert_string_equal(step->inline_files[0].content, "n \\ $X 'q' v\n");
	assert_string_equal(step->inline_files[1].content, "\\n $X\n");
	planned_done(&p);
}

static void the_epoch_is_found(void **state)
{
	static const struct {
		struct plan_case c;
		bool has;
		int64_t epoch;
	} rows[] = {
		{{.dockerfile = "FROM scratch"}, false, 0},
		{{.dockerfile = "FROM scratch", .args = "SOURCE_DATE_EPOCH=0"}, true, 0},
		{{.dockerfile = "ARG SOURCE_DATE_EPOCH=7\nFROM scratch"}, true, 7},
		{{.dockerfile = "ARG SOURCE_DATE_EPOCH=7\nFROM scratch", .args = "SOURCE_DATE_EPOCH=8"}, true, 8},
		{{.dockerfile = "ARG SOURCE_DATE_EPOCH=7\nFROM scratch", .args = "SOURCE_DATE_EPOCH="}, false, 0},
		{{.dockerfile = "FROM scratch\nARG SOURCE_DATE_EPOCH=9"}, false, 0},
	};

	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		struct planned p;

		plan(&p, &rows[i].c);
		assert_int_equal(p.plan->has_epoch, rows[i].has);
		assert_int_equal(p.plan->epoch, rows[i].epoch);
		planned_done(&p);
	}
}

/* A hundred thousand ARGs, two thousand stages: the time limit of the test is the assertion. */
static void large_files_are_planned_quickly(void **state)
{
	struct ib_str text = IB_STR(64u << 20);
	struct planned p;

	(void)state;
	ib_str_adds(&text, "FROM scratch AS s0\n");
	for (int i = 1; i < 2000; i++)
		ib_str_addf(&text, "FROM s%d AS s%d\nENV A=%d\n", i - 1, i, i);
	for (int i = 0; i < 100000; i++)
		ib_str_addf(&text, "ARG A%d=%d\n", i, i);
	plan(&p, &(struct plan_case){.dockerfile = text.s});
	assert_int_equal(planned_target(&p)->config->n_history, 1999 + 100000);
	planned_done(&p);
	ib_str_done(&text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(only_what_the_target_needs_is_needed),
		cmocka_unit_test(an_image_is_asked_for_once),
		cmocka_unit_test(a_stage_on_a_stage_has_its_platform),
		cmocka_unit_test(stage_names_are_shown),
		cmocka_unit_test(a_process_gets_its_variables_and_place),
		cmocka_unit_test(networks_are_those_of_the_command_line_unless_said),
		cmocka_unit_test(destinations_are_absolute),
		cmocka_unit_test(heredocs_of_copy_are_expanded_unless_quoted),
		cmocka_unit_test(the_epoch_is_found),
		cmocka_unit_test(large_files_are_planned_quickly),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
