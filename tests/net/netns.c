#include "netns.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/compiler.h"

VS_PRINTF(1, 2) _Noreturn static void skip(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	printf("1..0 # SKIP ");
	vprintf(fmt, ap);
	printf("\n");
	va_end(ap);
	exit(VS_TEST_SKIP);
}

VS_PRINTF(2, 3) static void put(const char *path, const char *fmt, ...)
{
	char text[64];
	va_list ap;

	va_start(ap, fmt);
	int len = vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0 || write(fd, text, (size_t)len) != len)
		skip("%s: %s", path, strerror(errno));
	close(fd);
}

static void raise_loopback(void)
{
	struct ifreq request = { .ifr_name = "lo", .ifr_flags = IFF_UP | IFF_RUNNING };
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	if (fd < 0 || ioctl(fd, SIOCSIFFLAGS, &request) < 0)
		skip("lo: %s", strerror(errno));
	close(fd);
}

void vs_netns_enter(void)
{
	unsigned uid = geteuid(), gid = getegid();

	if (unshare(CLONE_NEWUSER | CLONE_NEWNET) < 0)
		skip("no namespaces here: %s", strerror(errno));
	put("/proc/self/setgroups", "deny");
	put("/proc/self/uid_map", "0 %u 1", uid);
	put("/proc/self/gid_map", "0 %u 1", gid);
	raise_loopback();
	int fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC);
	if (fd < 0)
		skip("/dev/net/tun: %s", strerror(errno));
	close(fd);
}

static void require(int result, const char *what, const char *device)
{
	if (result == 0)
		return;
	fprintf(stderr, "%s %s: %s\n", what, device, strerror(errno));
	exit(EXIT_FAILURE);
}

void vs_netns_raise(int control, const char *device)
{
	struct ifreq request = { .ifr_flags = IFF_UP };

	strcpy(request.ifr_name, device);
	require(ioctl(control, SIOCSIFFLAGS, &request), "raise", device);
}

void vs_netns_add_bridge(int control, const char *bridge)
{
	if (ioctl(control, SIOCBRADDBR, bridge) < 0)
		skip("no bridge here: %s", strerror(errno));
	vs_netns_raise(control, bridge);
}

void vs_netns_join_bridge(int control, const char *bridge, const char *device)
{
	struct ifreq request = { .ifr_ifindex = (int)if_nametoindex(device) };

	strcpy(request.ifr_name, bridge);
	require(ioctl(control, SIOCBRADDIF, &request), "join the bridge", device);
	vs_netns_raise(control, device);
}
