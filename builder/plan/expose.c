/* EXPOSE: port specifications of the Docker CLI. */
#include <ctype.h>
#include <string.h>
#include <strings.h>

#include "builder/plan/plan-internal.h"
#include "oci/base/alloc.h"

#include "oci/base/poison.h"

#define HISTORY_MAX (16u << 20)

static const char *const protocols[] = {"tcp", "udp", "sctp"};

static int parse_port(const char *text, long long *ret_port, struct ib_err *err)
{
	ib_autofree char *shown = NULL;

	if (ib_parse_int(text, 0, 65535, ret_port))
		return 0;
	shown = ib_printable(text, 64);
	return ib_fail(err, IB_USAGE, "invalid containerPort: %s", shown);
}

/* One word: [[ip:]host:]port[-port][/protocol]. Only the container's side matters. */
static int add_ports(const char *word, struct ib_strv *ports, struct ib_err *err)
{
	ib_autofree char *copy = ib_strdup(word), *shown = NULL;
	char *slash = strchr(copy, '/'), *colon, *dash;
	const char *protocol = NULL;
	long long first, last;

	if (slash)
		*slash++ = '\0';
	for (size_t i = 0; i < 3; i++)
		if (strcasecmp(slash && *slash ? slash : "tcp", protocols[i]) == 0)
			protocol = protocols[i];
	if (!protocol) {
		shown = ib_printable(slash, 64);
		return ib_fail(err, IB_USAGE, "invalid proto: %s", shown);
	}
	colon = strrchr(copy, ':');
	dash = strchr(colon ? colon : copy, '-');
	if (dash)
		*dash++ = '\0';
	if (parse_port(colon ? colon + 1 : copy, &first, err) < 0 ||
	    parse_port(dash ? dash : colon ? colon + 1 : copy, &last, err) < 0)
		return -1;
	if (last < first)
		return ib_fail(err, IB_USAGE, "invalid containerPort: %lld-%lld", first, last);
	for (long long port = first; port <= last; port++)
		ib_strv_take(ports, ib_asprintf("%lld/%s", port, protocol));
	return 0;
}

/* Sorted, without duplicates. */
static void sort_unique(struct ib_strv *list)
{
	struct ib_strv unique = {0};

	ib_strv_sort(list);
	for (size_t i = 0; i < list->n; i++)
		if (!unique.n || strcmp(unique.v[unique.n - 1], list->v[i]) != 0)
			ib_strv_add(&unique, list->v[i]);
	ib_strv_done(list);
	*list = unique;
}

int plan_expose(struct plan_eval *eval, struct ib_err *err)
{
	struct builder_expander expander = plan_scope_expander(eval->stage->scope, eval->plan->df->escape);
	struct ib_strv *exposed = &eval->stage->config->exposed_ports;
	ib_autostr history = IB_STR(HISTORY_MAX);
	ib_autostrv words = {0}, ports = {0};

	for (size_t i = 0; i < eval->instruction->args.n; i++) {
		if (builder_expand_words(&expander, eval->instruction->args.v[i], &words, err) < 0)
			return -1;
		for (size_t k = 0; k < words.n; k++)
			if (add_ports(words.v[k], &ports, err) < 0)
				return -1;
	}
	sort_unique(&ports);
	ib_str_adds(&history, "EXPOSE [");
	for (size_t i = 0; i < ports.n; i++) {
		ib_str_addf(&history, "%s%s", i ? " " : "", ports.v[i]);
		ib_strv_add(exposed, ports.v[i]);
	}
	ib_str_addc(&history, ']');
	sort_unique(exposed);
	plan_history(eval, ib_str_steal(&history), true);
	return 0;
}
