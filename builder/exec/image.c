#include "builder/exec/image.h"

#include <pthread.h>
#include <string.h>

#include "oci/base/alloc.h"
#include "oci/base/fd.h"

#include "oci/base/poison.h"

struct exec_image {
	struct exec_images *images;
	struct registry_reference ref;
	char *name;
	struct oci_descriptor desc;	/* of what the name stands for: index or manifest */
	struct oci_image *image;
	bool remote;			/* came from the registry in this build */
	struct registry_conn *conn;	/* made when first needed, under images->lock */
};

struct exec_images {
	struct oci_store *store;
	struct registry_options registry;
	bool pull;
	struct builder_progress *progress;

	pthread_mutex_t lock;	/* guards all below and every image's conn */
	struct registry_session *session;
	struct exec_image **v;
	size_t n, cap;
};

struct exec_images *exec_images_new(struct oci_store *store, const struct registry_options *registry, bool pull,
				    struct builder_progress *progress)
{
	struct exec_images *images = ib_new(struct exec_images);

	images->store = store;
	images->registry = *registry;
	images->pull = pull;
	images->progress = progress;
	pthread_mutex_init(&images->lock, NULL);
	return images;
}

static void image_free(struct exec_image *image)
{
	if (!image)
		return;
	registry_conn_free(image->conn);
	registry_reference_done(&image->ref);
	oci_descriptor_done(&image->desc);
	oci_image_free(image->image);
	free(image->name);
	free(image);
}

static void image_freep(struct exec_image **p)
{
	image_free(*p);
}

void exec_images_free(struct exec_images *images)
{
	if (!images)
		return;
	for (size_t i = 0; i < images->n; i++)
		image_free(images->v[i]);
	free(images->v);
	registry_session_free(images->session);
	pthread_mutex_destroy(&images->lock);
	free(images);
}

static int connect_locked(struct exec_image *image, struct ib_err *err)
{
	struct exec_images *images = image->images;

	if (!images->session && registry_session_new(&images->registry, &images->session, err) < 0)
		return -1;
	if (!image->conn)
		return registry_conn_new(images->session, &image->ref, false, &image->conn, err);
	return 0;
}

static int connection(struct exec_image *image, struct registry_conn **ret_conn, struct ib_err *err)
{
	int r;

	pthread_mutex_lock(&image->images->lock);
	r = connect_locked(image, err);
	*ret_conn = image->conn;
	pthread_mutex_unlock(&image->images->lock);
	return r;
}

/* A manifest or index that the store has without a name of its own. */
static int find_digest(struct oci_store *store, const struct oci_digest *digest,
		       struct oci_descriptor *ret_desc, struct ib_err *err)
{
	struct oci_descriptor desc = {.media = OCI_MEDIA_OTHER, .digest = *digest};
	IB_CLEANUP(oci_manifest_freep) struct oci_manifest *manifest = NULL;
	IB_CLEANUP(oci_index_freep) struct oci_index *index = NULL;
	ib_autoclose int fd = oci_store_get(store, digest, &desc.size, err);
	ib_autofree char *bytes = NULL;
	ib_autoerr not_manifest = {0};
	size_t n;

	if (fd < 0 || ib_read_all(fd, OCI_MANIFEST_MAX_BYTES, "manifest", &bytes, &n, err) < 0)
		return -1;
	if (oci_manifest_parse(bytes, n, OCI_MEDIA_OTHER, &manifest, &not_manifest) == 0)
		desc.media = manifest->media;
	else if (oci_index_parse(bytes, n, OCI_MEDIA_OTHER, &index, err) == 0)
		desc.media = index->media;
	else
		return -1;
	*ret_desc = desc;
	return 0;
}

/* The store's answer: by name, or by digest whatever its name. */
static int find_in_store(struct exec_image *image, struct ib_err *err)
{
	struct oci_store *store = image->images->store;

	if (oci_store_name_get(store, image->name, &image->desc, err) == 0)
		return 0;
	if (err->code != IB_NOTFOUND || !image->ref.has_digest)
		return -1;
	return find_digest(store, &image->ref.digest, &image->desc, err);
}

