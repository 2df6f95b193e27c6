/* The server's configuration file: which sections and keys there are, the structure that they fill, and what may be
 * changed while it runs. `vswitchs config-help` prints the reference that the tables make. */
#ifndef VSWITCHS_SCHEMA_H
#define VSWITCHS_SCHEMA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "io/schema_common.h"
#include "link/plain.h"
#include "link/wire.h"
#include "switch/vlan.h"
#include "vswitchs/schema_transport.h"

#define VS_SERVER_INI "/etc/vswitch/vswitchs.ini"
#define VS_SERVER_SOCKET "/run/vswitch/vswitchs.sock"
#define VS_SERVER_PORTS_MAX 4000
#define VS_SERVER_TAPS_MAX 64
#define VS_SERVER_LISTENS_MAX 16
#define VS_SERVER_LISTEN_CLIENTS_MAX 1024
#define VS_SERVER_LISTEN_NAME_MAX 15 /* with an address and a port behind it, the name of a port of the switch */
#define VS_SERVER_USER_MAX 32
#define VS_SERVER_PORT_NOT_SET UINT32_MAX
#define VS_SERVER_FIXED_MAX 16

/* Which VLANs a port carries: one of the two keys at most is set. */
struct vs_vlan_config {
	uint32_t vlan;            /* 0: not set */
	struct vs_vlan_set trunk; /* empty: not set */
	bool isolate;
};

/* [port NAME]: a member. */
struct vs_server_port_config {
	char name[VS_CONFIG_NAME_MAX + 1];
	unsigned line;
	uint8_t public_key[VS_KEY_SIZE];
	uint8_t preshared_key[VS_KEY_SIZE]; /* zero: none */
	uint32_t max_clients;
	uint32_t mac_limit; /* 0: none */
	int cipher;         /* enum vs_cipher_choice */
	int congestion;     /* enum vs_congestion_kind */
	uint32_t lanes;
	uint64_t keepalive_usec;
	uint64_t max_age_usec; /* 0: never give a frame up */
	uint32_t mtu;
	struct vs_transport_config transport;
	struct vs_vlan_config vlans;
};

/* A TCP port to listen on, which has a default that may be missing. */
struct vs_server_conn_port {
	uint32_t wanted; /* as in the file; VS_SERVER_PORT_NOT_SET */
	uint32_t port;   /* 0: off */
	bool is_default;
};

/* [tap NAME]: a device of the server itself. */
struct vs_server_tap_config {
	char name[VS_CONFIG_NAME_MAX + 1];
	unsigned line;
	struct vs_tap_config tap;
	struct vs_vlan_config vlans;
};

/* [listen NAME]: for plain peers. */
struct vs_server_listen_config {
	char name[VS_CONFIG_NAME_MAX + 1];
	unsigned line;
	int protocol; /* enum vs_plain_kind */
	struct vs_addr_list bind_addr; /* none: all of IPv4 and IPv6 */
	uint32_t bind_port;
	struct vs_cidr_list allow;
	uint32_t max_clients;
	uint32_t mac_limit; /* of each client; 0: none */
	struct vs_vlan_config vlans;
};

struct vs_server_config {
	struct vs_addr_list bind_addr; /* none: all of IPv4 and IPv6 */
	uint32_t bind_port;
	struct vs_server_conn_port faketcp_port, tcp_port;
	struct vs_identity_config identity;
	struct vs_endpoint public_addr; /* host "": not set; port 0: bind_port */
	struct vs_log_config log;
	char control[VS_CONFIG_PATH_MAX];
	char user[VS_SERVER_USER_MAX + 1];
	uint32_t mac_entries;
	uint64_t mac_aging_usec;
	uint32_t workers; /* 0: one for each core */
	uint64_t buffer_max;
	int weakest_cipher; /* enum vs_protection */
	struct vs_server_port_config port_defaults;
	struct vs_server_port_config *ports;
	size_t n_ports;
	struct vs_server_tap_config *taps;
	size_t n_taps;
	struct vs_server_listen_config *listens;
	size_t n_listens;
};

extern const struct vs_schema vs_server_schema;

/* Reads and checks the file at `path` and the key file that it names. 0, -EINVAL or another -errno, with what is wrong
 * in `complaints`; *config is to be given to vs_server_config_fini() in any case. */
int vs_server_config_load(struct vs_server_config *config, const char *path, const struct vs_opener *opener,
			  struct vs_complaints *complaints) VS_MUST_CHECK;

/* The same for a text that stands for the file at `path`. */
int vs_server_config_parse(struct vs_server_config *config, const char *path, const char *text, size_t len,
			   const struct vs_opener *opener, struct vs_complaints *complaints) VS_MUST_CHECK;

