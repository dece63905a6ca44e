#include <stdlib.h>
#include <string.h>

#include "oci/base/alloc.h"
#include "oci/base/clock.h"
#include "oci/config.h"
#include "oci/document.h"

#include "oci/base/poison.h"

/* Objects with a member per port can be long: append, where ib_json_set() would search each time. */
static void add(struct ib_json *object, const char *key, struct ib_json *take_value)
{
	take_value->key = ib_strdup(key);
	ib_json_append(object, take_value);
}

static void add_text(struct ib_json *object, const char *key, const char *text)
{
	if (text && *text)
		add(object, key, ib_json_string(text));
}

static void add_number(struct ib_json *object, const char *key, int64_t number)
{
	if (number)
		add(object, key, ib_json_int(number));
}

static void add_time(struct ib_json *object, const char *key, const struct oci_time *time)
{
	char text[IB_RFC3339_SIZE];

	if (time->set)
		add(object, key, ib_json_string(ib_rfc3339(&time->ts, text)));
}

static void add_list(struct ib_json *object, const char *key, const struct ib_strv *list)
{
	struct ib_json *array;

	if (!list->n)
		return;
	array = ib_json_array();
	for (size_t i = 0; i < list->n; i++)
		ib_json_append(array, ib_json_string(list->v[i]));
	add(object, key, array);
}

/* A set, which Go writes as an object of empty objects in the order of its keys. */
static void add_set(struct ib_json *object, const char *key, const struct ib_strv *list)
{
	ib_autostrv sorted = {0};
	struct ib_json *set;

	if (!list->n)
		return;
	ib_strv_copy(&sorted, list);
	ib_strv_sort(&sorted);
	set = ib_json_object();
	for (size_t i = 0; i < sorted.n; i++)
		if (i == 0 || strcmp(sorted.v[i - 1], sorted.v[i]) != 0)
			add(set, sorted.v[i], ib_json_object());
	add(object, key, set);
}

static void add_labels(struct ib_json *object, const struct ib_json *labels)
{
	struct ib_json *sorted;

	if (!labels || !labels->n)
		return;
	sorted = ib_json_copy(labels);
	ib_json_sort(sorted);
	add(object, "Labels", sorted);
}

static void add_healthcheck(struct ib_json *object, const struct oci_healthcheck *check)
{
	struct ib_json *json;

	if (!check)
		return;
	json = ib_json_object();
	add_list(json, "Test", &check->test);
	add_number(json, "Interval", check->interval_ns);
	add_number(json, "Timeout", check->timeout_ns);
	add_number(json, "StartPeriod", check->start_period_ns);
	add_number(json, "StartInterval", check->start_interval_ns);
	add_number(json, "Retries", check->retries);
	add(object, "Healthcheck", json);
}

/* The order is that of the Go structures that every other builder marshals. */
static struct ib_json *container_json(const struct oci_config *c)
{
	struct ib_json *json = ib_json_object();

	add_text(json, "User", c->user);
	add_set(json, "ExposedPorts", &c->exposed_ports);
	add_list(json, "Env", &c->env);
	add_list(json, "Entrypoint", &c->entrypoint);
	add_list(json, "Cmd", &c->cmd);
	add_set(json, "Volumes", &c->volumes);
	add_text(json, "WorkingDir", c->working_dir);
	add_labels(json, c->labels);
	add_text(json, "StopSignal", c->stop_signal);
	if (c->args_escaped)
		add(json, "ArgsEscaped", ib_json_bool(true));
	add_healthcheck(json, c->healthcheck);
	add_list(json, "OnBuild", &c->on_build);
	add_list(json, "Shell", &c->shell);
	return json;
}

static struct ib_json *history_json(const struct oci_config *c)
{
	struct ib_json *list = ib_json_array();

	for (size_t i = 0; i < c->n_history; i++) {
		const struct oci_history *h = &c->history[i];
		struct ib_json *json = ib_json_object();

		add_time(json, "created", &h->created);
		add_text(json, "created_by", h->created_by);
		add_text(json, "author", h->author);
		add_text(json, "comment", h->comment);
		if (h->empty_layer)
			add(json, "empty_layer", ib_json_bool(true));
		ib_json_append(list, json);
	}
	return list;
}

static struct ib_json *rootfs_json(const struct oci_config *c)
{
	struct ib_json *json = ib_json_object(), *list = ib_json_array();
	char text[OCI_DIGEST_SIZE];

	for (size_t i = 0; i < c->n_diff_ids; i++)
		ib_json_append(list, ib_json_string(oci_digest_str(&c->diff_ids[i].digest, text)));
	add(json, "type", ib_json_string("layers"));
	add(json, "diff_ids", list);
	return json;
}

char *oci_config_write(const struct oci_config *c, size_t *ret_len)
{
	const struct oci_platform *p = &c->platform;
	ib_autojson *json = ib_json_object();

	add(json, "architecture", ib_json_string(p->architecture ? p->architecture : ""));
	add_text(json, "author", c->author);
	add(json, "config", container_json(c));
	add_time(json, "created", &c->created);
	add(json, "history", history_json(c));
	add(json, "os", ib_json_string(p->os ? p->os : ""));
	add_text(json, "os.version", p->os_version);
	add(json, "rootfs", rootfs_json(c));
	add_text(json, "variant", p->variant);
	return oci_document_print(json, ret_len);
}