static int find_in_registry(struct exec_image *image, const struct oci_platform *platform, struct ib_err *err)
{
	struct registry_transfer transfer = {0};
	struct registry_conn *conn;

	image->remote = true;
	if (connection(image, &conn, err) < 0 ||
	    registry_pull(conn, &image->ref, image->images->store, platform, false, &transfer, &image->desc,
			  err) < 0)
		return -1;
	/* A tag may move while we build: what was resolved once is what is fetched later. */
	image->ref.has_digest = true;
	image->ref.digest = image->desc.digest;
	return 0;
}

/* In the store already means no question to the registry, unless --pull asks for it. */
static int find(struct exec_image *image, const struct oci_platform *platform, struct ib_err *err)
{
	struct oci_store *store = image->images->store;

	if (!image->images->pull && find_in_store(image, err) == 0) {
		if (oci_image_load(store, &image->desc, platform, &image->image, err) == 0)
			return 0;
		/* An index whose manifest for this platform was never fetched: the registry has it. */
	}
	if (!image->images->pull && err->code != IB_NOTFOUND)
		return -1;
	ib_err_clear(err);	/* not here, then perhaps there */
	oci_descriptor_done(&image->desc);
	if (find_in_registry(image, platform, err) < 0)
		return -1;
	return oci_image_load(store, &image->desc, platform, &image->image, err);
}

static void warn_of_platform(const struct exec_image *image, const struct oci_platform *platform)
{
	const struct oci_platform *have = &image->image->config->platform;
	ib_autofree char *wanted = NULL, *found = NULL, *text = NULL;

	if (oci_platform_match(platform, have) > 0)
		return;
	wanted = oci_platform_str(platform);
	found = oci_platform_str(have);
	text = ib_asprintf("base image %s was pulled with platform \"%s\", expected \"%s\"", image->name, found,
			   wanted);
	builder_progress_warning(image->images->progress, 0, text);
}

/* Who can't reach a registry may do without it. */
static int hint_of_store(const struct exec_images *images, struct ib_err *err)
{
	if (images->pull)
		return ib_err_hint(err, "; without --pull the store's image is used");
	return ib_err_hint(err, "; it is not in the store, where `imgbuild load` or `import` can put it");
}

int exec_image_resolve(struct exec_images *images, const char *name, const struct oci_platform *platform,
		       struct exec_image **ret_image, struct ib_err *err)
{
	IB_CLEANUP(image_freep) struct exec_image *image = ib_new(struct exec_image);
	ib_autofree char *shown = ib_printable(name, 256);

	image->images = images;
	if (registry_reference_parse(name, &image->ref, err) < 0)
		return -1;
	image->name = registry_reference_str(&image->ref);
	if (find(image, platform, err) < 0) {
		ib_wrap(err, "base image %s", shown);
		return err->code == IB_NETWORK ? hint_of_store(images, err) : -1;
	}
	warn_of_platform(image, platform);
	pthread_mutex_lock(&images->lock);
	ib_grow(images->v, images->n, images->cap);
	*ret_image = images->v[images->n++] = ib_steal_ptr(&image);
	pthread_mutex_unlock(&images->lock);
	return 0;
}

const struct oci_config *exec_image_config(const struct exec_image *image)
{
	return image->image->config;
}

const char *exec_image_name(const struct exec_image *image)
{
	return image->name;
}

size_t exec_image_layers(const struct exec_image *image)
{
	return image->image->manifest->n_layers;
}

const struct oci_descriptor *exec_image_layer(const struct exec_image *image, size_t index)
{
	return &image->image->manifest->layers[index];
}

const struct oci_descriptor *exec_image_desc(const struct exec_image *image)
{
	return &image->image->desc;
}

/* A download on its way into the store: once its end was read and verified, the blob has its name. */
struct arriving {
	struct oci_reader base;
	struct oci_reader *verified;
	struct oci_blob_writer *writer;
	struct oci_digest digest;
	bool committed;
};

