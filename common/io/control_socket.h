/* The file of the control socket (io/control.h): who listens there, and that only one does.
 *
 * A lock on PATH.lock says that a program is alive; the kernel takes it away with the program's last process, however
 * that ends, so a socket file without a lock is a leftover and is replaced. The lock file holds the pid of its owner
 * for the message to the second one. Since that last process may just be dying, opening tries for half a second. */
#ifndef VS_IO_CONTROL_SOCKET_H
#define VS_IO_CONTROL_SOCKET_H

#include <sys/types.h>

#include "base/compiler.h"
#include "io/config.h"
#include "io/fault.h"

struct vs_control_socket {
	char path[VS_CONFIG_PATH_MAX]; /* "": there is none */
	int lock_fd;
	int listen_fd;
};

/* Takes the lock and listens at `path`, in a directory that is made (0755) if only its last part is missing. The socket
 * file has `mode` (0600: root alone). `program` names the owner in messages. An empty path: no socket; the descriptors
 * are -1. 0; -EADDRINUSE: another process listens there; -ENOTSOCK: there is another kind of file; -ENAMETOOLONG;
 * -errno. */
int vs_control_socket_open(struct vs_control_socket *control, const char *path, mode_t mode, const char *program,
			   struct vs_fault *fault) VS_MUST_CHECK;

/* In a process that shares the socket: closes the descriptors, leaves the files. */
void vs_control_socket_close(struct vs_control_socket *control);

/* In the owner, when nobody listens any more: closes and removes the files. */
void vs_control_socket_remove(struct vs_control_socket *control);

#endif
