/* How a port's links travel: the keys of [port NAME] that a handshake carries beyond cipher and congestion control, with
 * the profiles and presets that stand for several of them, and the policy that they make. Included by schema.h. */
#ifndef VSWITCHS_SCHEMA_TRANSPORT_H
#define VSWITCHS_SCHEMA_TRANSPORT_H

#include <stdbool.h>
#include <stdint.h>

#include "io/schema.h"
#include "io/value.h"
#include "link/params.h"

struct vs_transport_config {
	int profile, preset; /* 0: none; what they stand for is in the other members */
	int mode;            /* enum vs_mode */
	struct vs_fec_value fec, fec_up; /* fec_up not set: as fec */
	uint32_t fec_max;    /* percent */
	bool nodelay;
	uint64_t interval_usec;
	uint32_t resend, sndwnd, rcvwnd;
	uint32_t carriers;   /* set of enum vs_carrier_kind */
};

/* The keys, in the order of their table. */
enum vs_transport_key {
	VS_TRANSPORT_PROFILE,
	VS_TRANSPORT_MODE,
	VS_TRANSPORT_CARRIER,
	VS_TRANSPORT_FEC,
	VS_TRANSPORT_FEC_UP,
	VS_TRANSPORT_FEC_MAX,
	VS_TRANSPORT_PRESET,
	VS_TRANSPORT_NODELAY,
	VS_TRANSPORT_INTERVAL,
	VS_TRANSPORT_RESEND,
	VS_TRANSPORT_SNDWND,
	VS_TRANSPORT_RCVWND,
	VS_TRANSPORT_KEYS,
};

extern const struct vs_schema_key vs_transport_keys[VS_TRANSPORT_KEYS];

/* Sets what the keys say in a policy. */
void vs_transport_set_policy(const struct vs_transport_config *config, struct vs_policy *policy);

#endif