static ssize_t arriving_read(struct oci_reader *base, void *buf, size_t n, struct ib_err *err)
{
	struct arriving *a = (struct arriving *)base;
	ssize_t got = oci_reader_read(a->verified, buf, n, err);

	if (got != 0 || a->committed)
		return got;
	a->committed = true;
	return oci_blob_writer_commit(a->writer, &a->digest, err);
}

static void arriving_free(struct oci_reader *base)
{
	struct arriving *a = (struct arriving *)base;

	oci_reader_free(a->verified);
	oci_blob_writer_free(a->writer);
	free(a);
}

static int open_remote(struct exec_image *image, const struct oci_descriptor *desc,
		       struct oci_reader **ret_reader, struct ib_err *err)
{
	static const struct oci_reader_ops ops = {arriving_read, arriving_free};
	IB_CLEANUP(oci_blob_writer_freep) struct oci_blob_writer *writer = NULL;
	struct registry_conn *conn;
	struct oci_reader *raw;
	struct arriving *a;

	if (connection(image, &conn, err) < 0 ||
	    oci_blob_writer_new(image->images->store, &writer, err) < 0 ||
	    registry_blob_open(conn, desc, &raw, err) < 0)
		return -1;
	a = ib_new(struct arriving);
	a->base.ops = &ops;
	a->digest = desc->digest;
	a->writer = ib_steal_ptr(&writer);
	a->verified = oci_verify_reader_new(raw, desc, a->writer);
	*ret_reader = &a->base;
	return 0;
}

int exec_image_layer_open(struct exec_image *image, size_t index, struct oci_reader **ret_reader,
			  struct ib_err *err)
{
	const struct oci_descriptor *desc = exec_image_layer(image, index);
	struct oci_store *store = image->images->store;
	int64_t size;
	int fd;

	if (!oci_store_has(store, &desc->digest, desc->size))
		return open_remote(image, desc, ret_reader, err);
	fd = oci_store_get(store, &desc->digest, &size, err);
	if (fd < 0)
		return -1;
	*ret_reader = oci_file_reader_new(fd, "layer");
	return 0;
}

static bool is_complete(const struct exec_image *image)
{
	for (size_t i = 0; i < exec_image_layers(image); i++) {
		const struct oci_descriptor *desc = exec_image_layer(image, i);

		if (!oci_store_has(image->images->store, &desc->digest, desc->size))
			return false;
	}
	return true;
}

int exec_image_name_if_complete(struct exec_image *image, struct ib_err *err)
{
	const char *name = image->name;

	if (!image->remote || !is_complete(image))
		return 0;
	/* The manifest, not the index it was chosen from: a name never stands for what is not all there. */
	return oci_store_name_set(image->images->store, &name, 1, &image->image->desc, err);
}

struct fetch {
	struct exec_image *image;
	int step;
};

static void fetch_progress(void *ctx, const struct oci_descriptor *desc, int64_t bytes)
{
	const struct fetch *fetch = ctx;
	char text[OCI_DIGEST_SIZE];
	ib_autofree char *id = ib_asprintf("%.19s", oci_digest_str(&desc->digest, text));

	builder_progress_transfer(fetch->image->images->progress, fetch->step, id, bytes, desc->size,
				  bytes == desc->size);
}

int exec_image_fetch(struct exec_image *image, int progress_step, struct ib_err *err)
{
	struct fetch fetch = {image, progress_step};
	struct registry_transfer transfer = {.progress = fetch_progress, .ctx = &fetch};
	IB_CLEANUP(oci_descriptor_done) struct oci_descriptor got = {0};
	struct registry_conn *conn;

	if (!is_complete(image)) {
		if (connection(image, &conn, err) < 0 ||
		    registry_pull(conn, &image->ref, image->images->store, &image->image->config->platform, true,
				  &transfer, &got, err) < 0)
			return ib_wrap(err, "base image %s", image->name);
	}
	return exec_image_name_if_complete(image, err);
}
