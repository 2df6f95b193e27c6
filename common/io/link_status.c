#include "io/link_status.h"

static void add_fec(json_t *row, const struct vs_params *params, const struct vs_link_stats *stats, bool initiator)
{
	const struct vs_fec_config *ours = initiator ? &params->fec_up : &params->fec_down;
	const struct vs_fec_config *peers = initiator ? &params->fec_down : &params->fec_up;
	char text[VS_FEC_TEXT_MAX];

	json_object_set_new(row, "fec", json_string(vs_fec_format(ours, text)));
	json_object_set_new(row, "fec_peer", json_string(vs_fec_format(peers, text)));
	json_object_set_new(row, "fec_share", json_real((double)stats->fec_share_q16 / 65536.0));
	json_object_set_new(row, "fec_recovered", json_integer((json_int_t)stats->fec_recovered));
	json_object_set_new(row, "fec_unrecovered", json_integer((json_int_t)stats->fec_unrecovered));
}

void vs_link_status_add(json_t *row, const struct vs_params *params, const struct vs_link_stats *stats,
			bool initiator)
{
	const struct vs_kcp_config *kcp = &params->kcp;

	json_object_set_new(row, "mode", json_string(vs_mode_name(params->mode)));
	add_fec(row, params, stats, initiator);
	json_object_set_new(row, "kcp",
			    json_pack("{s:b, s:i, s:i, s:i, s:i}", "nodelay", kcp->nodelay, "interval_msec",
				      (int)kcp->interval_msec, "resend", (int)kcp->resend, "sndwnd", (int)kcp->sndwnd,
				      "rcvwnd", (int)kcp->rcvwnd));
}
