/* The syntax of each instruction: flags, JSON form, pairs, triggers. */
#include "tests/builder/dockerfile-dump.h"

#include "builder/dockerfile/duration.h"

#include "oci/base/poison.h"

/* Cases are single instructions in a stage; what is expected leaves the line of FROM out. */
static void assert_each(const struct parse_case *cases, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		ib_autostr source = IB_STR(1 << 16), expected = IB_STR(1 << 16);

		ib_str_addf(&source, "FROM b\n%s", cases[i].source);
		ib_str_addf(&expected, "1 FROM [b]\n2 %s\n", cases[i].expected);
		assert_dump(source.s, expected.s);
	}
}

static void refuse_each(const struct parse_case *cases, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		ib_autostr source = IB_STR(1 << 16), expected = IB_STR(1 << 16);

		ib_str_addf(&source, "FROM b\n%s", cases[i].source);
		ib_str_addf(&expected, "Dockerfile:2: %s", cases[i].expected);
		assert_refused(source.s, expected.s);
	}
}

static void flags_come_first_and_lose_their_quotes(void **state)
{
	static const struct parse_case cases[] = {
		{"COPY --chown=1:2 --from=x a /b", "COPY --chown=1:2 --from=x [a] [/b]"},
		{"COPY --chown= a /b", "COPY --chown= [a] [/b]"},
		{"COPY --link a /b", "COPY --link=true [a] [/b]"},
		{"COPY --link=TRUE --parents=False a /b", "COPY --link=true --parents=false [a] [/b]"},
		{"COPY --exclude=a --exclude=b c /d", "COPY --exclude=a --exclude=b [c] [/d]"},
		{"COPY --chown=\"a b\" --chmod='6 4' a /b", "COPY --chown=a b --chmod=6 4 [a] [/b]"},
		{"COPY --chown=a\\ b a /b", "COPY --chown=a b [a] [/b]"},
		/* "--" ends flags; a quoted word and one after an argument are none */
		{"RUN -- --x", "RUN [--x]"},
		{"RUN --network=none -- --x", "RUN --network=none [--x]"},
		{"RUN \"--network=none\" x", "RUN [\"--network=none\" x]"},
		{"RUN a --network=none", "RUN [a --network=none]"},
		{"RUN - x", "RUN [- x]"},
		{"RUN --mount=type=bind,\\\"target=/a,b\\\" --mount='type=cache,\"target=/c\"' x",
		 "RUN --mount=type=bind,\"target=/a,b\" --mount=type=cache,\"target=/c\" [x]"},
		{"RUN --device=a --device=b --security=insecure --network=host x",
		 "RUN --device=a --device=b --security=insecure --network=host [x]"},
		{"ADD --checksum=sha256:00 --keep-git-dir --unpack=false --chmod=1 u /x",
		 "ADD --checksum=sha256:00 --keep-git-dir=true --unpack=false --chmod=1 [u] [/x]"},
		{"FROM --platform=$BUILDPLATFORM x AS y", "FROM --platform=$BUILDPLATFORM [x] [y]"},
		/* some instructions forget their flags */
		{"ARG --foo A=1", "ARG (A)=(1)"},
		{"STOPSIGNAL --foo 9", "STOPSIGNAL [9]"},
		{"HEALTHCHECK --interval=1s --foo NONE", "HEALTHCHECK [NONE]"},
	};

	(void)state;
	assert_each(cases, N(cases));
}

