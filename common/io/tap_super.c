#include "io/tap_super.h"

#include <errno.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/uio.h>
#include <unistd.h>

#include "io/tap.h"
#include "switch/gso.h"

/* Bytes that are read straight into a frame: an ordinary one needs no second copy. */
#define DIRECT 1522

bool vs_tap_has_super(int fd)
{
	struct ifreq request = { 0 };
	return ioctl(fd, TUNGETIFF, &request) == 0 && request.ifr_flags & IFF_VNET_HDR;
}

/* A frame of the right size for what was read into `direct` and, beyond it, into `spill`. Takes over `direct`. */
static struct vs_frame *gather(struct vs_frame *direct, const uint8_t *spill, uint32_t len, struct vs_pool *pool)
{
	if (len <= DIRECT) {
		direct->len = len;
		return direct;
	}
	struct vs_frame *frame = vs_frame_new(pool, len);
	if (frame) {
		memcpy(vs_frame_bytes(frame), vs_frame_cbytes(direct), DIRECT);
		memcpy(vs_frame_bytes(frame) + DIRECT, spill, len - DIRECT);
	}
	vs_frame_unref(direct);
	return frame;
}

/* Makes a super-frame of what is one, and completes what is not. False: the header makes no sense. */
static bool describe(struct vs_frame *frame, const uint8_t raw[VS_VNET_SIZE])
{
	struct vs_vnet vnet;
	vs_vnet_decode(raw, &vnet);
	if (vnet.gso_type != VS_GSO_NONE) {
		frame->super = true;
		vnet.flags &= VS_VNET_NEEDS_CSUM;
		vs_vnet_encode(&vnet, frame->vnet);
		return vs_gso_sanitize(frame);
	}
	return !(vnet.flags & VS_VNET_NEEDS_CSUM) || vs_csum_complete(vs_frame_bytes(frame), frame->len, &vnet);
}

struct vs_frame *vs_tap_super_read(int fd, struct vs_pool *pool, uint8_t *spill, struct vs_drops *drops, int *error)
{
	uint8_t raw[VS_VNET_SIZE];
	struct vs_frame *frame = vs_frame_new(pool, DIRECT);
	struct iovec parts[] = {
		{ .iov_base = raw, .iov_len = sizeof(raw) },
		{ .iov_base = frame ? vs_frame_bytes(frame) : spill, .iov_len = DIRECT },
		{ .iov_base = spill, .iov_len = VS_FRAME_MAX - DIRECT },
	};
	ssize_t n;
	do {
		n = readv(fd, parts, VS_ARRAY_SIZE(parts));
	} while (n < 0 && errno == EINTR);
	if (n < (ssize_t)sizeof(raw)) {
		*error = n >= 0 || vs_tap_is_gone(-errno) || errno == EIO ? -ENODEV : -errno;
		vs_frame_unref(frame);
		return NULL;
	}
	*error = -ENOBUFS;
	if (frame)
		frame = gather(frame, spill, (uint32_t)(n - (ssize_t)sizeof(raw)), pool);
	if (!frame) {
		vs_drop(drops, VS_DROP_NO_BUFFER);
		return NULL;
	}
	if (!describe(frame, raw)) {
		vs_drop(drops, VS_DROP_BAD_OFFLOAD);
		vs_frame_unref(frame);
		return NULL;
	}
	*error = 0;
	return frame;
}

int vs_tap_super_write(int fd, const struct vs_frame *frame, struct vs_drops *drops)
{
	static const uint8_t complete[VS_VNET_SIZE];
	struct iovec parts[] = {
		{ .iov_base = (void *)(uintptr_t)(frame->super ? frame->vnet : complete), .iov_len = VS_VNET_SIZE },
		{ .iov_base = (void *)(uintptr_t)vs_frame_cbytes(frame), .iov_len = frame->len },
	};
	ssize_t n;
	do {
		n = writev(fd, parts, VS_ARRAY_SIZE(parts));
	} while (n < 0 && errno == EINTR);
	if (n >= 0)
		return 0;
	if (frame->super && errno == EINVAL)
		return -EINVAL;
	vs_drop(drops, VS_DROP_TAP_WRITE);
	return vs_tap_is_gone(-errno) ? -ENODEV : 0;
}
