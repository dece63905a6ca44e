/*
 * registry/docker-engine.h - an image into a Docker engine, through its socket (Docker Engine API, "Import
 * images": POST /images/load).
 */
#ifndef REGISTRY_DOCKER_ENGINE_H
#define REGISTRY_DOCKER_ENGINE_H

#include "oci/archive.h"

/*
 * Stream the image as a docker-archive into the engine at DOCKER_HOST (unix:// only) or
 * /var/run/docker.sock. Fails with IB_NOTFOUND (nobody listens there), IB_FAILED (the engine's own words),
 * IB_UNSUPPORTED (DOCKER_HOST is no Unix socket; an image that a docker-archive can't hold).
 */
int registry_engine_load(struct oci_store *store, const struct oci_archive_image *image, struct ib_err *err);

#endif
