/* `vswitchs invite`: a new member's port, added to the server's configuration file, and the complete file that the
 * member needs to join. */
#ifndef VSWITCHS_INVITE_H
#define VSWITCHS_INVITE_H

#include <stdbool.h>
#include <stdio.h>

#include "base/compiler.h"

struct vs_invitation {
	const char *ini;     /* path of the server's file */
	const char *name;    /* of the new port */
	const char *address; /* HOST[:PORT] by which clients reach the server; NULL: as the file says, or guessed */
	bool preshared_key;  /* make one */
};

/* Makes a key, appends [port NAME] to the server's file (which must be in order before, and keeps every byte it has),
 * and writes the client's file to `out`. Everything else is said on `messages`. 0, or -errno after saying why:
 * -EINVAL (the file or an argument is not in order), -EEXIST (the name is taken), or what reading or writing says. If
 * writing to `out` fails, the server's file is put back, still under the lock of the edit. */
int vs_invite(const struct vs_invitation *invitation, FILE *out, FILE *messages) VS_MUST_CHECK;

#endif
