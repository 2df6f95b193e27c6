#include "io/tap.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "io/netif.h"
#include "link/crypto.h"

#define TUN_PATH "/dev/net/tun"

/* Linux 6.2; the headers of older systems lack them. */
#ifndef TUN_F_USO4
#define TUN_F_USO4 0x20
#define TUN_F_USO6 0x40
#endif

/* --- Opening ------------------------------------------------------------------------------------------------------ */

static int explain_no_tun(const char *device, int err, struct vs_fault *fault)
{
	switch (err) {
	case -ENOENT:
	case -ENODEV:
	case -ENXIO:
		return vs_fault(fault, err, "TAP device '%s': this host has no " TUN_PATH " (try 'modprobe tun'; "
				"a container needs '--device " TUN_PATH "')", device);
	case -EACCES:
	case -EPERM:
		return vs_fault(fault, err, "TAP device '%s': not allowed to open " TUN_PATH " (this needs root, or "
				"access to the file and CAP_NET_ADMIN)", device);
	default:
		return vs_fault(fault, err, "TAP device '%s': " TUN_PATH ": %s", device, strerror(-err));
	}
}

static int explain_refusal(const char *device, int err, struct vs_fault *fault)
{
	switch (err) {
	case -EPERM:
		return vs_fault(fault, err, "TAP device '%s': making one needs CAP_NET_ADMIN (run as root)", device);
	case -EBUSY:
		return vs_fault(fault, err, "TAP device '%s' is in use by another program", device);
	case -EINVAL:
		/* The kernel's answer for a device of another kind that has the name. */
		if (if_nametoindex(device))
			return vs_fault(fault, -EEXIST, "TAP device '%s': there is a device of that name, but no TAP",
					device);
		break;
	}
	return vs_fault(fault, err, "TAP device '%s': %s", device, strerror(-err));
}

/* The header in a fixed byte order and without num_buffers; then what the kernel may leave undone. Segments of UDP came
 * with Linux 6.2. */
static int enable_offloads(int fd)
{
	static const unsigned long tcp = TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6 | TUN_F_TSO_ECN;
	int size = VS_VNET_SIZE, little_endian = 1;
	if (ioctl(fd, TUNSETVNETHDRSZ, &size) < 0 || ioctl(fd, TUNSETVNETLE, &little_endian) < 0)
		return -errno;
	if (ioctl(fd, TUNSETOFFLOAD, tcp | TUN_F_USO4 | TUN_F_USO6) == 0 || ioctl(fd, TUNSETOFFLOAD, tcp) == 0)
		return 0;
	return -errno;
}

int vs_tap_open(const char *device, bool offload, struct vs_fault *fault)
{
	struct ifreq request = { .ifr_flags = IFF_TAP | IFF_NO_PI };

	if (!vs_ifname_valid(device))
		return vs_fault(fault, -EINVAL, "TAP device '%s': not a name of a device (at most %d characters, "
				"no '/' or blank)", device, VS_IFNAME_MAX);
	if (offload)
		request.ifr_flags |= IFF_VNET_HDR;
	strcpy(request.ifr_name, device);
	int fd = open(TUN_PATH, O_RDWR | O_NONBLOCK | O_CLOEXEC);
	if (fd < 0)
		return explain_no_tun(device, -errno, fault);
	if (ioctl(fd, TUNSETIFF, &request) < 0) {
		int err = -errno;
		close(fd);
		return explain_refusal(device, err, fault);
	}
	int err = offload ? enable_offloads(fd) : 0;
	if (err < 0) {
		close(fd);
		return vs_fault(fault, err, "TAP device '%s': offloads: %s (offload = off does without)", device,
				strerror(-err));
	}
	return fd;
}

/* --- Setting up --------------------------------------------------------------------------------------------------- */

/* The link first, since the kernel takes routes only through a link that is up. */
static int set_up(struct vs_netif *netif, const struct vs_tap_config *config, uint32_t queue_len,
		  struct vs_fault *fault)
{
	struct vs_netif_change change = {
		.mac = vs_mac_is_zero(&config->mac) ? NULL : &config->mac,
		.mtu = config->mtu,
		.queue_len = queue_len,
		.bridge = config->bridge[0] ? config->bridge : NULL,
		.up = true,
	};

	int err = vs_netif_change(netif, config->device, &change, fault);
	for (unsigned i = 0; err == 0 && i < config->address.n; i++)
		err = vs_netif_add_address(netif, config->device, &config->address.item[i], fault);
	for (unsigned i = 0; err == 0 && i < config->route.n; i++)
		err = vs_netif_add_route(netif, config->device, &config->route.item[i], fault);
	return err;
}

int vs_tap_create(const struct vs_tap_config *config, uint32_t queue_len, struct vs_fault *fault)
{
	struct vs_netif *netif;

	int fd = vs_tap_open(config->device, config->offload == VS_TAP_OFFLOAD_AUTO, fault);
	if (fd < 0)
		return fd;
	int err = vs_netif_open(&netif, fault);
	if (err == 0) {
		err = set_up(netif, config, queue_len, fault);
		vs_netif_close(netif);
	}
	if (err < 0) {
		close(fd);
		return err;
	}
	return fd;
}

void vs_tap_mac_from_key(const uint8_t digest[32], struct vs_mac *out)
{
	memcpy(out->octet, digest, sizeof(out->octet));
	out->octet[0] = (uint8_t)((out->octet[0] & ~0x01) | 0x02);
}

struct vs_mac vs_tap_mac(const struct vs_tap_config *config, const uint8_t public_key[VS_KEY_SIZE], const char *name)
{
	uint8_t digest[VS_HASH_SIZE];
	struct vs_mac mac = config->mac;
	struct iovec parts[] = {
		{ .iov_base = (void *)(uintptr_t)public_key, .iov_len = VS_KEY_SIZE },
		{ .iov_base = (void *)(uintptr_t)name, .iov_len = strlen(name) },
	};

	if (vs_mac_is_zero(&mac)) {
		vs_crypto_default()->sha256(digest, parts, VS_ARRAY_SIZE(parts));
		vs_tap_mac_from_key(digest, &mac);
	}
	return mac;
}

/* --- Frames ------------------------------------------------------------------------------------------------------- */

bool vs_tap_is_gone(int err)
{
	return err == -EBADFD || err == -ENODEV;
}

int vs_tap_read(int fd, struct vs_frame *frame, struct vs_drops *drops)
{
	size_t room = frame->capacity - frame->offset;
	ssize_t n;

	do {
		n = read(fd, vs_frame_bytes(frame), room);
	} while (n < 0 && errno == EINTR);
	if (n < 0)
		return vs_tap_is_gone(-errno) || errno == EIO ? -ENODEV : -errno;
	if ((size_t)n == room) {
		vs_drop(drops, VS_DROP_GIANT);
		return -EMSGSIZE;
	}
	frame->len = (uint32_t)n;
	return 0;
}

int vs_tap_write(int fd, const struct vs_frame *frame, struct vs_drops *drops)
{
	ssize_t n;

	do {
		n = write(fd, vs_frame_cbytes(frame), frame->len);
	} while (n < 0 && errno == EINTR);
	if (n >= 0)
		return 0;
	vs_drop(drops, VS_DROP_TAP_WRITE);
	return vs_tap_is_gone(-errno) ? -ENODEV : 0;
}
