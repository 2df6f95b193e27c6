/* Two UDP carriers on loopback, for the tests of the carrier: in a network namespace of their own, with patterns in the
 * datagrams that are checked on arrival. */
#ifndef VS_TESTS_CARRIER_ENDS_H
#define VS_TESTS_CARRIER_ENDS_H

#include <stdint.h>

#include "io/carrier_udp.h"

#define LO_MTU 3000 /* so that GSO has something to cut, and a jumbo datagram does not fit */
#define RECEIVED_MAX 4096
#define EXIT_SKIP 77 /* as Meson has it */

struct received {
	uint32_t number; /* first four bytes */
	uint32_t len;
	struct vs_addr from, local;
};

/* One carrier and what it has seen. */
struct end {
	struct vs_carrier *carrier;
	struct vs_addr v4, v6; /* bound to */
	struct vs_drops drops;
	struct received received[RECEIVED_MAX];
	unsigned count, largest_batch;
	unsigned resumed;
	struct vs_carrier_error error;
	unsigned errors;
};

extern struct vs_loop *loop;
extern struct end a, b;

/* Enters a namespace with nothing but loopback, its MTU being LO_MTU. Returns -1 with errno where that is forbidden. */
int enter_namespace(void);

struct vs_addr address(const char *text, uint16_t port);

/* A socket bound to a free port of the address, and what it is bound to. */
int bind_to(const char *text, struct vs_addr *bound);

/* The loop, and both ends bound to the wildcard addresses, as a server is. */
void open_ends(const struct vs_udp_options *options);
void close_ends(void);

/* Commits a datagram that starts with its number; its cookie is 1000 + number. */
void put(struct vs_carrier *carrier, uint32_t number, size_t len, const struct vs_addr *dst, const struct vs_addr *src,
	 unsigned flags);

/* Turns until *counter is n; fails after a second. */
void wait_for(const unsigned *counter, unsigned n);

/* Sends n datagrams of many sizes from a to b, and checks that they arrive, whole and in order. */
void exchange(const struct vs_addr *dst, uint32_t n);

/* Handlers, for a carrier that is not one of the ends'; arg is a struct end. */
void on_receive(void *arg, struct vs_carrier *carrier, const struct vs_rx_batch *batch);
void on_resumed(void *arg, struct vs_carrier *carrier);

#endif
