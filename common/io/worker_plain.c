/* Plain peers (link/plain.h): ports with a socket of their own. A KCP peer's is a UDP socket that is connected to it,
 * so that the kernel does the telling apart. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "io/worker_state.h"

/* Taken from, and given to, one socket in a turn, before others have theirs. */
#define READS_MAX 64
#define WRITES_MAX 64
#define READ_SIZE 65536
/* Of a stream, which fills each read. */
#define STREAM_READS_MAX 8

struct vs_wplain {
	struct vs_wport *port;
	struct vs_plain *plain;
	struct vs_addr peer;
	bool stream;
	bool blocked; /* the socket takes no more now */
	bool told_up;
	bool over; /* and told so; the owner removes the port */
	int error; /* of the socket, if that is why; ECONNRESET also for a stream that the peer has closed */
	struct vs_timer timer;
	struct vs_deferred turn_end;
};

static void touch(struct vs_wplain *wplain)
{
	if (!wplain->over)
		vs_deferred_schedule(&wplain->turn_end);
}

/* --- What the owner is told --- */

static void tell(struct vs_wplain *wplain, unsigned event)
{
	struct vs_worker *worker = wplain->port->worker;
	worker->handler.plain_events(worker->handler.arg, wplain->port, event);
}

static void end(struct vs_wplain *wplain, int error)
{
	struct vs_wport *port = wplain->port;
	if (wplain->over)
		return;
	wplain->over = true;
	wplain->error = error;
	vs_watch_free(port->watch);
	port->watch = NULL;
	vs_timer_cancel(&wplain->timer);
	vs_deferred_cancel(&wplain->turn_end);
	tell(wplain, VS_WPLAIN_OVER);
}

/* --- In --- */

static void input(struct vs_wplain *wplain, const uint8_t *bytes, size_t len, uint64_t now)
{
	struct vs_wport *port = wplain->port;
	vs_plain_input(wplain->plain, bytes, len, now, &port->worker->arrived);
	if (!wplain->told_up && vs_plain_is_proven(wplain->plain)) {
		wplain->told_up = true;
		tell(wplain, VS_WPLAIN_UP);
	}
	vs_wport_forward_arrived(port, now);
}

/* Between its bind and its connect the socket may have been given datagrams of others; they will come again, to the one
 * that listens. */
static bool is_peer(const struct vs_wplain *wplain, const struct sockaddr_storage *from, socklen_t len)
{
	struct vs_addr addr = vs_addr_from_sockaddr((const struct sockaddr *)from, len);
	return vs_addr_equal(&addr, &wplain->peer);
}

static void read_datagrams(struct vs_wplain *wplain, int fd, uint64_t now)
{
	uint8_t buffer[READ_SIZE];
	for (int i = 0; i < READS_MAX && vs_plain_end(wplain->plain) == VS_PLAIN_RUNS; i++) {
		struct sockaddr_storage from;
		socklen_t from_len = sizeof(from);
		ssize_t n = recvfrom(fd, buffer, sizeof(buffer), 0, (struct sockaddr *)&from, &from_len);
		if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
			return;
		/* What ICMP says may be anybody's word; a peer that is gone is found by its silence. */
		if (n < 0)
			continue;
		if (is_peer(wplain, &from, from_len))
			input(wplain, buffer, (size_t)n, now);
	}
}

static void read_stream(struct vs_wplain *wplain, int fd, uint64_t now)
{
	uint8_t buffer[READ_SIZE];
	for (int i = 0; i < STREAM_READS_MAX && vs_plain_end(wplain->plain) == VS_PLAIN_RUNS; i++) {
		ssize_t n = read(fd, buffer, sizeof(buffer));
		if (n > 0)
			input(wplain, buffer, (size_t)n, now);
		else if (n == 0 || (errno != EAGAIN && errno != EINTR))
			end(wplain, n == 0 ? ECONNRESET : errno);
		if (n < (ssize_t)sizeof(buffer))
			return;
	}
}

static void on_ready(void *arg, int fd, unsigned events)
{
	struct vs_wplain *wplain = arg;
	uint64_t now = vs_loop_now(wplain->port->worker->loop);
	if (events & VS_WRITE)
		wplain->blocked = false;
	if (events & VS_READ && wplain->stream)
		read_stream(wplain, fd, now);
	else if (events & VS_READ)
		read_datagrams(wplain, fd, now);
	touch(wplain);
}

/* --- Out --- */

