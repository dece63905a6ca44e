/*
 * Planning: configuration and history of what one stage does. Expected texts are those that BuildKit writes for
 * the same Dockerfiles.
 */
#include "tests/builder/plan-fixture.h"

#include "oci/base/poison.h"

/* What a Dockerfile makes: history, and words that the written configuration holds. */
struct row {
	struct plan_case c;
	const char *history;
	const char *config[4];
};

static void check_row(const struct row *row)
{
	struct planned p;
	ib_autofree char *history = NULL, *config = NULL;

	planned_init(&p, &row->c);
	if (p.r < 0)
		fail_msg("%s\n%s", row->c.dockerfile, p.err.text);
	history = planned_history(&p);
	config = planned_config(&p);
	if (strcmp(history, row->history) != 0)
		fail_msg("%s\ngot:\n%swant:\n%s", row->c.dockerfile, history, row->history);
	for (size_t i = 0; i < 4 && row->config[i]; i++) {
		bool absent = row->config[i][0] == '!';

		if (!strstr(config, row->config[i] + absent) == !absent)
			fail_msg("%s\n%s in %s", row->c.dockerfile, row->config[i], config);
	}
	planned_done(&p);
}

static void check_rows(const struct row *rows, size_t n)
{
	for (size_t i = 0; i < n; i++)
		check_row(&rows[i]);
}

#define CHECK(rows) check_rows(rows, sizeof (rows) / sizeof *(rows))

#define DEFAULT_PATH "\"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin\""

static void env_and_labels(void **state)
{
	static const struct row rows[] = {
		{{.dockerfile = "FROM scratch\nENV a=1 b=$a\nENV c=$a"}, "ENV a=1 b=\nENV c=1\n",
		 {"\"Env\":[" DEFAULT_PATH ",\"a=1\",\"b=\",\"c=1\"]"}},
		{{.dockerfile = "FROM base\nENV A=x B=y"}, "ENV A=x B=y\n", {"\"Env\":[\"PATH=/bin\",\"A=x\",\"B=y\"]"}},
		{{.dockerfile = "FROM scratch\nENV a=1\nENV b $a  \"$a\" '$a' \\$a"}, "ENV a=1\nENV b=1  1 $a $a\n",
		 {"\"b=1  1 $a $a\""}},
		{{.dockerfile = "FROM scratch\nENV ONE TWO= \"THREE world\""}, "ENV ONE=TWO= THREE world\n", {"\"ONE=TWO= THREE world\""}},
		{{.dockerfile = "FROM exposing\nLABEL k=v \"c d\"='e f'\nLABEL y=$A"}, "LABEL k=v c d=e f\nLABEL y=\n",
		 {"\"Labels\":{\"c d\":\"e f\",\"k\":\"v\",\"y\":\"\",\"z\":\"1\"}"}},
		{{.dockerfile = "FROM exposing\nLABEL k=v", .labels = "k=last new"}, "LABEL k=v\n",
		 {"\"Labels\":{\"k\":\"last\",\"new\":\"\",\"z\":\"1\"}"}},
	};

	(void)state;
	CHECK(rows);
}

