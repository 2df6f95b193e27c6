/* Connections: what carriers with connections (io/carrier.h) send datagrams through. One is made by whoever connects
 * (the client) or accepts (io/lobby.h), and then adopted by a carrier, on whichever thread; between the two it is watched
 * by nobody and can go from thread to thread. Each kind embeds this in a structure of its own.
 *
 * The table is the carriers': it finds a connection by the two addresses of a datagram. */
#ifndef VS_IO_CONN_H
#define VS_IO_CONN_H

#include <stdbool.h>
#include <stdint.h>

#include "base/addr.h"
#include "base/list.h"
#include "link/wire.h"

struct vs_conn {
	enum vs_carrier_kind kind;
	struct vs_addr peer, local; /* both with their ports: together its name */
	/* Closes and frees a connection that no carrier has. */
	void (*free)(struct vs_conn *conn);

	/* The carrier's that has it. */
	struct vs_list bucket;
	/* For whoever had the carrier adopt it. */
	struct vs_list sibling;
	void *owner;
	uint64_t idle_usec; /* since when it has not been in use; 0: it is */
};

/* The part that all kinds have in common. */
void vs_conn_init(struct vs_conn *conn, enum vs_carrier_kind kind, const struct vs_addr *peer,
		  const struct vs_addr *local, void (*free)(struct vs_conn *conn));

/* NULL is accepted. */
static inline void vs_conn_free(struct vs_conn *conn)
{
	if (conn)
		conn->free(conn);
}

/* Whether the two addresses are its name. */
static inline bool vs_conn_is(const struct vs_conn *conn, const struct vs_addr *peer, const struct vs_addr *local)
{
	return vs_addr_equal(&conn->peer, peer) && vs_addr_equal(&conn->local, local);
}

#define VS_CONNTABLE_BUCKETS 1024
#define VS_CONNTABLE_MAX 16384

struct vs_conntable {
	uint32_t count;
	struct vs_list buckets[VS_CONNTABLE_BUCKETS];
};

void vs_conntable_init(struct vs_conntable *table);

/* 0, -EEXIST: there is one of that name; -ENOBUFS: the table is full. */
int vs_conntable_insert(struct vs_conntable *table, struct vs_conn *conn) VS_MUST_CHECK;
void vs_conntable_remove(struct vs_conntable *table, struct vs_conn *conn);

/* NULL: there is none. */
struct vs_conn *vs_conntable_find(const struct vs_conntable *table, const struct vs_addr *peer,
				  const struct vs_addr *local);

/* Takes any one out of the table, as at its end; NULL: it is empty. */
struct vs_conn *vs_conntable_take_any(struct vs_conntable *table);

#endif
