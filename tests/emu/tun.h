/* A TUN device in a network namespace, for the emulator's two ends. */
#ifndef VS_TEST_TUN_H
#define VS_TEST_TUN_H

#include <net/if.h>
#include <stdint.h>

#include "base/compiler.h"

#define VS_TUN_NETNS_MAX 128

struct vs_tun {
	char netns[VS_TUN_NETNS_MAX]; /* a name under /run/netns, a process id, a path; "": the caller's */
	char device[IFNAMSIZ];
	int fd;
};

/* Splits "NETNS:DEVICE" or "DEVICE". 0 or -EINVAL. */
int vs_tun_parse(struct vs_tun *tun, const char *text) VS_MUST_CHECK;

/* Opens the device, making it if there is none, and brings it up; the descriptor is non-blocking. The device goes away
 * with the descriptor unless it was made persistent by somebody else. An MTU of 0 leaves the device's as it is.
 * 0 or -errno of the step that failed, which `step` names (static text). */
int vs_tun_open(struct vs_tun *tun, uint32_t mtu, const char **step) VS_MUST_CHECK;

#endif
