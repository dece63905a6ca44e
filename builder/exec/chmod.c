#include "builder/exec/chmod.h"

#include <string.h>
#include <sys/stat.h>

#include "oci/base/alloc.h"
#include "oci/base/str.h"

#include "oci/base/poison.h"

#define PERMISSIONS 07777u
#define SET_IDS (S_ISUID | S_ISGID)
#define RWX_ALL (S_IRWXU | S_IRWXG | S_IRWXO)
#define EXEC_ALL (S_IXUSR | S_IXGRP | S_IXOTH)
#define PARENT_MODE 0755

static int fail_octal(struct ib_err *err, const char *text)
{
	ib_autofree char *shown = ib_printable(text, 64);

	return ib_fail(err, IB_USAGE,
		       "invalid chmod parameter: '%s'. it should be octal string and between 0 and 07777", shown);
}

static int fail_symbolic(struct ib_err *err, const char *text)
{
	ib_autofree char *shown = ib_printable(text, 64);

	return ib_fail(err, IB_USAGE, "invalid chmod parameter: '%s': invalid syntax", shown);
}

static mode_t who_bits(char c)
{
	switch (c) {
	case 'u':
		return S_ISUID | S_IRWXU;
	case 'g':
		return S_ISGID | S_IRWXG;
	case 'o':
		return S_IRWXO;
	case 'a':
		return SET_IDS | RWX_ALL;
	}
	return 0;
}

/* One permission letter into step. Set-id and sticky bits make no sense for "other" alone and are dropped. */
static bool parse_permission(char c, struct exec_chmod_step *step)
{
	bool only_other = step->who == S_IRWXO;

	switch (c) {
	case 'r':
		step->bits |= S_IRUSR | S_IRGRP | S_IROTH;
		return true;
	case 'w':
		step->bits |= S_IWUSR | S_IWGRP | S_IWOTH;
		return true;
	case 'x':
		step->bits |= EXEC_ALL;
		return true;
	case 'X':
		step->exec_if = true;
		return true;
	case 's':
		step->bits |= only_other ? 0 : SET_IDS;
		return true;
	case 't':
		step->who |= only_other ? 0 : S_ISVTX;
		step->bits |= only_other ? 0 : S_ISVTX;
		return true;
	case 'u':
	case 'g':
	case 'o':
		if (memchr(step->copy, c, step->n_copy))
			return true;
		step->copy[step->n_copy++] = c;
		return true;
	}
	return false;
}

/* "op perms" at *at. */
static bool parse_step(const char **at, mode_t who, struct exec_chmod *how)
{
	struct exec_chmod_step step = {.op = **at, .who = who ? who : SET_IDS | RWX_ALL};

	if (how->n_steps == EXEC_CHMOD_MAX_STEPS || (step.op != '+' && step.op != '-' && step.op != '='))
		return false;
	++*at;
	while (**at && parse_permission(**at, &step))
		++*at;
	how->steps[how->n_steps++] = step;
	return true;
}

/* "who op perms op perms" at *at, up to a comma or the end. */
static bool parse_clause(const char **at, struct exec_chmod *how)
{
	mode_t who = 0;

	for (; who_bits(**at); ++*at)
		who |= who_bits(**at);
	do {
		if (!parse_step(at, who, how))
			return false;
	} while (**at && **at != ',');
	return true;
}

static bool all_digits(const char *text)
{
	return text[strspn(text, "0123456789")] == '\0';
}

int exec_chmod_parse(const char *text, struct exec_chmod *ret_chmod, struct ib_err *err)
{
	struct exec_chmod how = {.given = text && *text};
	const char *at = text;

	if (how.given && all_digits(text)) {
		how.octal = true;
		for (; *at; at++) {
			how.mode = how.mode << 3 | (mode_t)(*at - '0');
			if (*at > '7' || how.mode > PERMISSIONS)
				return fail_octal(err, text);
		}
	} else if (how.given) {
		for (;; at++) {
			if (!parse_clause(&at, &how))
				return fail_symbolic(err, text);
			if (!*at)
				break;
		}
	}
	*ret_chmod = how;
	return 0;
}

/* The rwx bits of one class of mode, spread over all three. */
static mode_t spread_class(char class, mode_t mode)
{
	mode_t bits = (class == 'u' ? mode >> 6 : class == 'g' ? mode >> 3 : mode) & 7;

	return bits << 6 | bits << 3 | bits;
}

static mode_t apply_step(const struct exec_chmod_step *step, mode_t original, mode_t mode)
{
	mode_t bits = step->bits;

	if (step->exec_if && (S_ISDIR(original) || (original & EXEC_ALL)))
		bits |= EXEC_ALL;
	for (unsigned int i = 0; i < step->n_copy; i++)
		bits |= spread_class(step->copy[i], mode);
	bits &= step->who;
	if (step->op == '-')
		return mode & ~bits;
	return step->op == '=' ? (mode & ~step->who) | bits : mode | bits;
}

mode_t exec_chmod_entry(const struct exec_chmod *how, mode_t mode)
{
	mode_t result = mode & PERMISSIONS;

	if (how->octal)
		return how->mode;
	for (size_t i = 0; i < how->n_steps; i++)
		result = apply_step(&how->steps[i], mode, result);
	return result;
}

mode_t exec_chmod_parent(const struct exec_chmod *how)
{
	return how->octal ? how->mode & RWX_ALL : PARENT_MODE;
}
