/* Here-documents (Dockerfile reference, "Here-Documents"). */
#include "tests/builder/dockerfile-dump.h"

#include "oci/base/poison.h"

static void assert_each(const struct parse_case *cases, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		ib_autostr source = IB_STR(1 << 16), expected = IB_STR(1 << 16);

		ib_str_addf(&source, "FROM b\n%s", cases[i].source);
		ib_str_addf(&expected, "1 FROM [b]\n%s\n", cases[i].expected);
		assert_dump(source.s, expected.s);
	}
}

static void every_form_opens_a_heredoc(void **state)
{
	static const struct parse_case cases[] = {
		{"RUN <<EOF\nx\nEOF", "2-4 RUN [<<EOF] lone {0<<EOF x$}"},
		{"RUN << EOF\nx\nEOF", "2-4 RUN [<< EOF] lone {0<<EOF x$}"},
		{"RUN <<-EOF\n\tx\n\tEOF", "2-4 RUN [<<-EOF] lone {0<<-EOF \tx$}"},
		{"RUN 3<<EOF\nx\nEOF", "2-4 RUN [3<<EOF] lone {3<<EOF x$}"},
		{"RUN <<EOF\nEOF", "2-3 RUN [<<EOF] lone {0<<EOF }"},
		{"RUN --network=none <<EOF\nx\nEOF", "2-4 RUN --network=none [<<EOF] lone {0<<EOF x$}"},
		{"RUN <<EOF bash\nx\nEOF", "2-4 RUN [<<EOF bash] {0<<EOF x$}"},
		{"RUN cat <<A && cat <<-\"B\"\na\nA\n\tb\n\tB\nRUN c",
		 "2-6 RUN [cat <<A && cat <<-\"B\"] {0<<A a$} {0<<-'B \tb$}\n7 RUN [c]"},
		{"RUN <<A <<A\n1\nA\n2\nA", "2-6 RUN [<<A <<A] {0<<A 1$} {0<<A 2$}"},
		/* any quote in the name, and no variable in it */
		{"RUN <<'EOF'\nx\nEOF", "2-4 RUN [<<'EOF'] lone {0<<'EOF x$}"},
		{"RUN <<E\"O\"F\nx\nEOF", "2-4 RUN [<<E\"O\"F] lone {0<<'EOF x$}"},
		{"RUN <<\"E F\"\nx\nE F", "2-4 RUN [<<\"E F\"] lone {0<<'E F x$}"},
		{"RUN <<$N\nx\n$N", "2-4 RUN [<<$N] lone {0<<$N x$}"},
		{"RUN <<${N:-x}\nx\n${N:-x}", "2-4 RUN [<<${N:-x}] lone {0<<${N:-x} x$}"},
		{"RUN <<\\EOF\nx\nEOF", "2-4 RUN [<<\\EOF] lone {0<<EOF x$}"},
		/* the line may go on, the body begins behind it */
		{"RUN cat <<EOF \\\n && b\nx\nEOF", "2-5 RUN [cat <<EOF  && b] {0<<EOF x$}"},
		{"RUN echo $((1 <<2 ))\nx\n2", "2-4 RUN [echo $((1 <<2 ))] {0<<2 x$}"},
	};

	(void)state;
	assert_each(cases, N(cases));
}

static void bodies_are_verbatim(void **state)
{
	static const struct parse_case cases[] = {
		{"RUN <<EOF\n# c\n\n EOF\nEOF \na\\\nEOF",
		 "2-8 RUN [<<EOF] lone {0<<EOF # c$$ EOF$EOF $a\\$}"},
		{"RUN <<EOF\n\tEOF\nEOF", "2-4 RUN [<<EOF] lone {0<<EOF \tEOF$}"},
		{"RUN <<EOF\nx\r\nEOF\r\nRUN y", "2-4 RUN [<<EOF] lone {0<<EOF x\r$}\n5 RUN [y]"},
		{"RUN <<-EOF\n \tEOF\n\t\tEOF", "2-4 RUN [<<-EOF] lone {0<<-EOF  \tEOF$}"},
	};

	(void)state;
	assert_each(cases, N(cases));
}

