#include "oci/config.h"

#include <stdlib.h>
#include <string.h>

#include "oci/base/alloc.h"

#include "oci/base/poison.h"

struct oci_config *oci_config_new(void)
{
	return ib_new(struct oci_config);
}

static void healthcheck_free(struct oci_healthcheck *check)
{
	if (!check)
		return;
	ib_strv_done(&check->test);
	free(check);
}

static void history_done(struct oci_history *h)
{
	free(h->created_by);
	free(h->author);
	free(h->comment);
}

void oci_config_free(struct oci_config *c)
{
	if (!c)
		return;
	oci_platform_done(&c->platform);
	free(c->author);
	free(c->user);
	ib_strv_done(&c->exposed_ports);
	ib_strv_done(&c->env);
	ib_strv_done(&c->entrypoint);
	ib_strv_done(&c->cmd);
	ib_strv_done(&c->volumes);
	free(c->working_dir);
	ib_json_free(c->labels);
	free(c->stop_signal);
	healthcheck_free(c->healthcheck);
	ib_strv_done(&c->on_build);
	ib_strv_done(&c->shell);
	free(c->diff_ids);
	for (size_t i = 0; i < c->n_history; i++)
		history_done(&c->history[i]);
	free(c->history);
	free(c);
}

struct oci_config *oci_config_copy(const struct oci_config *from)
{
	struct oci_config *c = ib_new(struct oci_config);

	oci_platform_copy(&c->platform, &from->platform);
	c->author = ib_strdup_null(from->author);
	c->created = from->created;
	c->user = ib_strdup_null(from->user);
	ib_strv_copy(&c->exposed_ports, &from->exposed_ports);
	ib_strv_copy(&c->env, &from->env);
	ib_strv_copy(&c->entrypoint, &from->entrypoint);
	ib_strv_copy(&c->cmd, &from->cmd);
	c->has_entrypoint = from->has_entrypoint;
	c->has_cmd = from->has_cmd;
	ib_strv_copy(&c->volumes, &from->volumes);
	c->working_dir = ib_strdup_null(from->working_dir);
	c->labels = from->labels ? ib_json_copy(from->labels) : NULL;
	c->stop_signal = ib_strdup_null(from->stop_signal);
	c->args_escaped = from->args_escaped;
	if (from->healthcheck) {
		c->healthcheck = ib_memdup(from->healthcheck, sizeof *from->healthcheck);
		c->healthcheck->test = (struct ib_strv){0};
		ib_strv_copy(&c->healthcheck->test, &from->healthcheck->test);
	}
	ib_strv_copy(&c->on_build, &from->on_build);
	ib_strv_copy(&c->shell, &from->shell);
	for (size_t i = 0; i < from->n_diff_ids; i++)
		oci_config_add_layer(c, &from->diff_ids[i]);
	for (size_t i = 0; i < from->n_history; i++)
		oci_config_add_history(c, &from->history[i]);
	return c;
}

/* Index of the entry for key ("K=V", or "K" alone), or n. */
static size_t find_env(const struct oci_config *c, const char *key)
{
	size_t n = strlen(key), i = 0;

	while (i < c->env.n && !(strncmp(c->env.v[i], key, n) == 0 &&
				 (c->env.v[i][n] == '=' || c->env.v[i][n] == '\0')))
		i++;
	return i;
}

const char *oci_config_env(const struct oci_config *c, const char *key)
{
	size_t i = find_env(c, key), n = strlen(key);

	if (i == c->env.n)
		return NULL;
	return c->env.v[i] + n + (c->env.v[i][n] == '=');
}

void oci_config_set_env(struct oci_config *c, const char *key, const char *value)
{
	char *entry = ib_asprintf("%s=%s", key, value);
	size_t i = find_env(c, key);

	if (i == c->env.n) {
		ib_strv_take(&c->env, entry);
		return;
	}
	free(c->env.v[i]);
	c->env.v[i] = entry;
}

void oci_config_add_history(struct oci_config *c, const struct oci_history *entry)
{
	ib_grow(c->history, c->n_history, c->cap_history);
	c->history[c->n_history++] = (struct oci_history){
		.created = entry->created,
		.created_by = ib_strdup_null(entry->created_by),
		.author = ib_strdup_null(entry->author),
		.comment = ib_strdup_null(entry->comment),
		.empty_layer = entry->empty_layer,
	};
}

void oci_config_add_layer(struct oci_config *c, const struct oci_diff_id *diff_id)
{
	ib_grow(c->diff_ids, c->n_diff_ids, c->cap_diff_ids);
	c->diff_ids[c->n_diff_ids++] = *diff_id;
}

void oci_config_chain_id(const struct oci_config *c, size_t n, struct oci_chain_id *ret_chain)
{
	struct oci_chain_id chain = {0};

	for (size_t i = 0; i < n && i < c->n_diff_ids; i++) {
		struct oci_chain_id parent = chain;

		oci_chain_id_append(&parent, &c->diff_ids[i], &chain);
	}
	*ret_chain = chain;
}
