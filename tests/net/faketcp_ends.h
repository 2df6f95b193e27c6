/* Two hosts for the tests of fake TCP, as network namespaces of the test's own with a veth between them, both held
 * by one process; and connections between them, made as the broker and the programs make them. */
#ifndef VS_TESTS_FAKETCP_ENDS_H
#define VS_TESTS_FAKETCP_ENDS_H

#include "io/carrier_faketcp.h"
#include "io/faketcp_socket.h"
#include "io/loop.h"

#define FT_PORT 4430
#define FT_MTU 1500
#define FT_WORKERS 2

enum ft_side { FT_CLIENT, FT_SERVER };

/* Enters namespaces as vs_netns_enter() does, ends the test as "skipped" where that cannot be, and joins two hosts:
 * 10.0.0.1 and fd00::1 (the client), 10.0.0.2 and fd00::2. */
void ft_hosts(void);

/* From here on, sockets are opened on this host. */
void ft_enter(enum ft_side side);

/* Runs a shell command on a host, which must succeed. */
void ft_run(enum ft_side side, const char *command);

struct vs_addr ft_addr(enum ft_side side, int family, uint16_t port);

/* A listening socket of the server for all its addresses of a version. */
int ft_listen(int family);

/* A server's raw socket. */
int ft_raw(int family, enum vs_faketcp_share share, unsigned worker);

/* A client's end of a new connection, silenced, with a raw socket. */
struct vs_faketcp_conn *ft_connect(int family, struct vs_loop *loop);

/* The server's end of it. */
struct vs_faketcp_conn *ft_accept(int listener, struct vs_loop *loop);

#endif
