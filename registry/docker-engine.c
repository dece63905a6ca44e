#include "registry/docker-engine.h"

#include <curl/curl.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <string.h>
#include <sys/socket.h>

#include "oci/archive.h"
#include "oci/base/alloc.h"
#include "oci/base/fd.h"
#include "oci/base/json.h"
#include "oci/base/str.h"

#include "oci/base/poison.h"

#define DEFAULT_SOCKET "/var/run/docker.sock"
#define ANSWER_MAX 65536

static int socket_path(char **ret_path, struct ib_err *err)
{
	const char *host = getenv("DOCKER_HOST");

	if (!host || !*host) {
		*ret_path = ib_strdup(DEFAULT_SOCKET);
		return 0;
	}
	if (!ib_starts(host, "unix://"))
		return ib_fail(err, IB_UNSUPPORTED, "images are loaded into a Docker engine on a Unix socket only; "
			       "DOCKER_HOST says otherwise");
	*ret_path = ib_strdup(host + strlen("unix://"));
	return 0;
}

/* The archive is written by a thread into one end of a socket pair; curl reads the other. */
struct feeding {
	struct oci_store *store;
	const struct oci_archive_image *image;
	int fd;
	struct ib_err err;
	bool failed;
};

static int feed_bytes(void *ctx, const void *bytes, size_t n, struct ib_err *err)
{
	const struct feeding *feeding = ctx;
	const char *p = bytes;

	while (n) {
		/* MSG_NOSIGNAL: an engine that hangs up is an error, not a death. */
		ssize_t sent = send(feeding->fd, p, n, MSG_NOSIGNAL);

		if (sent < 0 && errno == EINTR)
			continue;
		if (sent < 0)
			return ib_fail_sys(err, errno, "send the image to the Docker engine");
		p += sent;
		n -= (size_t)sent;
	}
	return 0;
}

static void *feed(void *arg)
{
	struct feeding *feeding = arg;

	feeding->failed = oci_archive_export(feeding->store, feeding->image, 1, true, feed_bytes, feeding,
					     &feeding->err) < 0;
	(void)shutdown(feeding->fd, SHUT_WR);	/* the reader sees the end */
	return NULL;
}

static size_t on_read(char *buf, size_t size, size_t n, void *ctx)
{
	const int *fd = ctx;
	ssize_t got;

	do
		got = read(*fd, buf, size * n);
	while (got < 0 && errno == EINTR);
	return got < 0 ? CURL_READFUNC_ABORT : (size_t)got;
}

static size_t on_answer(char *bytes, size_t size, size_t n, void *ctx)
{
	struct ib_str *answer = ctx;

	ib_str_add(answer, bytes, size * n);	/* bounded; what is beyond is not needed */
	return size * n;
}

/* The engine answers 200 and then tells failures in its message stream. */
static int check_answer(CURL *curl, CURLcode rc, const struct ib_str *answer, const char *path,
			struct ib_err *err)
{
	ib_autofree char *shown = ib_printable(answer->s ? answer->s : "", 300);
	long status = 0;

	if (rc != CURLE_OK)
		return ib_fail(err, rc == CURLE_COULDNT_CONNECT ? IB_NOTFOUND : IB_NETWORK,
			       "load into the Docker engine at %s: %s", path, curl_easy_strerror(rc));
	(void)curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &status);
	if (status != 200 || (answer->s && strstr(answer->s, "\"errorDetail\"")))
		return ib_fail(err, IB_FAILED, "load into the Docker engine at %s: %ld: %s", path, status, shown);
	return 0;
}

static CURLcode post(CURL *curl, const char *path, int fd, struct ib_str *answer)
{
	struct curl_slist *headers = curl_slist_append(NULL, "Content-Type: application/x-tar");
	CURLcode rc;

	headers = curl_slist_append(headers, "Transfer-Encoding: chunked");
	headers = curl_slist_append(headers, "Expect:");
	(void)curl_easy_setopt(curl, CURLOPT_UNIX_SOCKET_PATH, path);
	(void)curl_easy_setopt(curl, CURLOPT_URL, "http://docker/images/load?quiet=1");
	(void)curl_easy_setopt(curl, CURLOPT_POST, 1L);
	(void)curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers);
	(void)curl_easy_setopt(curl, CURLOPT_READFUNCTION, on_read);
	(void)curl_easy_setopt(curl, CURLOPT_READDATA, &fd);
	(void)curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, on_answer);
	(void)curl_easy_setopt(curl, CURLOPT_WRITEDATA, answer);
	(void)curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
	(void)curl_easy_setopt(curl, CURLOPT_NOPROXY, "*");
	(void)curl_easy_setopt(curl, CURLOPT_UPLOAD_BUFFERSIZE, 262144L);
	rc = curl_easy_perform(curl);
	curl_slist_free_all(headers);
	return rc;
}

int registry_engine_load(struct oci_store *store, const struct oci_archive_image *image, struct ib_err *err)
{
	struct feeding feeding = {.store = store, .image = image};
	ib_autofree char *path = NULL;
	ib_autostr answer = IB_STR(ANSWER_MAX);
	pthread_t thread;
	CURLcode rc;
	int pair[2], r;
	CURL *curl;

	if (socket_path(&path, err) < 0)
		return -1;
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
		return ib_fail_sys(err, errno, "make a socket pair");
	feeding.fd = pair[0];
	curl = curl_easy_init();
	if (!curl || pthread_create(&thread, NULL, feed, &feeding) != 0) {
		curl_easy_cleanup(curl);
		ib_closep(&pair[0]);
		ib_closep(&pair[1]);
		return ib_fail(err, IB_IO, "start a transfer");
	}
	rc = post(curl, path, pair[1], &answer);
	ib_closep(&pair[1]);	/* a writer that is still at it ends now */
	pthread_join(thread, NULL);
	r = check_answer(curl, rc, &answer, path, err);
	/* When the archive itself failed, that is the cause and the transfer's end its consequence. */
	if (feeding.failed && (r == 0 || feeding.err.code != IB_NETWORK)) {
		ib_err_move(err, &feeding.err);
		r = -1;
	}
	ib_err_clear(&feeding.err);
	curl_easy_cleanup(curl);
	ib_closep(&pair[0]);
	return r;
}
