/* Super-frames of a TAP device that was opened with offloads: the kernel hands over TCP (and UDP) data in pieces of up
 * to 64 KiB that are still to be segmented and checksummed, and takes such pieces back, each described by a virtio-net
 * header (base/frame.h). One system call and one lookup in the switch then move what would be 44 frames.
 *
 * A frame that is none of these is complete when it leaves this room: a checksum that the kernel has left undone is
 * done here, so that nobody else has to know (some DHCP clients refuse packets without one). */
#ifndef VS_IO_TAP_SUPER_H
#define VS_IO_TAP_SUPER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/compiler.h"
#include "base/drop.h"
#include "base/frame.h"
#include "switch/gro.h"

/* Whether a TAP's descriptor speaks with virtio-net headers. */
bool vs_tap_has_super(int fd);

/* Reads the next frame into a frame of the pool. Its size is known only when it has been read, so it lands in a large
 * buffer that waits in *landing (NULL at first): a large frame keeps it, a small one is copied out of it. That costs
 * less than a second part of the read would. The buffer is the caller's, who gives it back to the pool in the end.
 *
 * NULL with *error: -EAGAIN: none waiting; -ENOBUFS: one was lost for want of a buffer, for its length or for a header
 * that makes no sense (counted in `drops`), go on; -ENODEV: the device is gone; -errno. */
struct vs_frame *vs_tap_super_read(int fd, struct vs_pool *pool, struct vs_frame **landing, struct vs_drops *drops,
				   int *error);

/* Hands a frame to the kernel; the reference stays the caller's. The headroom of a frame that nobody else refers to is
 * written to. 0 (written or dropped and counted); -EINVAL: the kernel does not take this kind of super-frame, which is
 * to be segmented first; -ENODEV. */
int vs_tap_super_write(int fd, struct vs_frame *frame, struct vs_drops *drops) VS_MUST_CHECK;

/* Hands a run of two frames or more to the kernel as one super-frame; the run stays. As vs_tap_super_write(). Of UDP
 * the kernel takes such since Linux 6.2, whatever the device's offloads are. */
int vs_tap_super_write_run(int fd, struct vs_gro *run, struct vs_drops *drops) VS_MUST_CHECK;

#endif