static void arguments(void **state)
{
	static const struct row rows[] = {
		{{.dockerfile = "FROM bare\nENV A=e\nARG A=x\nRUN echo $A"},
		 "ENV A=e\nARG A=x\n+RUN |1 A=x /bin/sh -c echo $A # buildkit\n", {"\"A=e\""}},
		{{.dockerfile = "FROM bare\nARG A=x\nENV A=e\nRUN echo $A", .args = "A=c"},
		 "ARG A=c\nENV A=e\n+RUN |1 A=e /bin/sh -c echo $A # buildkit\n", {"\"A=e\""}},
		{{.dockerfile = "ARG A=g\nFROM scratch\nARG A=1\nARG A\nENV Y=$A"}, "ARG A=1\nARG A=g\nENV Y=g\n", {"\"Y=g\""}},
		{{.dockerfile = "FROM scratch\nARG A=1\nARG A\nENV Y=$A"}, "ARG A=1\nARG A\nENV Y=1\n", {"\"Y=1\""}},
		{{.dockerfile = "FROM bare\nARG A\nRUN x"}, "ARG A\n+RUN |1 A= /bin/sh -c x # buildkit\n", {"!\"A"}},
		{{.dockerfile = "FROM scratch\nARG a=1 b=$a c"}, "ARG a=1 b=1 c\n", {NULL}},
		{{.dockerfile = "ARG G=1\nFROM scratch\nENV X=$G"}, "ENV X=\n", {"\"X=\""}},
		{{.dockerfile = "FROM scratch\nARG A=$B", .args = "A=1 A=2 B=3"}, "ARG A=2\n", {NULL}},
		{{.dockerfile = "FROM scratch\nARG TARGETARCH\nARG TARGETPLATFORM\nARG TARGETVARIANT\nARG TARGETSTAGE"},
		 "ARG TARGETARCH=amd64\nARG TARGETPLATFORM=linux/amd64\nARG TARGETVARIANT=\nARG TARGETSTAGE=default\n", {NULL}},
		{{.dockerfile = "FROM scratch AS me\nARG TARGETSTAGE", .target = "me"}, "ARG TARGETSTAGE=me\n", {NULL}},
		{{.dockerfile = "FROM scratch\nARG TARGETOS", .args = "TARGETOS=beos"}, "ARG TARGETOS=beos\n", {NULL}},
		{{.dockerfile = "FROM bare AS one\nARG A=1\nFROM one\nARG B=2\nRUN x"},
		 "ARG A=1\nARG B=2\n+RUN |2 A=1 B=2 /bin/sh -c x # buildkit\n", {NULL}},
		{{.dockerfile = "FROM bare AS one\nARG A=1\nFROM bare\nENV B=$A"}, "ENV B=\n", {NULL}},
		{{.dockerfile = "FROM bare\nRUN x", .args = "http_proxy=u NOBODY=1"}, "+RUN /bin/sh -c x # buildkit\n", {NULL}},
		{{.dockerfile = "FROM bare\nARG HTTP_PROXY\nRUN x", .args = "HTTP_PROXY=u"},
		 "ARG HTTP_PROXY=u\n+RUN |1 HTTP_PROXY=u /bin/sh -c x # buildkit\n", {NULL}},
	};

	(void)state;
	CHECK(rows);
}