/* Bytes that the socket has taken; 0: it takes none now, or the peer is over. */
static size_t write_piece(struct vs_wplain *wplain, const uint8_t *bytes, size_t size)
{
	ssize_t n = send(wplain->port->fd, bytes, size, MSG_NOSIGNAL);
	if (n >= 0)
		return (size_t)n;
	if (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR) {
		wplain->blocked = true;
		return 0;
	}
	if (wplain->stream) {
		end(wplain, errno);
		return 0;
	}
	/* Lost, as datagrams are. */
	vs_drop(&wplain->port->worker->drops, VS_DROP_SEND_FAILED);
	return size;
}

static void pump(struct vs_wplain *wplain, uint64_t now)
{
	const uint8_t *bytes;
	for (int i = 0; i < WRITES_MAX; i++) {
		size_t size = vs_plain_output(wplain->plain, now, &bytes);
		size_t sent = size ? write_piece(wplain, bytes, size) : 0;
		if (!sent)
			return;
		vs_plain_sent(wplain->plain, sent);
	}
	touch(wplain);
}

static void on_turn_end(void *arg)
{
	struct vs_wplain *wplain = arg;
	struct vs_wport *port = wplain->port;
	if (!wplain->blocked)
		pump(wplain, vs_loop_now(port->worker->loop));
	if (vs_plain_end(wplain->plain) != VS_PLAIN_RUNS)
		end(wplain, 0);
	if (wplain->over)
		return;
	vs_watch_set(port->watch, wplain->blocked ? VS_READ | VS_WRITE : VS_READ);
	vs_timer_set(&wplain->timer, wplain->blocked ? VS_NEVER : vs_plain_deadline(wplain->plain));
}

static void on_timer(void *arg, uint64_t now)
{
	(void)now;
	touch(arg);
}

void vs_wport_send_plain(struct vs_wport *port, struct vs_frame *frame, uint64_t now)
{
	vs_plain_send(port->plain->plain, frame, now);
	touch(port->plain);
}

/* --- Life --- */

static struct vs_addr peer_of(int fd)
{
	struct vs_addr peer;
	socklen_t len = sizeof(peer);
	memset(&peer, 0, sizeof(peer));
	if (getpeername(fd, &peer.sa, &len) < 0)
		memset(&peer, 0, sizeof(peer));
	return vs_addr_from_sockaddr(&peer.sa, len);
}

/* 0, or -errno: what is there is to be given to vs_wport_close_plain(). */
static int open_plain(struct vs_wport *port, const struct vs_plain_config *config)
{
	struct vs_worker *worker = port->worker;
	struct vs_plain_config complete = *config;
	complete.pool = worker->pool;
	complete.flow_key = worker->flow_key;
	struct vs_wplain *wplain = calloc(1, sizeof(*wplain));
	if (!wplain)
		return -ENOMEM;
	wplain->port = port;
	wplain->stream = config->kind == VS_PLAIN_STREAM;
	wplain->peer = peer_of(port->fd);
	vs_deferred_init(&wplain->turn_end, worker->loop, on_turn_end, wplain);
	int err = vs_timer_init(&wplain->timer, worker->loop, on_timer, wplain);
	if (err < 0) {
		free(wplain);
		return err;
	}
	port->plain = wplain;
	wplain->plain = vs_plain_new(&complete, vs_loop_now(worker->loop));
	if (!wplain->plain)
		return -ENOMEM;
	port->watch = vs_watch_new(worker->loop, port->fd, VS_READ, on_ready, wplain);
	return port->watch ? 0 : -ENOMEM;
}

int vs_worker_add_plain(struct vs_worker *worker, int fd, const struct vs_plain_config *config, const uint8_t *first,
			size_t len, uint16_t id, void *user, struct vs_wport **out)
{
	struct vs_wport *port = vs_wport_new(worker, id, user);
	if (!port) {
		close(fd);
		return -ENOMEM;
	}
	port->fd = fd;
	int err = open_plain(port, config);
	if (err < 0) {
		vs_worker_remove(worker, port);
		return err;
	}
	*out = port;
	if (len)
		input(port->plain, first, len, vs_loop_now(worker->loop));
	touch(port->plain);
	return 0;
}

void vs_wport_close_plain(struct vs_wport *port)
{
	struct vs_wplain *wplain = port->plain;
	vs_deferred_cancel(&wplain->turn_end);
	vs_timer_fini(&wplain->timer);
	vs_plain_free(wplain->plain);
	free(wplain);
	port->plain = NULL;
}

void vs_wport_view_plain(const struct vs_wport *port, struct vs_wplain_view *out)
{
	const struct vs_wplain *wplain = port->plain;
	*out = (struct vs_wplain_view){
		.up = wplain->told_up && !wplain->over,
		.over = wplain->over,
		.end = vs_plain_end(wplain->plain),
		.error = wplain->error,
		.drops = *vs_plain_drops(wplain->plain),
	};
	vs_plain_stats(wplain->plain, &out->stats);
}
