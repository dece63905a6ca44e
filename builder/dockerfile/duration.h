/*
 * builder/dockerfile/duration.h - durations of HEALTHCHECK: "1h30m", "1.5s", "500ms", "0".
 */
#ifndef BUILDER_DOCKERFILE_DURATION_H
#define BUILDER_DOCKERFILE_DURATION_H

#include <stdint.h>

#include "oci/base/err.h"

/*
 * Numbers, each with a unit of ns, us, ms, s, m or h, summed up. Fails with IB_USAGE: "invalid duration",
 * "missing unit in duration", "unknown unit".
 */
int dockerfile_duration_parse(const char *text, int64_t *ret_ns, struct ib_err *err);

#endif