static void commands_and_shells(void **state)
{
	static const struct row rows[] = {
		{{.dockerfile = "FROM scratch\nCMD echo hi"}, "CMD [\"/bin/sh\" \"-c\" \"echo hi\"]\n",
		 {"\"Cmd\":[\"/bin/sh\",\"-c\",\"echo hi\"]", "\"ArgsEscaped\":true"}},
		{{.dockerfile = "FROM scratch\nCMD [\"a \\\"b\\\"\", \"\\t\", \"\\u00e9\\u0001\"]"},
		 "CMD [\"a \\\"b\\\"\" \"\\t\" \"\xc3\xa9\\x01\"]\n", {"\"ArgsEscaped\":true"}},
		{{.dockerfile = "FROM scratch\nCMD"}, "CMD [\"/bin/sh\" \"-c\" \"\"]\n", {"\"Cmd\":[\"/bin/sh\",\"-c\",\"\"]"}},
		{{.dockerfile = "FROM base\nCMD []"}, "CMD []\n", {"!\"sh\""}},
		{{.dockerfile = "FROM scratch\nCMD ['a','b']"}, "CMD [\"/bin/sh\" \"-c\" \"['a','b']\"]\n", {NULL}},
		{{.dockerfile = "FROM base\nENTRYPOINT [\"e\"]"}, "ENTRYPOINT [\"e\"]\n", {"\"Entrypoint\":[\"e\"]", "!\"Cmd\""}},
		{{.dockerfile = "FROM scratch\nCMD [\"a\"]\nENTRYPOINT [\"b\"]"}, "CMD [\"a\"]\nENTRYPOINT [\"b\"]\n",
		 {"\"Entrypoint\":[\"b\"],\"Cmd\":[\"a\"]"}},
		{{.dockerfile = "FROM scratch AS p\nCMD [\"c\"]\nFROM p\nENTRYPOINT [\"e\"]"}, "CMD [\"c\"]\nENTRYPOINT [\"e\"]\n",
		 {"\"Entrypoint\":[\"e\"]", "!\"Cmd\""}},
		{{.dockerfile = "FROM entry\nCMD x"}, "CMD [\"/bin/bash\" \"-c\" \"x\"]\n", {"\"Entrypoint\":[\"/e\"],\"Cmd\":[\"/bin/bash\""}},
		{{.dockerfile = "FROM scratch\nSHELL [\"$X\",\"-c\"]\nCMD a"}, "SHELL [$X -c]\nCMD [\"$X\" \"-c\" \"a\"]\n",
		 {"\"Shell\":[\"$X\",\"-c\"]", "\"Cmd\":[\"$X\",\"-c\",\"a\"]"}},
		{{.dockerfile = "FROM entry\nRUN x"}, "+RUN /bin/bash -c x # buildkit\n", {NULL}},
		{{.dockerfile = "FROM bare\nRUN [\"a\",\"b c\"]"}, "+RUN a b c # buildkit\n", {NULL}},
		{{.dockerfile = "FROM bare\nRUN --network=none x"}, "+RUN /bin/sh -c x # buildkit\n", {NULL}},
		{{.dockerfile = "FROM bare\nRUN <<EOF\nfalse\n$X\nEOF"}, "+RUN /bin/sh -c false\n$X\n # buildkit\n", {NULL}},
		{{.dockerfile = "FROM bare\nRUN <<-EOF\n\t#!/bin/sh\n\tx\nEOF"}, "+RUN /bin/sh -c /dev/pipes/EOF # buildkit\n", {NULL}},
		{{.dockerfile = "FROM bare\nRUN cat <<A && cat <<-\"B\"\n1\nA\n\t2\n\tB"},
		 "+RUN /bin/sh -c cat <<A && cat <<-\"B\"\n1\nA\n\t2\nB # buildkit\n", {NULL}},
	};

	(void)state;
	CHECK(rows);
}

static void ports_volumes_users(void **state)
{
	static const struct row rows[] = {
		{{.dockerfile = "FROM scratch\nEXPOSE 80 443/TCP 8000-8001"}, "EXPOSE [443/tcp 80/tcp 8000/tcp 8001/tcp]\n",
		 {"\"ExposedPorts\":{\"443/tcp\":{},\"80/tcp\":{},\"8000/tcp\":{},\"8001/tcp\":{}}"}},
		{{.dockerfile = "FROM scratch\nENV P=\"90 91/udp\"\nEXPOSE $P"}, "ENV P=90 91/udp\nEXPOSE [90/tcp 91/udp]\n", {NULL}},
		{{.dockerfile = "FROM exposing\nEXPOSE 90 53/Udp 80/ 1/sctp"}, "EXPOSE [1/sctp 53/udp 80/tcp 90/tcp]\n",
		 {"\"ExposedPorts\":{\"1/sctp\":{},\"53/udp\":{},\"80/tcp\":{},\"90/tcp\":{}}"}},
		{{.dockerfile = "FROM scratch\nEXPOSE 1.2.3.4:5:6 7:8/udp"}, "EXPOSE [6/tcp 8/udp]\n", {NULL}},
		{{.dockerfile = "FROM exposing\nVOLUME /b rel\nVOLUME [\"/a b\"]"}, "VOLUME [/b rel]\nVOLUME [/a b]\n",
		 {"\"Volumes\":{\"/a b\":{},\"/b\":{},\"/z\":{},\"rel\":{}}"}},
		{{.dockerfile = "FROM entry\nUSER $NOPE"}, "USER \n", {"!\"User\""}},
		{{.dockerfile = "FROM scratch\nUSER a b:c"}, "USER a b:c\n", {"\"User\":\"a b:c\""}},
		{{.dockerfile = "FROM scratch\nSTOPSIGNAL sigterm\nSTOPSIGNAL RTMIN+3\nSTOPSIGNAL -1"},
		 "STOPSIGNAL sigterm\nSTOPSIGNAL RTMIN+3\nSTOPSIGNAL -1\n", {"\"StopSignal\":\"-1\""}},
		{{.dockerfile = "FROM scratch\nMAINTAINER \"A $B\" <c>"}, "MAINTAINER \"A $B\" <c>\n", {NULL}},
	};

	(void)state;
	CHECK(rows);
}

