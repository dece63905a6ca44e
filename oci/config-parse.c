#include <string.h>

#include "oci/base/alloc.h"
#include "oci/base/clock.h"
#include "oci/config.h"
#include "oci/manifest.h"

#include "oci/base/poison.h"

static int fail_type(struct ib_err *err, const char *key, const char *wanted)
{
	return ib_fail(err, IB_INVALID, "'%s' is no %s", key, wanted);
}

/* Member key of that type. NULL and 0 when it is missing or null. */
static int get(const struct ib_json *v, const char *key, enum ib_json_type type, const char *type_name,
	       const struct ib_json **ret_member, struct ib_err *err)
{
	*ret_member = ib_json_get(v, key);
	return *ret_member && (*ret_member)->type != type ? fail_type(err, key, type_name) : 0;
}

static int get_text(const struct ib_json *v, const char *key, char **ret_text, struct ib_err *err)
{
	const struct ib_json *member;

	if (get(v, key, IB_JSON_STRING, "string", &member, err) < 0)
		return -1;
	if (member && member->len)
		*ret_text = ib_strdup(member->text);
	return 0;
}

static int get_bool(const struct ib_json *v, const char *key, bool *ret_truth, struct ib_err *err)
{
	const struct ib_json *member;

	if (get(v, key, IB_JSON_BOOL, "boolean", &member, err) < 0)
		return -1;
	*ret_truth = member && member->truth;
	return 0;
}

static int get_number(const struct ib_json *v, const char *key, int64_t *ret_number, struct ib_err *err)
{
	if (ib_json_get(v, key) && !ib_json_get_int(v, key, ret_number))
		return fail_type(err, key, "integer");
	return 0;
}

static int get_time(const struct ib_json *v, const char *key, struct oci_time *ret_time, struct ib_err *err)
{
	const struct ib_json *member;

	if (get(v, key, IB_JSON_STRING, "string", &member, err) < 0)
		return -1;
	if (!member)
		return 0;
	if (!ib_rfc3339_parse(member->text, &ret_time->ts))
		return fail_type(err, key, "RFC 3339 time");
	ret_time->set = true;
	return 0;
}

static int get_list(const struct ib_json *v, const char *key, struct ib_strv *list, bool *ret_present,
		    struct ib_err *err)
{
	const struct ib_json *array;

	if (get(v, key, IB_JSON_ARRAY, "array", &array, err) < 0)
		return -1;
	for (size_t i = 0; array && i < array->n; i++) {
		if (array->child[i]->type != IB_JSON_STRING)
			return fail_type(err, key, "array of strings");
		ib_strv_add(list, array->child[i]->text);
	}
	if (ret_present)
		*ret_present = array != NULL;
	return 0;
}

static int get_set(const struct ib_json *v, const char *key, struct ib_strv *list, struct ib_err *err)
{
	const struct ib_json *object;

	if (get(v, key, IB_JSON_OBJECT, "object", &object, err) < 0)
		return -1;
	for (size_t i = 0; object && i < object->n; i++)
		ib_strv_add(list, object->child[i]->key);
	ib_strv_sort(list);
	return 0;
}

static int get_labels(const struct ib_json *v, struct ib_json **ret_labels, struct ib_err *err)
{
	const struct ib_json *object;

	if (get(v, "Labels", IB_JSON_OBJECT, "object", &object, err) < 0)
		return -1;
	for (size_t i = 0; object && i < object->n; i++)
		if (object->child[i]->type != IB_JSON_STRING)
			return fail_type(err, "Labels", "object of strings");
	if (object && object->n)
		*ret_labels = ib_json_copy(object);
	return 0;
}

static int get_healthcheck(const struct ib_json *v, struct oci_healthcheck **ret_check, struct ib_err *err)
{
	const struct ib_json *json;
	struct oci_healthcheck *check;

	if (get(v, "Healthcheck", IB_JSON_OBJECT, "object", &json, err) < 0)
		return -1;
	if (!json)
		return 0;
	*ret_check = check = ib_new(struct oci_healthcheck);	/* freed with the config */
	if (get_list(json, "Test", &check->test, NULL, err) < 0 ||
	    get_number(json, "Interval", &check->interval_ns, err) < 0 ||
	    get_number(json, "Timeout", &check->timeout_ns, err) < 0 ||
	    get_number(json, "StartPeriod", &check->start_period_ns, err) < 0 ||
	    get_number(json, "StartInterval", &check->start_interval_ns, err) < 0 ||
	    get_number(json, "Retries", &check->retries, err) < 0)
		return ib_wrap(err, "Healthcheck");
	return 0;
}