static void bad_flags_are_refused(void **state)
{
	static const struct parse_case cases[] = {
		{"COPY --chown 1 a /b", "missing a value on flag: --chown"},
		{"COPY --exclude 1 a /b", "missing a value on flag: --exclude"},
		{"COPY --link= a /b", "missing a value on flag: --link"},
		{"COPY --link=maybe a /b", "expecting boolean value for flag --link, not: maybe"},
		{"COPY --chown=1 --chown=1 a /b", "duplicate flag specified: --chown"},
		{"COPY --foo a /b", "unknown flag: --foo"},
		{"COPY --chonw=1 a /b", "unknown flag: --chonw (did you mean --chown?)"},
		{"COPY --checksum=x a /b", "unknown flag: --checksum"},
		{"COPY --unpack a /b", "unknown flag: --unpack"},
		{"ADD --from=x a /b", "unknown flag: --from"},
		{"ADD --parents a /b", "unknown flag: --parents"},
		{"RUN --moumt=x y", "unknown flag: --moumt (did you mean --mount?)"},
		{"RUN --network=foo x", "invalid network mode \"foo\""},
		{"RUN --security=foo x", "security \"foo\" is not valid"},
		{"COPY --=1 a /b", "unknown flag: --"},
		{"ENV --x a=b", "unknown flag: --x"},
		{"LABEL --x a=b", "unknown flag: --x"},
		{"USER --x a", "unknown flag: --x"},
		{"WORKDIR --x a", "unknown flag: --x"},
		{"VOLUME --x a", "unknown flag: --x"},
		{"EXPOSE --x 1", "unknown flag: --x"},
		{"CMD --x a", "unknown flag: --x"},
		{"ENTRYPOINT --x a", "unknown flag: --x"},
		{"SHELL --x [\"a\"]", "unknown flag: --x"},
		{"ONBUILD --x RUN a", "unknown flag: --x"},
		{"MAINTAINER --x a", "unknown flag: --x"},
		{"HEALTHCHECK --foo CMD x", "unknown flag: --foo"},
	};

	(void)state;
	refuse_each(cases, N(cases));
}

static void json_form_is_strict_or_it_is_text(void **state)
{
	static const struct parse_case cases[] = {
		{"CMD [\"a\", \"b c\"]", "CMD json [a] [b c]"},
		{"CMD [ \"\\u0062\\\"\\\\\\/\" ] ", "CMD json [b\"\\/]"},
		{"CMD [\"\\ud83d\\ude00\",\"\\ud83d\",\"\\u00e9\"]",
		 "CMD json [\360\237\230\200] [\357\277\275] [\303\251]"},
		{"CMD [\"\377\"]", "CMD json [\357\277\275]"},
		{"CMD []", "CMD json"},
		{"ENTRYPOINT [ ]", "ENTRYPOINT json"},
		{"CMD ['a','b']", "CMD [['a','b']]"},
		{"CMD [\"a\"] x", "CMD [[\"a\"] x]"},
		{"CMD [\"a\",]", "CMD [[\"a\",]]"},
		{"CMD [,\"a\"]", "CMD [[,\"a\"]]"},
		{"CMD [\"a\" \"b\"]", "CMD [[\"a\" \"b\"]]"},
		{"CMD [\"a", "CMD [[\"a]"},
		{"CMD [\"a\"", "CMD [[\"a\"]"},
		{"CMD [", "CMD [[]"},
		{"CMD [\"\\x\"]", "CMD [[\"\\x\"]]"},
		{"CMD [\"\\u12\"]", "CMD [[\"\\u12\"]]"},
		{"CMD [\"a\tb\"]", "CMD [[\"a\tb\"]]"},
		{"CMD [\"a\", 1 2]", "CMD [[\"a\", 1 2]]"},
		{"RUN [ -f x ] && y", "RUN [[ -f x ] && y]"},
		{"SHELL [\"$X\",\"-c\"]", "SHELL json [$X] [-c]"},
		{"VOLUME [\"/a\", \" /b \"]", "VOLUME json [/a] [/b]"},
		{"VOLUME /a /b", "VOLUME [/a] [/b]"},
		{"COPY [\"p 1\",\"/n x/\"]", "COPY json [p 1] [/n x/]"},
		{"COPY [\"a\",\"<<EOF\"]", "COPY json [a] [<<EOF]"},
		/* no quotes outside of JSON */
		{"COPY \"p 1\" /n/", "COPY [\"p] [1\"] [/n/]"},
		{"COPY p\\ 1 /n/", "COPY [p\\] [1] [/n/]"},
		{"EXPOSE [\"80\"]", "EXPOSE [[\"80\"]]"},
	};

	(void)state;
	assert_each(cases, N(cases));
	assert_dump("FROM b\nCMD \\\n[\"a\",\\\n \"b\"]", "1 FROM [b]\n2-4 CMD json [a] [b]\n");
}

