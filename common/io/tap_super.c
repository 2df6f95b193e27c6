#include "io/tap_super.h"

#include <errno.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/gso.h"
#include "io/tap.h"

/* Room for the largest frame that the kernel hands over, and some by which a larger one would show: it cuts what is
 * longer than the device's gso_max_size, which for a TAP is 64 KiB and cannot be raised. */
#define LARGE (66 << 10)

/* What is longer is not copied out of the buffer in which it has landed: there is no smaller one that would hold it. */
#define COPY_MAX (32 << 10)

_Static_assert(VS_VNET_SIZE <= VS_FRAME_HEADROOM, "the virtio-net header fits in front of a frame");

bool vs_tap_has_super(int fd)
{
	struct ifreq request = { 0 };
	return ioctl(fd, TUNGETIFF, &request) == 0 && request.ifr_flags & IFF_VNET_HDR;
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

/* Takes a frame from the device for which there is no buffer, or the descriptor would stay readable. An errno. */
static int discard(int fd, struct vs_drops *drops)
{
	uint8_t header[VS_VNET_SIZE]; /* for less the kernel fails with EINVAL */
	if (read(fd, header, sizeof(header)) < 0)
		return errno;
	vs_drop(drops, VS_DROP_NO_BUFFER);
	return ENOBUFS;
}

/* Reads a frame with its virtio-net header, which comes to lie in the headroom. Its length; or, negative, -errno. */
static int land(int fd, struct vs_frame *landing, struct vs_drops *drops)
{
	size_t room = VS_VNET_SIZE + LARGE;
	ssize_t n;
	do {
		n = read(fd, vs_frame_bytes(landing) - VS_VNET_SIZE, room);
	} while (n < 0 && errno == EINTR);
	if (n < 0)
		return -errno;
	if ((size_t)n == room) {
		vs_drop(drops, VS_DROP_GIANT);
		return -ENOBUFS;
	}
	return n < VS_VNET_SIZE ? -ENODEV : (int)n - VS_VNET_SIZE;
}

/* What has landed, in a frame that is not larger than it need be. NULL: the pool is exhausted. */
static struct vs_frame *take(struct vs_frame **landing, uint32_t len, struct vs_pool *pool)
{
	struct vs_frame *frame = *landing;
	if (len > COPY_MAX) {
		*landing = NULL;
		frame->len = len;
		return frame;
	}
	frame = vs_frame_new(pool, len);
	if (frame)
		memcpy(vs_frame_bytes(frame), vs_frame_cbytes(*landing), len);
	return frame;
}

struct vs_frame *vs_tap_super_read(int fd, struct vs_pool *pool, struct vs_frame **landing, struct vs_drops *drops,
				   int *error)
{
	if (!*landing)
		*landing = vs_frame_new(pool, LARGE);
	int len = *landing ? land(fd, *landing, drops) : -discard(fd, drops);
	if (len < 0) {
		*error = vs_tap_is_gone(len) || len == -EIO ? -ENODEV : len;
		return NULL;
	}
	uint8_t raw[VS_VNET_SIZE];
	memcpy(raw, vs_frame_cbytes(*landing) - VS_VNET_SIZE, sizeof(raw));
	struct vs_frame *frame = take(landing, (uint32_t)len, pool);
	*error = -ENOBUFS;
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

/* One part costs the kernel less than two: the header goes in front of the frame, where nobody else reads it. */
static ssize_t write_frame(int fd, struct vs_frame *frame)
{
	static const uint8_t complete[VS_VNET_SIZE];
	const uint8_t *header = frame->super ? frame->vnet : complete;
	if (vs_frame_is_shared(frame) || frame->offset < VS_VNET_SIZE) {
		struct iovec parts[] = {
			{ .iov_base = (void *)(uintptr_t)header, .iov_len = VS_VNET_SIZE },
			{ .iov_base = vs_frame_bytes(frame), .iov_len = frame->len },
		};
		return writev(fd, parts, VS_ARRAY_SIZE(parts));
	}
	uint8_t *at = vs_frame_bytes(frame) - VS_VNET_SIZE;
	memcpy(at, header, VS_VNET_SIZE);
	return write(fd, at, VS_VNET_SIZE + frame->len);
}

/* What to make of the errno of a write, of which `count` frames are lost. */
static int lose(uint32_t count, struct vs_drops *drops)
{
	int err = vs_tap_is_gone(-errno) ? -ENODEV : 0;
	for (uint32_t i = 0; i < count; i++)
		vs_drop(drops, VS_DROP_TAP_WRITE);
	return err;
}

int vs_tap_super_write(int fd, struct vs_frame *frame, struct vs_drops *drops)
{
	ssize_t n;
	do {
		n = write_frame(fd, frame);
	} while (n < 0 && errno == EINTR);
	if (n >= 0)
		return 0;
	return frame->super && errno == EINVAL ? -EINVAL : lose(1, drops);
}

int vs_tap_super_write_run(int fd, struct vs_gro *run, struct vs_drops *drops)
{
	struct iovec parts[VS_GRO_PARTS_MAX];
	int count = (int)vs_gro_parts(run, parts);
	ssize_t n;
	do {
		n = writev(fd, parts, count);
	} while (n < 0 && errno == EINTR);
	if (n >= 0)
		return 0;
	return errno == EINVAL ? -EINVAL : lose(run->count, drops);
}