static void working_directories(void **state)
{
	static const struct row rows[] = {
		{{.dockerfile = "FROM scratch\nWORKDIR /x/../y/"}, "+WORKDIR /x/../y/\n", {"\"WorkingDir\":\"/x/../y/\""}},
		{{.dockerfile = "FROM scratch\nWORKDIR /"}, "WORKDIR /\n", {"\"WorkingDir\":\"/\""}},
		{{.dockerfile = "FROM scratch\nWORKDIR /z\nWORKDIR $nope"}, "+WORKDIR /z\n+WORKDIR /z\n", {"\"WorkingDir\":\"/z\""}},
		{{.dockerfile = "FROM base\nWORKDIR a\nWORKDIR ../b/./c"}, "+WORKDIR /home/a\n+WORKDIR /home/b/c\n",
		 {"\"WorkingDir\":\"/home/b/c\""}},
		{{.dockerfile = "FROM scratch\nWORKDIR .."}, "WORKDIR /\n", {NULL}},
		{{.dockerfile = "FROM bare\nWORKDIR x"}, "+WORKDIR /x\n", {NULL}},
	};

	(void)state;
	CHECK(rows);
}

static void health_checks(void **state)
{
	static const struct row rows[] = {
		{{.dockerfile = "FROM scratch\nHEALTHCHECK --interval=5s CMD true"},
		 "HEALTHCHECK {Test:[CMD-SHELL true] Interval:5s Timeout:0s StartPeriod:0s StartInterval:0s Retries:0}\n",
		 {"\"Healthcheck\":{\"Test\":[\"CMD-SHELL\",\"true\"],\"Interval\":5000000000}"}},
		{{.dockerfile = "FROM checked\nHEALTHCHECK --timeout=1m30s --start-period=1h --start-interval=1500ms --retries=3 CMD [\"a\",\"b c\"]"},
		 "HEALTHCHECK {Test:[CMD a b c] Interval:0s Timeout:1m30s StartPeriod:1h0m0s StartInterval:1.5s Retries:3}\n",
		 {"\"Test\":[\"CMD\",\"a\",\"b c\"],\"Timeout\":90000000000,\"StartPeriod\":3600000000000"}},
		{{.dockerfile = "FROM checked\nHEALTHCHECK --interval=1s none"},
		 "HEALTHCHECK {Test:[NONE] Interval:0s Timeout:0s StartPeriod:0s StartInterval:0s Retries:0}\n",
		 {"\"Healthcheck\":{\"Test\":[\"NONE\"]}"}},
		{{.dockerfile = "FROM checked\nENV A=1"}, "ENV A=1\n", {"\"Healthcheck\":{\"Test\":[\"CMD\",\"x\"],\"Interval\":1000000000}"}},
	};

	(void)state;
	CHECK(rows);
}

