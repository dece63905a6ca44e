/*
 * oci/base/log.h - log lines on stderr, for the edges of the program (CLI, service).
 *
 * Below builder/ nothing logs above IB_LOG_DEBUG. A message starts with fixed words, key=value follows.
 * Nothing secret is ever logged.
 */
#ifndef OCI_BASE_LOG_H
#define OCI_BASE_LOG_H

enum ib_log_level { IB_LOG_ERROR, IB_LOG_WARNING, IB_LOG_INFO, IB_LOG_DEBUG };

/* Lines above this level are dropped. The default is IB_LOG_WARNING. Set before threads start. */
void ib_log_set_level(enum ib_log_level level);

/* Write one line "imgbuild: [level: ]text", whole even when several threads log. Keeps errno. */
void ib_log(enum ib_log_level level, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

#endif
