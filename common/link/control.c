#include "link/control.h"

#include <errno.h>

#include "base/bytes.h"

size_t vs_control_encode(const struct vs_control *control, uint8_t out[VS_CONTROL_ENCODED_MAX])
{
	size_t len = 0;
	if (control->close) {
		out[len++] = VS_CONTROL_CLOSE;
		out[len++] = 1;
		out[len++] = control->close;
	}
	if (control->renew) {
		out[len++] = VS_CONTROL_RENEW;
		out[len++] = 0;
	}
	return len;
}

static bool decode_close(struct vs_control *out, struct vs_view value)
{
	uint8_t reason = vs_view_u8(&value);
	if (reason == 0)
		return false;
	if (out->close == 0)
		out->close = reason;
	return true;
}

static bool decode_entry(struct vs_control *out, struct vs_view *view)
{
	uint8_t type = vs_view_u8(view);
	uint8_t len = vs_view_u8(view);
	const uint8_t *value = vs_view_pull(view, len);
	if (!value)
		return false;
	switch (type) {
	case VS_CONTROL_CLOSE:
		return decode_close(out, vs_view_of(value, len));
	case VS_CONTROL_RENEW:
		out->renew = true;
		return true;
	default:
		return true;
	}
}

int vs_control_decode(struct vs_control *out, const void *data, size_t len, struct vs_drops *drops)
{
	struct vs_view view = vs_view_of(data, len);
	*out = (struct vs_control){ .close = 0 };
	while (view.len > 0) {
		if (!decode_entry(out, &view)) {
			*out = (struct vs_control){ .close = 0 };
			vs_drop(drops, VS_DROP_BAD_CONTROL);
			return -EBADMSG;
		}
	}
	return 0;
}

const char *vs_close_reason_text(uint8_t reason)
{
	switch (reason) {
	case VS_CLOSE_SHUTDOWN:
		return "the peer is stopping";
	case VS_CLOSE_KICKED:
		return "ended by an operator";
	case VS_CLOSE_REVOKED:
		return "the key no longer names a port";
	case VS_CLOSE_REPLACED:
		return "a newer client took the place";
	case VS_CLOSE_ERROR:
		return "protocol error";
	default:
		return "unknown reason";
	}
}
