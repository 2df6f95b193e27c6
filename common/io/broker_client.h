/* The network process's end of the broker: calls that wait for the broker's answer. They are for starting, reloading
 * and reconnecting; most take microseconds, vs_broker_bind_udp() up to half a second if the address is taken; none
 * waits for a script. May be called from several threads. Every error comes with a text for people; -EPIPE: the broker
 * is gone, and so is this process in a moment. */
#ifndef VS_IO_BROKER_CLIENT_H
#define VS_IO_BROKER_CLIENT_H

#include <stdint.h>

#include "base/compiler.h"
#include "io/config.h"
#include "io/faketcp_socket.h"
#include "io/fault.h"
#include "io/grants.h"
#include "io/logsink.h"

struct vs_broker_client;

/* Takes over the socket. NULL: out of memory. */
struct vs_broker_client *vs_broker_client_new(int fd);
void vs_broker_client_free(struct vs_broker_client *client);

/* Opens the configuration file, by the very path that the daemon was given, or a key file that it names; what comes is
 * a copy in memory. Reading the configuration file is the first step of a reload: from then on the broker's grants are
 * the new ones, provided that it finds the file valid. A descriptor or -errno. */
int vs_broker_open_file(struct vs_broker_client *client, const char *path, struct vs_fault *fault) VS_MUST_CHECK;

/* The same as an opener for io/config.h. */
struct vs_opener vs_broker_opener(struct vs_broker_client *client);

/* Opens the TAP of that name (of its section) and sets it up. A descriptor; -EEXIST: it is open already; -EAGAIN: it,
 * or another of its device, is closed but a script of it still runs, 2 x VS_SCRIPT_TIMEOUT at most; or another
 * -errno. */
int vs_broker_open_tap(struct vs_broker_client *client, const char *name, struct vs_fault *fault) VS_MUST_CHECK;

/* Starts the TAP's up script, if it has one; it runs by itself, since what it does may need this process (DHCP). From
 * then on the down script will run, whatever happens. 0 or -errno: the script cannot be started. */
int vs_broker_tap_up(struct vs_broker_client *client, const char *name, struct vs_fault *fault) VS_MUST_CHECK;

/* Runs the TAP's down script and lets go of the device, which goes away once this process has closed it, too. 0 or
 * -errno. Not needed at the end of the program: the broker does it by itself. */
int vs_broker_close_tap(struct vs_broker_client *client, const char *name, struct vs_fault *fault) VS_MUST_CHECK;

/* A UDP socket, bound, with its mark and interface set and with large buffers. A descriptor; -EADDRINUSE; or -errno. */
int vs_broker_bind_udp(struct vs_broker_client *client, const struct vs_grant_bind *bind,
		       struct vs_fault *fault) VS_MUST_CHECK;

/* A non-blocking TCP socket with its mark and interface set: bound, for the caller to listen; or, if the port is 0, for
 * the caller to connect. Errors as above. */
int vs_broker_open_tcp(struct vs_broker_client *client, const struct vs_grant_bind *bind,
		       struct vs_fault *fault) VS_MUST_CHECK;

/* Fake TCP (io/faketcp_socket.h), under a grant for it: silences the kernel on a connection, whose socket stays the
 * caller's, and says where it stands. 0 or -errno. */
int vs_broker_mute_tcp(struct vs_broker_client *client, const struct vs_grant_bind *bind, int fd,
		       struct vs_faketcp_start *start, struct vs_fault *fault) VS_MUST_CHECK;

/* A raw socket for the connections of a listener, whose local address is that of the grant; or (VS_FAKETCP_PEER) for the
 * one that the socket `fd`, bound to the local port already, is to make. A descriptor or -errno. */
int vs_broker_open_raw(struct vs_broker_client *client, const struct vs_grant_bind *bind,
		       const struct vs_faketcp_scope *scope, int fd, struct vs_fault *fault) VS_MUST_CHECK;

/* An opener for io/logsink.h; it opens the file that the configuration names, whatever the path. */
struct vs_log_opener vs_broker_log_opener(struct vs_broker_client *client);

#endif
