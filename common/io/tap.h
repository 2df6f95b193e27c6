/* TAP devices: opening, setting up as the configuration says, and moving frames.
 *
 * A device is not persistent: it lives as long as somebody has its descriptor open, so that nothing is left behind
 * whichever way a program ends. Opening and setting up is the broker's work; reading and writing needs no privilege.
 * The kernel is asked for plain Ethernet frames (IFF_NO_PI). */
#ifndef VS_IO_TAP_H
#define VS_IO_TAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/compiler.h"
#include "base/drop.h"
#include "base/frame.h"
#include "io/fault.h"
#include "io/tap_config.h"
#include "link/wire.h"
#include "switch/eth.h"

/* Frames that the kernel keeps for us when we do not read. They wait there without regard to flows, so a bulk transfer
 * that keeps this queue full delays everything else: at 64 frames a ping waits a quarter as long as at 256, and bulk
 * throughput is the same within its noise. */
#define VS_TAP_QUEUE_LEN 64

/* Opens (creates) the device, with super-frames (io/tap_super.h) if `offload`. A non-blocking descriptor, or -errno:
 * -ENOENT or -ENODEV: the kernel has no TUN/TAP; -EPERM or -EACCES: no privilege; -EBUSY, -EEXIST: the name is in use;
 * -EINVAL: it is no name of a device. */
int vs_tap_open(const char *device, bool offload, struct vs_fault *fault) VS_MUST_CHECK;

/* Opens the device of the configuration and sets it up: MAC address (unless it is zero), MTU, queue, bridge, link up,
 * addresses, routes. On any error there is no device. A descriptor, or -errno as vs_tap_open() and io/netif.h. */
int vs_tap_create(const struct vs_tap_config *config, uint32_t queue_len, struct vs_fault *fault) VS_MUST_CHECK;

/* Whether a negative errno of reading or writing says that the device was deleted. EBADFD is the kernel's word for that.
 * EIO on reading is the same, at an earlier stage of the deletion; on writing it means that the interface is down. */
bool vs_tap_is_gone(int err);

/* The MAC address that a device gets: the one configured, else one made from the owner's public key and a name ("": the
 * owner has one device only), so that it stays the same from start to start. */
struct vs_mac vs_tap_mac(const struct vs_tap_config *config, const uint8_t public_key[VS_KEY_SIZE], const char *name);

/* A stable MAC address, locally administered and of one station (IEEE 802-2014 section 8.2), from a digest of what
 * identifies the device (its key, its name). */
void vs_tap_mac_from_key(const uint8_t digest[32], struct vs_mac *out);

/* Reads the next frame into `frame`, which must have room for the MTU, the Ethernet header, a tag and one byte more;
 * sets its length. A frame that fills the room was cut off, as when somebody has raised the MTU: it is counted as
 * dropped. 0; -EMSGSIZE: dropped; -EAGAIN: none waiting; -ENODEV: somebody has deleted the device; -errno. */
int vs_tap_read(int fd, struct vs_frame *frame, struct vs_drops *drops) VS_MUST_CHECK;

/* Hands a frame to the kernel; the reference stays the caller's. A frame that it does not take, as when the interface
 * is down, is counted as dropped. 0 (written or dropped), or -ENODEV: somebody has deleted the device. */
int vs_tap_write(int fd, const struct vs_frame *frame, struct vs_drops *drops) VS_MUST_CHECK;

#endif