static void copies(void **state)
{
	static const struct row rows[] = {
		{{.dockerfile = "FROM scratch\nCOPY --chown=$U --chmod=755 a b /n/"}, "+COPY --chmod=755 a b /n/ # buildkit\n", {NULL}},
		{{.dockerfile = "FROM scratch AS s\nFROM base\nENV S=a D=/q\nCOPY --from=S [\"$S\",\"x y\",\"$D/\"]"},
		 "ENV S=a D=/q\n+COPY a x y /q/ # buildkit\n", {NULL}},
		{{.dockerfile = "FROM scratch\nADD --chown=5:6 t.tar /n"}, "+ADD --chown=5:6 t.tar /n # buildkit\n", {NULL}},
		{{.dockerfile = "FROM scratch\nCOPY <<E <<\"F\" /d/\n$X\nE\n$X\nF"}, "+COPY <<E <<F /d/ # buildkit\n", {NULL}},
	};

	(void)state;
	CHECK(rows);
}

static void triggers(void **state)
{
	static const struct row rows[] = {
		{{.dockerfile = "FROM bare AS b\nONBUILD ENV O=1\nFROM b\nENV Z=$O"}, "ENV O=1\nENV Z=1\n", {"\"O=1\"", "\"Z=1\"", "!OnBuild"}},
		{{.dockerfile = "FROM scratch\nONBUILD RUN x\nONBUILD COPY $A /b"}, "", {"\"OnBuild\":[\"RUN x\",\"COPY $A /b\"]"}},
		{{.dockerfile = "FROM onbuild\nENV P=$O"}, "ENV O=1\n+COPY 1 /o # buildkit\n+RUN /bin/sh -c make # buildkit\nENV P=1\n", {"!OnBuild"}},
		{{.dockerfile = "FROM onbuild AS a\nFROM a\nENV Q=1"},
		 "ENV O=1\n+COPY 1 /o # buildkit\n+RUN /bin/sh -c make # buildkit\nENV Q=1\n", {NULL}},
		{{.dockerfile = "FROM scratch AS tools\nFROM onbuild-from-stage"}, "+COPY /t /t # buildkit\n", {NULL}},
	};
	struct planned p;

	(void)state;
	CHECK(rows);
	planned_init(&p, &rows[2].c);
	assert_string_equal(planned_target(&p)->steps[0].text, "ONBUILD COPY 1 /o");
	assert_int_equal(planned_target(&p)->steps[0].line, 1);
	planned_done(&p);
}

