/* Giving privileges up. The network process calls this once, before it touches a byte of the network. */
#ifndef VS_IO_PRIVILEGES_H
#define VS_IO_PRIVILEGES_H

#include <stdbool.h>
#include <sys/types.h>

#include "base/compiler.h"
#include "io/fault.h"

/* Who the network process becomes. */
struct vs_user {
	char name[33];
	bool change; /* false: started by an ordinary user, who it remains */
	uid_t uid;
	gid_t gid;
};

/* Looks the user up, if this process is root. 0; -ENOENT: there is none of that name; -EINVAL: it is root; -errno. */
int vs_user_find(struct vs_user *user, const char *name, struct vs_fault *fault) VS_MUST_CHECK;

/* Becomes the user, with no supplementary group; empties all sets of capabilities, the bounding set too where that is
 * allowed; and sees to it that no exec gives any back (no_new_privs) and that nobody but root can look into the
 * process. Where the user has no number in this user namespace, or changing is forbidden, only the capabilities go; one
 * log line says so. 0 or -errno: then the process must not go on. */
int vs_privileges_drop(const struct vs_user *user, struct vs_fault *fault) VS_MUST_CHECK;

/* Raises the soft limit of open files to what one client a port and some scripts need, as far as it is allowed. */
void vs_raise_file_limit(void);

#endif
