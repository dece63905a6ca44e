/*
 * oci/config.h - image configurations (image-spec config.md) and their history.
 *
 * A config is read into fields and written from them in a fixed order: the same fields, the same bytes.
 * Fields of a base that nobody defines any more (container, docker_version, id ...) are dropped, as every
 * builder does; `read` below keeps the document for those who only want to show it.
 */
#ifndef OCI_CONFIG_H
#define OCI_CONFIG_H

#include <stdbool.h>
#include <time.h>

#include "oci/base/json.h"
#include "oci/base/str.h"
#include "oci/digest.h"
#include "oci/platform.h"

#define OCI_CONFIG_MAX_BYTES (8u << 20)	/* 120 layers and long histories are some 100 KiB */

struct oci_time {	/* an optional point in time */
	bool set;
	struct timespec ts;
};

struct oci_history {
	struct oci_time created;
	char *created_by, *author, *comment;	/* NULL when absent */
	bool empty_layer;
};

struct oci_healthcheck {
	struct ib_strv test;	/* {"NONE"}, {"CMD", ...}, {"CMD-SHELL", text} */
	int64_t interval_ns, timeout_ns, start_period_ns, start_interval_ns;	/* 0: unset */
	int64_t retries;	/* 0: unset */
};

struct oci_config {
	struct oci_platform platform;
	char *author;		/* NULL when none */
	struct oci_time created;

	char *user;		/* NULL or "" when none */
	struct ib_strv exposed_ports;	/* "80/tcp", kept sorted, no duplicates */
	struct ib_strv env;	/* "K=V" in order */
	struct ib_strv entrypoint, cmd;
	bool has_entrypoint, has_cmd;	/* an empty array is something else than none */
	struct ib_strv volumes;		/* kept sorted */
	char *working_dir;	/* NULL or "" when none */
	struct ib_json *labels;	/* object of strings or NULL; written with sorted keys */
	char *stop_signal;	/* NULL when none */
	bool args_escaped;
	struct oci_healthcheck *healthcheck;	/* NULL when none */
	struct ib_strv on_build;
	struct ib_strv shell;

	struct oci_diff_id *diff_ids;	/* lowest layer first */
	size_t n_diff_ids, cap_diff_ids;
	struct oci_history *history;	/* oldest first */
	size_t n_history, cap_history;
};

struct oci_config *oci_config_new(void);	/* empty: no platform yet */
void oci_config_free(struct oci_config *config);
IB_DEFINE_FREE(oci_config);
struct oci_config *oci_config_copy(const struct oci_config *config);

/*
 * Parse the bytes of a config blob. Wrong types in fields we act on, diff IDs that are no digests, more
 * than OCI_MAX_LAYERS layers: IB_INVALID. A missing os or architecture is left NULL-free as "".
 */
int oci_config_parse(const char *bytes, size_t len, struct oci_config **ret_config, struct ib_err *err);

/* The bytes: sorted keys on top; in "config" the order User ExposedPorts Env Entrypoint Cmd Volumes
 * WorkingDir Labels StopSignal ArgsEscaped Healthcheck OnBuild Shell, empty ones omitted. The caller's. */
char *oci_config_write(const struct oci_config *config, size_t *ret_len);

/* Environment: value of K (borrowed) or NULL; set updates in place or appends. */
const char *oci_config_env(const struct oci_config *config, const char *key);
void oci_config_set_env(struct oci_config *config, const char *key, const char *value);

/* Append one history entry (strings are copied) and, for a layer, its diff ID. */
void oci_config_add_history(struct oci_config *config, const struct oci_history *entry);
void oci_config_add_layer(struct oci_config *config, const struct oci_diff_id *diff_id);

/* Chain ID of the first n layers. */
void oci_config_chain_id(const struct oci_config *config, size_t n, struct oci_chain_id *ret_chain);

#endif