/* Dockerfile, exit of the plan as code and words of the message. */
static const struct {
	struct plan_case c;
	enum ib_code code;
	const char *text;
} refused[] = {
	{{.dockerfile = "FROM $NONE"}, IB_USAGE, "D:1: base name ($NONE) should not be blank"},
	{{.dockerfile = "FROM scratch AS a\nCOPY --from=a /x /y"}, IB_USAGE, "D:2: circular dependency detected on stage: a"},
	{{.dockerfile = "FROM scratch AS a\nCOPY --from=b /x /y\nFROM a AS b\nCOPY --from=a / /"}, IB_USAGE,
	 "D:2: cannot copy from stage \"b\", it needs to be defined before current stage \"a\""},
	{{.dockerfile = "FROM scratch\nCOPY --from=5 /x /y"}, IB_USAGE, "D:2: invalid stage index 5"},
	{{.dockerfile = "FROM scratch\nCOPY --from=$X /x /y"}, IB_USAGE, "variable expansion is not supported for --from"},
	{{.dockerfile = "FROM scratch AS abc", .target = "abd"}, IB_USAGE, "target stage \"abd\" could not be found (did you mean abc?)"},
	{{.dockerfile = "FROM missing"}, IB_NOTFOUND, "D:1: no image missing"},
	{{.dockerfile = "FROM scratch\nCOPY --from=missing /a /b"}, IB_NOTFOUND, "D:2: no image missing"},
	{{.dockerfile = "FROM scratch\nEXPOSE abc"}, IB_USAGE, "invalid containerPort: abc"},
	{{.dockerfile = "FROM scratch\nEXPOSE 65536"}, IB_USAGE, "invalid containerPort: 65536"},
	{{.dockerfile = "FROM scratch\nEXPOSE 80/foo"}, IB_USAGE, "invalid proto: foo"},
	{{.dockerfile = "FROM scratch\nENV P=\"1 2\"\nEXPOSE \"$P\""}, IB_USAGE, "invalid containerPort: 1 2"},
	{{.dockerfile = "FROM scratch\nSTOPSIGNAL foo"}, IB_USAGE, "invalid signal: foo"},
	{{.dockerfile = "FROM scratch\nSTOPSIGNAL 0"}, IB_USAGE, "invalid signal: 0"},
	{{.dockerfile = "FROM scratch\nVOLUME [\" \"]"}, IB_USAGE, "VOLUME specified can not be an empty string"},
	{{.dockerfile = "FROM scratch\nENV $X=1"}, IB_USAGE, "ENV names can not be blank"},
	{{.dockerfile = "FROM scratch\nENV X=${V:2}"}, IB_USAGE, "unsupported modifier"},
	{{.dockerfile = "FROM scratch\nHEALTHCHECK --interval=999us CMD x"}, IB_USAGE, "Interval \"interval\" cannot be less than 1ms"},
	{{.dockerfile = "FROM scratch\nHEALTHCHECK --interval=10 CMD x"}, IB_USAGE, "missing unit in duration"},
	{{.dockerfile = "FROM scratch\nRUN --network=foo x"}, IB_USAGE, "invalid network mode \"foo\""},
	{{.dockerfile = "FROM scratch\nRUN --network=host x"}, IB_DENIED, "network.host is not allowed"},
	{{.dockerfile = "FROM scratch\nCOPY http://h/x /y"}, IB_USAGE, "source can't be a URL for COPY"},
	{{.dockerfile = "FROM scratch\nCOPY git@h:x /y"}, IB_USAGE, "source can't be a git ref for COPY"},
	{{.dockerfile = "FROM scratch", .args = "SOURCE_DATE_EPOCH=foo"}, IB_USAGE, "invalid SOURCE_DATE_EPOCH: foo"},
	{{.dockerfile = "FROM --platform=no/such/thing/at/all scratch"}, IB_USAGE, "D:1: "},
	{{.dockerfile = "FROM onbuild-bad"}, IB_USAGE, "unknown instruction: NONSENSE"},
	{{.dockerfile = "FROM onbuild-from"}, IB_USAGE, "D:1: "},
	{{.dockerfile = "FROM onbuild-chain"}, IB_USAGE, "D:1: "},
	{{.dockerfile = "FROM onbuild-from-stage"}, IB_NOTFOUND, "no image tools"},
};

static void what_is_wrong_is_refused_at_its_line(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) {
		struct planned p;

		planned_init(&p, &refused[i].c);
		if (p.r == 0)
			fail_msg("accepted: %s", refused[i].c.dockerfile);
		if (p.err.code != refused[i].code || !strstr(p.err.text, refused[i].text))
			fail_msg("%s\n%d: %s", refused[i].c.dockerfile, (int)p.err.code, p.err.text);
		planned_done(&p);
	}
}

static void an_empty_trigger_does_no_harm(void **state)
{
	struct planned p;

	(void)state;
	planned_init(&p, &(struct plan_case){.dockerfile = "FROM onbuild-empty"});
	planned_done(&p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(env_and_labels),
		cmocka_unit_test(arguments),
		cmocka_unit_test(commands_and_shells),
		cmocka_unit_test(ports_volumes_users),
		cmocka_unit_test(working_directories),
		cmocka_unit_test(health_checks),
		cmocka_unit_test(copies),
		cmocka_unit_test(triggers),
		cmocka_unit_test(what_is_wrong_is_refused_at_its_line),
		cmocka_unit_test(an_empty_trigger_does_no_harm),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
