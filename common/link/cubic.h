/* The loss-based congestion controller: CUBIC (RFC 9438) with HyStart++ (RFC 9406), paced. For lines that are shared
 * with others that run CUBIC and where equal shares matter more than delay. Used through link/congestion.h. */
#ifndef VS_LINK_CUBIC_H
#define VS_LINK_CUBIC_H

#include "link/congestion_ops.h"

extern const struct vs_congestion_ops vs_cubic_ops;

#endif
