/* How a link's sender protects its datagrams by forward error correction, as a port's configuration and the handshake
 * have it. A value that is copied; what it leads to is in link/fec_tx.h and link/fec_policy.h. */
#ifndef VS_LINK_FEC_CONFIG_H
#define VS_LINK_FEC_CONFIG_H

#include <stdbool.h>
#include <stdint.h>

#include "base/compiler.h"

/* Values travel in the handshake. */
enum vs_fec_kind {
	VS_FEC_OFF = 0,
	VS_FEC_FIXED = 1, /* m parities for k datagrams, always */
	VS_FEC_AUTO = 2,  /* as many as the peer's reports call for, up to overhead_max */
};

struct vs_fec_config {
	enum vs_fec_kind kind;
	uint8_t k, m;         /* FIXED: 1 ... VS_FEC_K_MAX, 1 ... VS_FEC_RATIO_MAX times k; else 0 */
	uint8_t overhead_max; /* AUTO: parity may be this many percent of the data; 1 ... VS_FEC_OVERHEAD_LIMIT */
};

#define VS_FEC_K_MAX 64
#define VS_FEC_M_MAX 64
#define VS_FEC_RATIO_MAX 4 /* m is at most so many times k: beyond, a second path would be the better use of bytes */
#define VS_FEC_OVERHEAD_LIMIT 200
#define VS_FEC_OVERHEAD_DEFAULT 60

/* The longest text of a configuration, "64:64", and its NUL. */
#define VS_FEC_TEXT_MAX 8

/* Whether every member is in its range. */
bool vs_fec_config_valid(const struct vs_fec_config *config);

bool vs_fec_config_equal(const struct vs_fec_config *a, const struct vs_fec_config *b);

/* Reads "off", "auto" or "K:M" into kind, k and m; overhead_max is left as it is, and set to the default if it was 0.
 * 0, or -EINVAL: something else, or K or M out of range; *out is then as it was. */
int vs_fec_parse(const char *text, struct vs_fec_config *out) VS_MUST_CHECK;

/* Writes the text that vs_fec_parse() reads; returns `out`. */
const char *vs_fec_format(const struct vs_fec_config *config, char out[VS_FEC_TEXT_MAX]);

#endif
