/* KCP's knobs, by KCP's names, as a port's configuration and the handshake have them; both ends apply them to what they
 * send. A value that is copied. Their meaning is KCP's, mapped onto an engine that detects losses by time (link/arq_tx.h,
 * link/arq_rx.h):
 *
 *   nodelay   a probe timeout allows for less and grows by half, not twofold, from one to the next
 *   interval  the longest that an acknowledgement is held back; KCP's is the tick at which it flushes, ours has none
 *   resend    a segment is sent again when so many that were sent later have arrived, before time tells; 0: time alone
 *   sndwnd    segments that the sender keeps in flight in a lane, at most
 *   rcvwnd    segments that the receiver advertises room for in a lane, at most
 *
 * KCP's nc is `congestion = none` (link/congestion.h). The defaults are those of an engine without knobs. */
#ifndef VS_LINK_KCP_CONFIG_H
#define VS_LINK_KCP_CONFIG_H

#include <stdbool.h>
#include <stdint.h>

#include "link/wire.h"

struct vs_kcp_config {
	bool nodelay;
	uint16_t interval_msec; /* 1 ... VS_KCP_INTERVAL_MAX */
	uint8_t resend;         /* 0: off; at most VS_KCP_RESEND_MAX */
	uint16_t sndwnd, rcvwnd; /* VS_WINDOW_MIN ... VS_WINDOW_MAX */
};

#define VS_KCP_INTERVAL_MAX 100
#define VS_KCP_INTERVAL_DEFAULT 5
#define VS_KCP_RESEND_MAX 32

static inline struct vs_kcp_config vs_kcp_config_default(void)
{
	return (struct vs_kcp_config){
		.interval_msec = VS_KCP_INTERVAL_DEFAULT,
		.sndwnd = VS_WINDOW_MAX,
		.rcvwnd = VS_WINDOW_MAX,
	};
}

/* Whether every member is in its range. */
static inline bool vs_kcp_config_valid(const struct vs_kcp_config *config)
{
	return config->interval_msec >= 1 && config->interval_msec <= VS_KCP_INTERVAL_MAX &&
	       config->resend <= VS_KCP_RESEND_MAX && config->sndwnd >= VS_WINDOW_MIN &&
	       config->sndwnd <= VS_WINDOW_MAX && config->rcvwnd >= VS_WINDOW_MIN &&
	       config->rcvwnd <= VS_WINDOW_MAX;
}

#endif
