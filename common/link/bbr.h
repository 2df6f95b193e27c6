/* The model-based congestion controller: BBR, version 1's model (draft-cardwell-iccrg-bbr-congestion-control-00) with
 * changes that a user-space tunnel over lossy lines needs; bbr.c says which and why. Used through link/congestion.h. */
#ifndef VS_LINK_BBR_H
#define VS_LINK_BBR_H

#include "link/congestion_ops.h"

extern const struct vs_congestion_ops vs_bbr_ops;

#endif
