#include "link/segment.h"

void vs_segment_encode(const struct vs_segment *seg, uint8_t *out)
{
	vs_put_le32(out, seg->conv);
	out[4] = seg->cmd;
	out[5] = seg->frg;
	vs_put_le16(out + 6, seg->wnd);
	vs_put_le32(out + 8, seg->ts);
	vs_put_le32(out + 12, seg->sn);
	vs_put_le32(out + 16, seg->una);
	vs_put_le32(out + 20, seg->len);
}

bool vs_segment_decode(struct vs_view *view, struct vs_segment *seg)
{
	const uint8_t *p = vs_view_pull(view, VS_SEGMENT_HEADER);
	if (!p)
		return false;
	*seg = (struct vs_segment){
		.conv = vs_get_le32(p),
		.cmd = p[4],
		.frg = p[5],
		.wnd = vs_get_le16(p + 6),
		.ts = vs_get_le32(p + 8),
		.sn = vs_get_le32(p + 12),
		.una = vs_get_le32(p + 16),
		.len = vs_get_le32(p + 20),
	};
	if (seg->cmd < VS_CMD_PUSH || seg->cmd > VS_CMD_SKIP)
		return false;
	seg->data = vs_view_pull(view, seg->len);
	return seg->data != NULL;
}
