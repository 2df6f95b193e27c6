#include "io/carrier_udp.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "io/udp_receive.h"
#include "io/udp_send.h"

/* recvmmsg() calls for one socket before others get their turn. */
#define RECEIVE_ROUNDS 2

struct udp_socket {
	int fd;
	uint16_t port;
	struct vs_watch *watch;
};

struct vs_carrier_udp {
	struct vs_carrier carrier;
	struct vs_carrier_handler handler;
	struct udp_socket v4, v6;
	bool blocked;
	struct vs_udp_sender *sender;
	struct vs_udp_receiver *receiver;
};

static struct vs_carrier_udp *udp_of(struct vs_carrier *carrier)
{
	return VS_CONTAINER_OF(carrier, struct vs_carrier_udp, carrier);
}

static struct udp_socket *socket_of(struct vs_carrier_udp *udp, int fd)
{
	return fd == udp->v4.fd ? &udp->v4 : &udp->v6;
}

static void on_batch(void *arg, const struct vs_rx_batch *batch)
{
	struct vs_carrier_udp *udp = arg;
	udp->handler.receive(udp->handler.arg, &udp->carrier, batch);
}

static void on_error(void *arg, const struct vs_carrier_error *error)
{
	struct vs_carrier_udp *udp = arg;
	udp->carrier.stats.icmp_errors++;
	if (udp->handler.error)
		udp->handler.error(udp->handler.arg, &udp->carrier, error);
}

/* A call that comes back not quite full has emptied the socket: asking again would only cost the next system call. */
static void receive(struct vs_carrier_udp *udp, struct udp_socket *socket)
{
	int n = VS_UDP_MESSAGES;
	for (int round = 0; round < RECEIVE_ROUNDS && n == VS_UDP_MESSAGES; round++)
		n = vs_udp_receive(udp->receiver, socket->fd, socket->port, on_batch, udp);
	/* Also where nothing has come, because epoll reports an error queue that is not empty as readable. */
	if (n < 0)
		vs_udp_read_errors(socket->fd, on_error, udp);
}

/* Tries again what was held back. */
static void resume(struct vs_carrier_udp *udp, struct udp_socket *socket)
{
	vs_watch_set(socket->watch, VS_READ);
	udp->blocked = false;
	vs_carrier_flush(&udp->carrier);
	if (!udp->blocked)
		udp->handler.resumed(udp->handler.arg, &udp->carrier);
}

static void on_socket(void *arg, int fd, unsigned events)
{
	struct vs_carrier_udp *udp = arg;
	if (events & VS_READ)
		receive(udp, socket_of(udp, fd));
	else
		resume(udp, socket_of(udp, fd));
}

static void udp_flush(struct vs_carrier *carrier)
{
	struct vs_carrier_udp *udp = udp_of(carrier);
	if (udp->blocked)
		return;
	int fd = vs_udp_sender_flush(udp->sender, carrier->tx);
	if (fd < 0)
		return;
	udp->blocked = true;
	vs_watch_set(socket_of(udp, fd)->watch, VS_READ | VS_WRITE);
}

static void close_socket(struct udp_socket *socket)
{
	vs_watch_free(socket->watch);
	if (socket->fd >= 0)
		close(socket->fd);
}

static void udp_free(struct vs_carrier *carrier)
{
	struct vs_carrier_udp *udp = udp_of(carrier);
	close_socket(&udp->v4);
	close_socket(&udp->v6);
	vs_udp_sender_free(udp->sender);
	vs_udp_receiver_free(udp->receiver);
	free(carrier->tx);
	free(udp);
}

static const struct vs_carrier_ops udp_ops = {
	.name = "udp",
	.kind = VS_CARRIER_UDP,
	.overhead_v4 = 20 + 8,
	.overhead_v6 = 40 + 8,
	.flush = udp_flush,
	.free = udp_free,
};

static int open_socket(struct vs_carrier_udp *udp, struct vs_loop *loop, struct udp_socket *socket, int family,
		       const struct vs_udp_options *options)
{
	if (socket->fd < 0)
		return 0;
	struct vs_addr local = vs_udp_local(socket->fd);
	if (local.sa.sa_family != family)
		return -EINVAL;
	int rc = vs_udp_configure(socket->fd, options);
	if (rc)
		return rc;
	socket->port = vs_addr_port(&local);
	socket->watch = vs_watch_new(loop, socket->fd, VS_READ, on_socket, udp);
	return socket->watch ? 0 : -errno;
}

static int build(struct vs_carrier_udp *udp, struct vs_loop *loop, const struct vs_udp_options *options,
		 struct vs_drops *drops)
{
	struct vs_carrier *carrier = &udp->carrier;
	if (udp->v4.fd < 0 && udp->v6.fd < 0)
		return -EINVAL;
	carrier->ops = &udp_ops;
	carrier->tx = calloc(1, sizeof(*carrier->tx));
	udp->sender = vs_udp_sender_new(udp->v4.fd, udp->v6.fd, !options->no_gso, &carrier->stats, drops);
	udp->receiver = vs_udp_receiver_new(&carrier->stats);
	if (!carrier->tx || !udp->sender || !udp->receiver)
		return -ENOMEM;
	int rc = open_socket(udp, loop, &udp->v4, AF_INET, options);
	if (rc == 0)
		rc = open_socket(udp, loop, &udp->v6, AF_INET6, options);
	return rc;
}

int vs_carrier_udp_new(struct vs_loop *loop, int fd4, int fd6, const struct vs_udp_options *options,
		       const struct vs_carrier_handler *handler, struct vs_drops *drops, struct vs_carrier **out)
{
	struct vs_carrier_udp *udp = calloc(1, sizeof(*udp));
	if (!udp) {
		close_socket(&(struct udp_socket){.fd = fd4});
		close_socket(&(struct udp_socket){.fd = fd6});
		return -ENOMEM;
	}
	udp->v4.fd = fd4;
	udp->v6.fd = fd6;
	udp->handler = *handler;
	int rc = build(udp, loop, options, drops);
	if (rc) {
		udp_free(&udp->carrier);
		return rc;
	}
	*out = &udp->carrier;
	return 0;
}

bool vs_carrier_udp_gso(const struct vs_carrier *carrier)
{
	return vs_udp_sender_gso(VS_CONTAINER_OF(carrier, const struct vs_carrier_udp, carrier)->sender);
}
