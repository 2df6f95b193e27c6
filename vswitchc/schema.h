/* The client's configuration file: which sections and keys there are, and the structure that they fill.
 * `vswitchc config-help` prints the reference that the tables make. */
#ifndef VSWITCHC_SCHEMA_H
#define VSWITCHC_SCHEMA_H

#include <stdint.h>

#include "io/schema_common.h"
#include "link/wire.h"

#define VS_CLIENT_INI "/etc/vswitch/vswitchc.ini"
#define VS_CLIENT_DEVICE "vswitch0"
#define VS_CLIENT_USER_MAX 32
#define VS_CLIENT_CARRIER_AUTO VS_CARRIER_KINDS

struct vs_client_config {
	struct vs_endpoint_list server_addr; /* at least one, in order of preference; each with a port */
	uint32_t server_port;
	int carrier; /* enum vs_carrier_kind, or VS_CLIENT_CARRIER_AUTO */
	uint32_t faketcp_port, tcp_port; /* of the server; 0: by its UDP port, the same and the next */
	uint8_t server_public_key[VS_KEY_SIZE];
	struct vs_identity_config identity;
	uint8_t preshared_key[VS_KEY_SIZE]; /* zero: none */
	char bind_interface[VS_IFNAME_MAX + 1]; /* "": as routed */
	uint32_t fwmark;                        /* 0: none */
	uint32_t local_port;                    /* 0: any */
	struct vs_log_config log;
	char control[VS_CONFIG_PATH_MAX];
	char user[VS_CLIENT_USER_MAX + 1];
	int weakest_cipher; /* enum vs_protection */
	struct vs_tap_config tap;
};

extern const struct vs_schema vs_client_schema;

/* Reads and checks the file at `path` and the key file that it names. 0, -EINVAL or another -errno, with what is wrong
 * in `complaints`; *config is to be given to vs_client_config_fini() in any case. */
int vs_client_config_load(struct vs_client_config *config, const char *path, const struct vs_opener *opener,
			  struct vs_complaints *complaints) VS_MUST_CHECK;

/* The same for a text that stands for the file at `path`. */
int vs_client_config_parse(struct vs_client_config *config, const char *path, const char *text, size_t len,
			   const struct vs_opener *opener, struct vs_complaints *complaints) VS_MUST_CHECK;

/* Wipes. */
void vs_client_config_fini(struct vs_client_config *config);

#endif
