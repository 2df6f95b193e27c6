#include "emu/tun.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/if_tun.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

/* Packets that the kernel keeps for us; far above what comes between two wake-ups, so that all loss is the model's. */
#define TX_QUEUE_LEN 10000

int vs_tun_parse(struct vs_tun *tun, const char *text)
{
	const char *colon = strrchr(text, ':');
	const char *device = colon ? colon + 1 : text;
	size_t len = colon ? (size_t)(colon - text) : 0;

	if (len >= sizeof(tun->netns) || !device[0] || strlen(device) >= sizeof(tun->device))
		return -EINVAL;
	memcpy(tun->netns, text, len);
	tun->netns[len] = '\0';
	strcpy(tun->device, device);
	tun->fd = -1;
	return 0;
}

static int open_netns(const char *name)
{
	char path[PATH_MAX];

	if (strchr(name, '/'))
		snprintf(path, sizeof(path), "%s", name);
	else if (name[strspn(name, "0123456789")] == '\0')
		snprintf(path, sizeof(path), "/proc/%s/ns/net", name);
	else
		snprintf(path, sizeof(path), "/run/netns/%s", name);
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

static int set_up(int sock, const char *device, uint32_t mtu)
{
	struct ifreq ifr = { 0 };

	strcpy(ifr.ifr_name, device);
	ifr.ifr_qlen = TX_QUEUE_LEN;
	if (ioctl(sock, SIOCSIFTXQLEN, &ifr) < 0)
		return -errno;
	ifr.ifr_mtu = (int)mtu;
	if (mtu && ioctl(sock, SIOCSIFMTU, &ifr) < 0)
		return -errno;
	if (ioctl(sock, SIOCGIFFLAGS, &ifr) < 0)
		return -errno;
	ifr.ifr_flags |= IFF_UP;
	return ioctl(sock, SIOCSIFFLAGS, &ifr) < 0 ? -errno : 0;
}

/* In the namespace that the thread is in now. */
static int open_device(struct vs_tun *tun, uint32_t mtu, const char **step)
{
	struct ifreq ifr = { .ifr_flags = IFF_TUN | IFF_NO_PI };

	*step = "open /dev/net/tun";
	int fd = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	*step = "make the device";
	strcpy(ifr.ifr_name, tun->device);
	int err = ioctl(fd, TUNSETIFF, &ifr) < 0 ? -errno : 0;
	if (!err) {
		*step = "bring the device up";
		int sock = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
		err = sock < 0 ? -errno : set_up(sock, tun->device, mtu);
		if (sock >= 0)
			close(sock);
	}
	if (err)
		close(fd);
	else
		tun->fd = fd;
	return err;
}

int vs_tun_open(struct vs_tun *tun, uint32_t mtu, const char **step)
{
	if (!tun->netns[0])
		return open_device(tun, mtu, step);
	*step = "open the network namespace";
	int there = open_netns(tun->netns);
	if (there < 0)
		return there;
	int here = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
	int err = here < 0 ? -errno : 0;
	*step = "enter the network namespace";
	if (!err && setns(there, CLONE_NEWNET) < 0)
		err = -errno;
	if (!err) {
		err = open_device(tun, mtu, step);
		if (setns(here, CLONE_NEWNET) < 0 && !err) {
			*step = "return from the network namespace";
			err = -errno;
		}
	}
	if (here >= 0)
		close(here);
	close(there);
	return err;
}