static void copy_and_add_take_them_as_sources(void **state)
{
	static const struct parse_case cases[] = {
		{"COPY <<EOF /x\na\nEOF", "2-4 COPY [/x] {0<<EOF a$}"},
		{"COPY << EOF /x\na\nEOF", "2-4 COPY [/x] {0<<EOF a$}"},
		{"ADD a <<X b <<-'Y' /d/\n1\nX\n2\nY", "2-6 ADD [a] [b] [/d/] {0<<X 1$} {0<<-'Y 2$}"},
		{"COPY --chmod=1 <<EOF /x\na\nEOF", "2-4 COPY --chmod=1 [/x] {0<<EOF a$}"},
		/* of two files with one name the second overwrites the first */
		{"COPY <<X <<Y <<X /d\n1\nX\n2\nY\n3\nX", "2-8 COPY [/d] {0<<Y 2$} {0<<X 3$}"},
		{"ONBUILD RUN <<EOF\nx\nEOF", "2-4 ONBUILD [RUN <<EOF\nx\nEOF]"},
		{"ONBUILD ADD --chown=1 <<EOF /x\nx\nEOF", "2-4 ONBUILD [ADD --chown=1 <<EOF /x\nx\nEOF]"},
	};

	(void)state;
	assert_each(cases, N(cases));
}

static void what_only_looks_like_one_is_none(void **state)
{
	static const struct parse_case cases[] = {
		{"RUN cat <<<x", "2 RUN [cat <<<x]"},
		{"RUN echo \"<<EOF\"", "2 RUN [echo \"<<EOF\"]"},
		{"RUN echo '<<EOF'", "2 RUN [echo '<<EOF']"},
		{"RUN echo $((1<<2))", "2 RUN [echo $((1<<2))]"},
		{"RUN echo \\<<EOF", "2 RUN [echo \\<<EOF]"},
		{"RUN echo a<<EOF", "2 RUN [echo a<<EOF]"},
		{"RUN echo <<", "2 RUN [echo <<]"},
		{"RUN echo << <x", "2 RUN [echo << <x]"},
		{"RUN echo <<- EOF", "2 RUN [echo <<- EOF]"},
		{"RUN echo <<\"\"", "2 RUN [echo <<\"\"]"},
		{"RUN [\"echo\", \"<<EOF\"]", "2 RUN json [echo] [<<EOF]"},
		{"CMD <<EOF", "2 CMD [<<EOF]"},
		{"ENV a=<<EOF", "2 ENV (a)=(<<EOF)"},
		{"ENTRYPOINT cat <<EOF", "2 ENTRYPOINT [cat <<EOF]"},
		{"LABEL a <<EOF", "2 LABEL legacy (a)=(<<EOF)"},
		{"ONBUILD CMD <<EOF", "2 ONBUILD [CMD <<EOF]"},
		{"ONBUILD RUN [\"a\", \"<<EOF\"]", "2 ONBUILD [RUN [\"a\", \"<<EOF\"]]"},
		/* where the shell's grammar is broken, nothing is one */
		{"RUN echo it's <<EOF", "2 RUN [echo it's <<EOF]"},
		{"RUN echo ${#x} <<EOF", "2 RUN [echo ${#x} <<EOF]"},
		{"RUN echo ${x <<EOF", "2 RUN [echo ${x <<EOF]"},
	};

	(void)state;
	assert_each(cases, N(cases));
}

static void broken_heredocs_are_refused(void **state)
{
	static const struct parse_case cases[] = {
		{"FROM b\nRUN <<EOF\nx\n", "Dockerfile:2: unterminated heredoc EOF"},
		{"FROM b\nRUN <<EOF", "Dockerfile:2: unterminated heredoc EOF"},
		{"FROM b\nRUN echo $((1 <<2 ))", "Dockerfile:2: unterminated heredoc 2"},
		{"FROM b\nRUN <<A <<B\n1\nB\n2\nA", "Dockerfile:2: unterminated heredoc B"},
		{"FROM b\nONBUILD RUN <<A\n1\n", "Dockerfile:2: unterminated heredoc A"},
		{"FROM b\nONBUILD RUN [1, \"<<\"]", "Dockerfile:2: when using JSON array syntax"},
		{"FROM b\nCOPY a <<EOF\nx\nEOF\n", "Dockerfile:2: COPY cannot accept a heredoc as a destination"},
		{"FROM b\nADD <<A << B\nx\nA\ny\nB\n", "Dockerfile:2: ADD cannot accept a heredoc as a destination"},
		{"FROM b\nRUN <<EOF\nx\nEOF\nRNU", "Dockerfile:5: unknown instruction: RNU"},
	};

	(void)state;
	for (size_t i = 0; i < N(cases); i++)
		assert_refused(cases[i].source, cases[i].expected);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_form_opens_a_heredoc),
		cmocka_unit_test(bodies_are_verbatim),
		cmocka_unit_test(copy_and_add_take_them_as_sources),
		cmocka_unit_test(what_only_looks_like_one_is_none),
		cmocka_unit_test(broken_heredocs_are_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