static void bad_json_form_is_refused(void **state)
{
	static const struct parse_case cases[] = {
		{"CMD [\"a\",1]", "when using JSON array syntax, arrays must be comprised of strings only"},
		{"CMD [1]", "when using JSON array syntax"},
		{"RUN [null]", "when using JSON array syntax"},
		{"ENTRYPOINT [[\"a\"]]", "when using JSON array syntax"},
		{"SHELL [{\"a\":[]}]", "when using JSON array syntax"},
		{"COPY [\"a\",true]", "when using JSON array syntax"},
		{"VOLUME [1]", "when using JSON array syntax"},
		{"HEALTHCHECK CMD [1]", "when using JSON array syntax"},
		{"CMD [\"a\\u0000\"]", "a NUL character in a JSON string"},
		{"RUN []", "RUN: arguments are required"},
		{"SHELL []", "SHELL requires at least one argument"},
		{"SHELL", "SHELL requires at least one argument"},
		{"SHELL bash -c", "SHELL requires the arguments to be in JSON form"},
		{"COPY [\"a\\x\",\"/b\"]", "COPY requires at least two arguments, but only one was provided. "
					   "Destination could not be determined"},
		{"VOLUME [\"\"]", "VOLUME specified can not be an empty string"},
		{"VOLUME [\" \"]", "VOLUME specified can not be an empty string"},
		{"VOLUME []", "VOLUME requires at least one argument"},
		{"VOLUME", "VOLUME requires at least one argument"},
	};

	(void)state;
	refuse_each(cases, N(cases));
}

static void pairs_keep_quotes_and_escapes(void **state)
{
	static const struct parse_case cases[] = {
		{"ENV a=1 b=$a", "ENV (a)=(1) (b)=($a)"},
		{"ENV a=\"x y\" b='p q' c=r\\ s", "ENV (a)=(\"x y\") (b)=('p q') (c)=(r\\ s)"},
		{"ENV a=\"x\\\" y\" b='p\\' c=q", "ENV (a)=(\"x\\\" y\") (b)=('p\\') (c)=(q)"},
		{"ENV a= b=\"\"", "ENV (a)=() (b)=(\"\")"},
		{"ENV a=b=c", "ENV (a)=(b=c)"},
		{"ENV a=1\302\240b=2", "ENV (a)=(1) (b)=(2)"},
		{"ENV \"a b\"=c", "ENV (\"a b\")=(c)"},
		{"ENV a=\"open b=c", "ENV (a)=(\"open b=c)"},
		{"ENV X=\"${U:-a b}\"", "ENV (X)=(\"${U:-a b}\")"},
		/* legacy form */
		{"ENV ONE TWO= \"THREE world\"", "ENV legacy (ONE)=(TWO= \"THREE world\")"},
		{"ENV b $a  \"$a\" '$a' \\$a", "ENV legacy (b)=($a  \"$a\" '$a' \\$a)"},
		{"ENV a\t  b  c ", "ENV legacy (a)=(b  c)"},
		{"LABEL a b", "LABEL legacy (a)=(b)"},
		{"LABEL a=b \"c d\"=\"e\"", "LABEL (a)=(b) (\"c d\")=(\"e\")"},
		{"ARG A", "ARG (A)"},
		{"ARG A=1 B C=\"x y\" D=", "ARG (A)=(1) (B) (C)=(\"x y\") (D)=()"},
	};

	(void)state;
	assert_each(cases, N(cases));
	/* doubled at the end it stays, so does not continue the line */
	assert_dump("FROM b\nENV a=b\\\\\nRUN x", "1 FROM [b]\n2 ENV (a)=(b\\\\)\n3 RUN [x]\n");
}