/* Wipes and frees. */
void vs_server_config_fini(struct vs_server_config *config);

/* NULL: no such port. Borrowed from the configuration. */
const struct vs_server_port_config *vs_server_config_port(const struct vs_server_config *config, const char *name);
const struct vs_server_port_config *vs_server_config_port_by_key(const struct vs_server_config *config,
								 const uint8_t public_key[VS_KEY_SIZE]);
const struct vs_server_tap_config *vs_server_config_tap(const struct vs_server_config *config, const char *name);

const struct vs_server_listen_config *vs_server_config_listen(const struct vs_server_config *config, const char *name);

/* The keys of a port, in the order of its table: bit numbers of vs_server_port_diff(). */
enum vs_server_port_key {
	VS_PORT_PUBLIC_KEY,
	VS_PORT_PRESHARED_KEY,
	VS_PORT_MAX_CLIENTS,
	VS_PORT_MAC_LIMIT,
	VS_PORT_CIPHER,
	VS_PORT_CONGESTION,
	VS_PORT_LANES,
	VS_PORT_KEEPALIVE,
	VS_PORT_MAX_AGE,
	VS_PORT_MTU,
	VS_PORT_KEYS,
	/* The keys of struct vs_vlan_config follow. */
	VS_PORT_VLAN = VS_PORT_KEYS,
	VS_PORT_TRUNK,
	VS_PORT_ISOLATE,
	/* The keys of struct vs_transport_config follow: enum vs_transport_key. */
	VS_PORT_TRANSPORT,
	VS_PORT_KEYS_ALL = VS_PORT_TRANSPORT + VS_TRANSPORT_KEYS,
};

/* What ends a link when it changes, so that the client dials in again. */
#define VS_PORT_END_MASK (UINT64_C(1) << VS_PORT_PUBLIC_KEY | UINT64_C(1) << VS_PORT_PRESHARED_KEY)

/* What a handshake carries: it changes under a live link, by a handshake that resumes it. A profile and a preset show in
 * the keys that they stand for. The rest is the switch's own. */
#define VS_PORT_TERMS_MASK                                                                                         \
	(UINT64_C(1) << VS_PORT_CIPHER | UINT64_C(1) << VS_PORT_CONGESTION | UINT64_C(1) << VS_PORT_LANES |        \
	 UINT64_C(1) << VS_PORT_KEEPALIVE | UINT64_C(1) << VS_PORT_MAX_AGE | UINT64_C(1) << VS_PORT_MTU |          \
	 (((UINT64_C(1) << VS_TRANSPORT_KEYS) - 1) << VS_PORT_TRANSPORT &                                          \
	  ~(UINT64_C(1) << (VS_PORT_TRANSPORT + VS_TRANSPORT_PROFILE)) &                                           \
	  ~(UINT64_C(1) << (VS_PORT_TRANSPORT + VS_TRANSPORT_PRESET))))

/* The keys that differ, as bits of enum vs_server_port_key. 0: the ports are configured alike (whatever their names
 * and lines). */
uint64_t vs_server_port_diff(const struct vs_server_port_config *a, const struct vs_server_port_config *b);

static inline bool vs_server_port_equal(const struct vs_server_port_config *a, const struct vs_server_port_config *b)
{
	return vs_server_port_diff(a, b) == 0;
}

/* Whether two TAPs have devices that are configured alike, whatever their VLANs; one that has not must be made anew. */
bool vs_server_tap_equal(const struct vs_server_tap_config *a, const struct vs_server_tap_config *b);
/* Whether two listeners are configured alike. */
bool vs_server_listen_equal(const struct vs_server_listen_config *a, const struct vs_server_listen_config *b);
bool vs_vlan_config_equal(const struct vs_vlan_config *a, const struct vs_vlan_config *b);

/* The keys of [common] that differ between two configurations and take effect only at the next start; returns how many.
 * (What a reload can apply at once: the log, mac_aging, public_addr, weakest_cipher.) */
size_t vs_server_config_fixed_changes(const struct vs_server_config *a, const struct vs_server_config *b,
				      const char *keys[VS_SERVER_FIXED_MAX]);

/* Takes over from a fresh configuration what a reload can apply, and leaves there what it replaces. What takes effect
 * only at a start stays: *config goes on being what the server runs by. */
void vs_server_config_adopt(struct vs_server_config *config, struct vs_server_config *fresh);

/* The rule by which the switch treats the port's frames. */
struct vs_vlan_rule vs_vlan_config_rule(const struct vs_vlan_config *vlans);

#endif
