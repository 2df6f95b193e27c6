/* To which worker connections have gone. A server's raw sockets for fake TCP are split by what is in a segment, and
 * not by its connection: handshakes that come through a connection that a worker has are received in the lobby all
 * the same, and must find their way. Bounded: the oldest is forgotten first. Nobody says when a connection has
 * ended, so what is in here may be out of date; what is sent there then is refused, and nothing else. */
#ifndef VS_IO_WHEREABOUTS_H
#define VS_IO_WHEREABOUTS_H

#include "base/compiler.h"
#include "io/conn.h"

struct vs_whereabouts {
	struct vs_conntable table;
	struct vs_list ages; /* oldest first */
};

void vs_whereabouts_init(struct vs_whereabouts *where);
void vs_whereabouts_fini(struct vs_whereabouts *where);

/* A connection has gone to a worker. 0 or -ENOMEM. */
int vs_whereabouts_note(struct vs_whereabouts *where, const struct vs_conn *conn, unsigned worker) VS_MUST_CHECK;

/* False: nobody has been told. */
bool vs_whereabouts_find(const struct vs_whereabouts *where, const struct vs_addr *peer, const struct vs_addr *local,
			 unsigned *worker);

#endif