static void bad_pairs_are_refused(void **state)
{
	static const struct parse_case cases[] = {
		{"ENV", "ENV requires at least one argument"},
		{"ENV a", "ENV must have two arguments"},
		{"ENV =b", "ENV names can not be blank"},
		{"ENV a=b =c", "ENV names can not be blank"},
		{"ENV A=b # c", "Syntax error - can't find = in \"#\". Must be of the form: name=value"},
		{"ENV a=1 c", "Syntax error - can't find = in \"c\". Must be of the form: name=value"},
		{"ENV X=${U:-a b}", "Syntax error - can't find = in \"b}\""},
		{"LABEL", "LABEL requires at least one argument"},
		{"LABEL a", "LABEL must have two arguments"},
		{"LABEL =x", "LABEL names can not be blank"},
		{"ARG", "ARG requires at least one argument"},
		{"ARG =1", "ARG names can not be blank"},
		{"ARG a =1", "ARG names can not be blank"},
	};

	(void)state;
	refuse_each(cases, N(cases));
}

static void other_instructions_take_text_or_words(void **state)
{
	static const struct parse_case cases[] = {
		{"FROM x As Y-1.z_", "FROM [x] [y-1.z_]"},
		{"FROM $X", "FROM [$X]"},
		{"USER a b", "USER [a b]"},
		{"WORKDIR  /a b ", "WORKDIR [/a b]"},
		{"WORKDIR \"/a\"", "WORKDIR [\"/a\"]"},
		{"MAINTAINER  \"me\" <a@b> $x", "MAINTAINER [\"me\" <a@b> $x]"},
		{"STOPSIGNAL SIGRTMIN+3", "STOPSIGNAL [SIGRTMIN+3]"},
		{"EXPOSE 80\t443/TCP  8000-8001", "EXPOSE [80] [443/TCP] [8000-8001]"},
		{"COPY a b /c", "COPY [a] [b] [/c]"},
		{"HEALTHCHECK none", "HEALTHCHECK [NONE]"},
		{"HEALTHCHECK CMD  a  b", "HEALTHCHECK [CMD] [a  b]"},
		{"HEALTHCHECK cmd [\"a\",\"b\"]", "HEALTHCHECK json [CMD] [a] [b]"},
		{"HEALTHCHECK --interval=1m30s --timeout=500ms --start-period=0 --start-interval= "
		 "--retries=3 CMD x",
		 "HEALTHCHECK --interval=1m30s --timeout=500ms --start-period=0 --start-interval= --retries=3 "
		 "[CMD] [x]"},
		{"ONBUILD  RUN  --foo a ", "ONBUILD [RUN  --foo a]"},
		{"ONBUILD wibble", "ONBUILD [wibble]"},
		{"ONBUILD ENV a", "ONBUILD [ENV a]"},
	};

	(void)state;
	assert_each(cases, N(cases));
}