static int parse_container(const struct ib_json *json, struct oci_config *c, struct ib_err *err)
{
	const struct ib_json *v;

	if (get(json, "config", IB_JSON_OBJECT, "object", &v, err) < 0)
		return -1;
	if (!v)
		return 0;
	if (get_text(v, "User", &c->user, err) < 0 ||
	    get_set(v, "ExposedPorts", &c->exposed_ports, err) < 0 ||
	    get_list(v, "Env", &c->env, NULL, err) < 0 ||
	    get_list(v, "Entrypoint", &c->entrypoint, &c->has_entrypoint, err) < 0 ||
	    get_list(v, "Cmd", &c->cmd, &c->has_cmd, err) < 0 ||
	    get_set(v, "Volumes", &c->volumes, err) < 0 ||
	    get_text(v, "WorkingDir", &c->working_dir, err) < 0 ||
	    get_labels(v, &c->labels, err) < 0 ||
	    get_text(v, "StopSignal", &c->stop_signal, err) < 0 ||
	    get_bool(v, "ArgsEscaped", &c->args_escaped, err) < 0 ||
	    get_healthcheck(v, &c->healthcheck, err) < 0 ||
	    get_list(v, "OnBuild", &c->on_build, NULL, err) < 0 ||
	    get_list(v, "Shell", &c->shell, NULL, err) < 0)
		return ib_wrap(err, "config");
	return 0;
}

static int parse_history(const struct ib_json *json, struct oci_config *c, struct ib_err *err)
{
	const struct ib_json *list;

	if (get(json, "history", IB_JSON_ARRAY, "array", &list, err) < 0)
		return -1;
	for (size_t i = 0; list && i < list->n; i++) {
		const struct ib_json *v = list->child[i];
		struct oci_history *h;

		if (v->type != IB_JSON_OBJECT)
			return ib_fail(err, IB_INVALID, "history[%zu] is no object", i);
		ib_grow(c->history, c->n_history, c->cap_history);
		h = &c->history[c->n_history++];	/* freed with the config, however far we get */
		*h = (struct oci_history){0};
		if (get_time(v, "created", &h->created, err) < 0 ||
		    get_text(v, "created_by", &h->created_by, err) < 0 ||
		    get_text(v, "author", &h->author, err) < 0 ||
		    get_text(v, "comment", &h->comment, err) < 0 ||
		    get_bool(v, "empty_layer", &h->empty_layer, err) < 0)
			return ib_wrap(err, "history[%zu]", i);
	}
	return 0;
}

static int parse_rootfs(const struct ib_json *json, struct oci_config *c, struct ib_err *err)
{
	const struct ib_json *rootfs, *list;
	const char *type;

	if (get(json, "rootfs", IB_JSON_OBJECT, "object", &rootfs, err) < 0 ||
	    get(rootfs, "diff_ids", IB_JSON_ARRAY, "array", &list, err) < 0)
		return -1;
	type = ib_json_get_string(rootfs, "type");
	if (type && strcmp(type, "layers") != 0)
		return ib_fail(err, IB_INVALID, "rootfs is not of the type 'layers'");
	if (list && list->n > OCI_MAX_LAYERS)
		return ib_fail(err, IB_INVALID, "%zu diff IDs are more than %d", list->n, OCI_MAX_LAYERS);
	for (size_t i = 0; list && i < list->n; i++) {
		struct oci_diff_id id;

		if (list->child[i]->type != IB_JSON_STRING)
			return ib_fail(err, IB_INVALID, "diff_ids[%zu] is no string", i);
		if (oci_digest_parse(list->child[i]->text, &id.digest, err) < 0)
			return ib_wrap(err, "diff_ids[%zu]", i);
		oci_config_add_layer(c, &id);
	}
	return 0;
}

static int parse_platform(const struct ib_json *json, struct oci_platform *p, struct ib_err *err)
{
	if (get_text(json, "os", &p->os, err) < 0 ||
	    get_text(json, "architecture", &p->architecture, err) < 0 ||
	    get_text(json, "variant", &p->variant, err) < 0 ||
	    get_text(json, "os.version", &p->os_version, err) < 0)
		return -1;
	if (!p->os)
		p->os = ib_strdup("");
	if (!p->architecture)
		p->architecture = ib_strdup("");
	return 0;
}

int oci_config_parse(const char *bytes, size_t len, struct oci_config **ret_config, struct ib_err *err)
{
	IB_CLEANUP(oci_config_freep) struct oci_config *c = oci_config_new();
	ib_autojson *json = NULL;

	if (len > OCI_CONFIG_MAX_BYTES)
		return ib_fail(err, IB_LIMIT, "image config of %zu bytes is larger than %u", len,
			       OCI_CONFIG_MAX_BYTES);
	json = ib_json_parse(bytes, len, err);
	if (!json)
		return ib_wrap(err, "image config");
	if (json->type != IB_JSON_OBJECT)
		return ib_fail(err, IB_INVALID, "image config is no JSON object");
	if (parse_platform(json, &c->platform, err) < 0 || get_text(json, "author", &c->author, err) < 0 ||
	    get_time(json, "created", &c->created, err) < 0 || parse_container(json, c, err) < 0 ||
	    parse_rootfs(json, c, err) < 0 || parse_history(json, c, err) < 0)
		return ib_wrap(err, "image config");
	*ret_config = ib_steal_ptr(&c);
	return 0;
}
