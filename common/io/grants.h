/* What the configuration lets the network process ask the broker for. A program makes the grants from a configuration
 * that has been checked; the broker holds them on its side of the process boundary, so that a network process that was
 * taken over can name no device, script, file or address but those that the administrator wrote. Plain storage without
 * pointers, copied by assignment; large, so on the heap. */
#ifndef VS_IO_GRANTS_H
#define VS_IO_GRANTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/addr.h"
#include "base/compiler.h"
#include "io/config.h"
#include "io/logsink.h"
#include "io/tap_config.h"
#include "io/value.h"

#define VS_GRANT_TAPS_MAX 64
#define VS_GRANT_BINDS_MAX (3 * (VS_LIST_MAX + 2)) /* for UDP, fake TCP and TCP */
#define VS_GRANT_FILES_MAX 4

struct vs_grant_tap {
	char name[VS_CONFIG_NAME_MAX + 1]; /* unique; of the section [tap NAME] */
	struct vs_tap_config tap;          /* complete: device and MAC address are set */
};

/* A UDP socket to be bound, several to one address where each worker has its own; or a TCP socket, to be bound or, if
 * the port is 0, only to connect. */
struct vs_grant_bind {
	struct vs_addr addr;               /* port 0: any */
	bool tcp;
	bool fake;                         /* TCP: for fake TCP (io/faketcp_socket.h), whose privileges come with it */
	uint8_t sockets;                   /* granted: how many, at least 1 */
	uint8_t nth;                       /* asked for: which of them; the first demands that the address be free */
	uint32_t fwmark;                   /* 0: none */
	char interface[VS_IFNAME_MAX + 1]; /* "": any */
};

struct vs_grants {
	size_t n_taps;
	struct vs_grant_tap taps[VS_GRANT_TAPS_MAX];
	size_t n_binds;
	struct vs_grant_bind binds[VS_GRANT_BINDS_MAX];
	size_t n_files; /* key files; the configuration file itself needs no grant */
	char files[VS_GRANT_FILES_MAX][VS_CONFIG_PATH_MAX];
	char log_file[VS_CONFIG_PATH_MAX]; /* "": none */
	uint32_t log_max_days;
};

/* Each adds one. 0 or -ENOSPC; -EEXIST: a tap of that name is there. */
int vs_grants_add_tap(struct vs_grants *grants, const char *name, const struct vs_tap_config *tap) VS_MUST_CHECK;
int vs_grants_add_bind(struct vs_grants *grants, const struct vs_addr *addr, uint32_t fwmark, const char *interface,
		       unsigned sockets) VS_MUST_CHECK;
int vs_grants_add_tcp(struct vs_grants *grants, const struct vs_addr *addr, uint32_t fwmark,
		      const char *interface) VS_MUST_CHECK;
int vs_grants_add_faketcp(struct vs_grants *grants, const struct vs_addr *addr, uint32_t fwmark,
			  const char *interface) VS_MUST_CHECK;
int vs_grants_add_file(struct vs_grants *grants, const char *path) VS_MUST_CHECK;

/* Grants the log file of a configuration, if it logs to one. */
void vs_grants_set_log(struct vs_grants *grants, const struct vs_log_config *log);

/* What is granted of what was asked for, borrowed from the grants; NULL: nothing. */
const struct vs_grant_tap *vs_grants_tap(const struct vs_grants *grants, const char *name);
const struct vs_grant_bind *vs_grants_bind(const struct vs_grants *grants, const struct vs_grant_bind *wanted);
const char *vs_grants_file(const struct vs_grants *grants, const char *path);

#endif