static void wrong_arguments_are_refused(void **state)
{
	static const struct parse_case cases[] = {
		{"FROM", "FROM requires either one or three arguments"},
		{"FROM a b", "FROM requires either one or three arguments"},
		{"FROM a on b", "FROM requires either one or three arguments"},
		{"FROM a as b c", "FROM requires either one or three arguments"},
		{"FROM a AS 1x", "invalid name for build stage: \"1x\", name can't start with a number or "
				 "contain symbols"},
		{"FROM a AS $x", "invalid name for build stage: \"$x\""},
		{"FROM a AS x/y", "invalid name for build stage: \"x/y\""},
		{"FROM a AS \303\251", "invalid name for build stage"},
		{"USER", "USER requires exactly one argument"},
		{"WORKDIR", "WORKDIR requires exactly one argument"},
		{"MAINTAINER", "MAINTAINER requires exactly one argument"},
		{"STOPSIGNAL", "STOPSIGNAL requires exactly one argument"},
		{"EXPOSE", "EXPOSE requires at least one argument"},
		{"COPY a", "COPY requires at least two arguments"},
		{"COPY", "COPY requires at least two arguments"},
		{"ADD a", "ADD requires at least two arguments"},
		{"ONBUILD", "ONBUILD requires at least one argument"},
		{"ONBUILD ONBUILD RUN x", "Chaining ONBUILD via `ONBUILD ONBUILD` isn't allowed"},
		{"ONBUILD from x", "FROM isn't allowed as an ONBUILD trigger"},
		{"ONBUILD MAINTAINER x", "MAINTAINER isn't allowed as an ONBUILD trigger"},
		{"HEALTHCHECK", "HEALTHCHECK requires at least one argument"},
		{"HEALTHCHECK FOO x", "Unknown type \"FOO\" in HEALTHCHECK (try CMD)"},
		{"HEALTHCHECK foo", "Unknown type \"FOO\" in HEALTHCHECK (try CMD)"},
		{"HEALTHCHECK NONE x", "HEALTHCHECK NONE takes no arguments"},
		{"HEALTHCHECK CMD", "Missing command after HEALTHCHECK CMD"},
		{"HEALTHCHECK CMD []", "Missing command after HEALTHCHECK CMD"},
		{"HEALTHCHECK --interval=10 CMD x", "--interval: missing unit in duration \"10\""},
		{"HEALTHCHECK --timeout=x CMD x", "--timeout: invalid duration \"x\""},
		{"HEALTHCHECK --timeout=1us CMD x", "Interval \"timeout\" cannot be less than 1ms"},
		{"HEALTHCHECK --timeout=-1s CMD x", "Interval \"timeout\" cannot be less than 1ms"},
		{"HEALTHCHECK --retries=-1 CMD x", "--retries cannot be negative (-1)"},
		{"HEALTHCHECK --retries=x CMD x", "--retries: not a number: \"x\""},
	};

	(void)state;
	refuse_each(cases, N(cases));
}

static void flags_are_found_by_name(void **state)
{
	IB_CLEANUP(dockerfile_freep) struct dockerfile *df =
		parse_ok("FROM b\nCOPY --link=false --parents --exclude=a --exclude=b x /y");
	const struct dockerfile_instruction *copy = &df->instructions[1];

	(void)state;
	assert_string_equal(dockerfile_flag(copy, "exclude"), "b");
	assert_null(dockerfile_flag(copy, "from"));
	assert_true(dockerfile_flag_true(copy, "parents"));
	assert_false(dockerfile_flag_true(copy, "link"));
	assert_false(dockerfile_flag_true(copy, "chown"));
}

static void assert_trigger(const char *text, char escape, const char *expected)
{
	struct dockerfile_instruction *in = NULL;
	ib_autostr out = IB_STR(1 << 16);
	ib_autoerr err = {0};

	if (dockerfile_parse_trigger(text, escape, &in, &err) < 0)
		fail_msg("'%s': %s", text, err.text);
	dump_instruction(in, &out);
	assert_string_equal(out.s, expected);
	dockerfile_instruction_done(in);
	free(in);
}

