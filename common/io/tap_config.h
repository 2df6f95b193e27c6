/* What a configuration file says of a TAP device: the same for a [tap NAME] of the server and the [tap] of a client
 * (io/schema_common.h). */
#ifndef VS_IO_TAP_CONFIG_H
#define VS_IO_TAP_CONFIG_H

#include <stdint.h>

#include "io/config.h"
#include "io/value.h"
#include "switch/eth.h"

enum vs_tap_offload {
	VS_TAP_OFFLOAD_AUTO, /* super-frames, if the kernel has them */
	VS_TAP_OFFLOAD_OFF,
};

struct vs_tap_config {
	char device[VS_IFNAME_MAX + 1];
	struct vs_mac mac; /* zero: made from the key */
	uint32_t mtu;
	int offload; /* enum vs_tap_offload */
	struct vs_cidr_list address;
	struct vs_route_list route;
	char bridge[VS_IFNAME_MAX + 1]; /* "": none */
	char up[VS_CONFIG_PATH_MAX];    /* absolute; "": none */
	char down[VS_CONFIG_PATH_MAX];
};

#endif