static void a_trigger_is_one_instruction(void **state)
{
	static const struct parse_case refused[] = {
		{"RNU x", "ONBUILD trigger 'RNU x': unknown instruction: RNU (did you mean RUN?)"},
		{"FROM x", "ONBUILD trigger 'FROM x': FROM isn't allowed as an ONBUILD trigger"},
		{"ONBUILD RUN x", "ONBUILD trigger 'ONBUILD RUN x': ONBUILD isn't allowed"},
		{"MAINTAINER x", "ONBUILD trigger 'MAINTAINER x': MAINTAINER isn't allowed"},
		{"", "ONBUILD trigger '': no instruction"},
		{"# c", "ONBUILD trigger '# c': no instruction"},
		{"RUN x\nRUN y", "ONBUILD trigger 'RUN x\\x0aRUN y': more than one instruction"},
	};

	(void)state;
	assert_trigger("RUN x", '\\', "1 RUN [x]\n");
	for (size_t i = 0; i < N(refused); i++) {
		struct dockerfile_instruction *in = NULL;
		ib_autoerr err = {0};

		assert_int_equal(dockerfile_parse_trigger(refused[i].source, '\\', &in, &err), -1);
		assert_null(in);
		assert_int_equal(strncmp(err.text, refused[i].expected, strlen(refused[i].expected)), 0);
	}
}

static void a_trigger_parses_again_with_its_heredocs(void **state)
{
	IB_CLEANUP(dockerfile_freep) struct dockerfile *df =
		parse_ok("FROM b\nONBUILD COPY --chown=1 <<-A <<'B' /d/\n\tx\n\tA\ny\nB\nRUN z");

	(void)state;
	assert_int_equal(df->n, 3);
	assert_string_equal(df->instructions[1].args.v[0],
			    "COPY --chown=1 <<-A <<'B' /d/\n\tx\nA\ny\nB");
	assert_trigger(df->instructions[1].args.v[0], '\\',
		       "1-5 COPY --chown=1 [/d/] {0<<-A \tx$} {0<<'B y$}\n");
	assert_trigger("ENV a=x` y", '`', "1 ENV (a)=(x` y)\n");
}

static void durations_are_gos(void **state)
{
	static const struct {
		const char *text;
		int64_t ns;
	} cases[] = {
		{"0", 0}, {"5s", 5000000000}, {"1.5s", 1500000000}, {"1h30m", 5400000000000}, {"1ns", 1},
		{"1us", 1000}, {"1\302\265s", 1000}, {"1\316\274s", 1000}, {"500ms", 500000000},
		{"-1s", -1000000000}, {"+1s", 1000000000}, {".5s", 500000000}, {"1.s", 1000000000},
		{"2540400h", 9145440000000000000},
	};
	static const char *const refused[] = {
		"", "-", "s", "1", "1x", "1s2", ".s", "1 s", "9223372036854775808ns", "2562048h", "1e3s",
	};

	(void)state;
	for (size_t i = 0; i < N(cases); i++) {
		ib_autoerr err = {0};
		int64_t ns = -7;

		assert_int_equal(dockerfile_duration_parse(cases[i].text, &ns, &err), 0);
		assert_int_equal(ns, cases[i].ns);
	}
	for (size_t i = 0; i < N(refused); i++) {
		ib_autoerr err = {0};
		int64_t ns;

		if (dockerfile_duration_parse(refused[i], &ns, &err) == 0)
			fail_msg("'%s' is accepted", refused[i]);
		assert_int_equal(err.code, IB_USAGE);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(flags_come_first_and_lose_their_quotes),
		cmocka_unit_test(bad_flags_are_refused),
		cmocka_unit_test(json_form_is_strict_or_it_is_text),
		cmocka_unit_test(bad_json_form_is_refused),
		cmocka_unit_test(pairs_keep_quotes_and_escapes),
		cmocka_unit_test(bad_pairs_are_refused),
		cmocka_unit_test(other_instructions_take_text_or_words),
		cmocka_unit_test(wrong_arguments_are_refused),
		cmocka_unit_test(flags_are_found_by_name),
		cmocka_unit_test(a_trigger_is_one_instruction),
		cmocka_unit_test(a_trigger_parses_again_with_its_heredocs),
		cmocka_unit_test(durations_are_gos),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
