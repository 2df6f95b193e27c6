#include "io/netif.h"

#include <errno.h>
#include <libmnl/libmnl.h>
#include <linux/if_addr.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

/* Replies are a header and some attributes; a RTM_NEWLINK with all of a modern kernel's stays under 8 KiB. */
#define BUFFER_SIZE 16384

struct vs_netif {
	struct mnl_socket *socket;
	uint32_t sequence;
	uint8_t buffer[BUFFER_SIZE];
};

int vs_netif_open(struct vs_netif **out, struct vs_fault *fault)
{
	struct vs_netif *netif = calloc(1, sizeof(*netif));

	if (!netif)
		return vs_fault(fault, -ENOMEM, "out of memory");
	netif->socket = mnl_socket_open2(NETLINK_ROUTE, SOCK_CLOEXEC);
	if (!netif->socket || mnl_socket_bind(netif->socket, 0, MNL_SOCKET_AUTOPID) < 0) {
		int err = -errno;
		vs_netif_close(netif);
		return vs_fault(fault, err, "rtnetlink socket: %s", strerror(-err));
	}
	netif->sequence = (uint32_t)time(NULL);
	*out = netif;
	return 0;
}

void vs_netif_close(struct vs_netif *netif)
{
	if (!netif)
		return;
	if (netif->socket)
		mnl_socket_close(netif->socket);
	free(netif);
}

/* --- Messages ----------------------------------------------------------------------------------------------------- */

/* Begins a message in the buffer; *extra is its zeroed fixed part. */
static struct nlmsghdr *begin(struct vs_netif *netif, uint16_t type, uint16_t flags, void *extra, size_t extra_size)
{
	struct nlmsghdr *message = mnl_nlmsg_put_header(netif->buffer);

	message->nlmsg_type = type;
	message->nlmsg_flags = (uint16_t)(NLM_F_REQUEST | flags);
	message->nlmsg_seq = ++netif->sequence;
	*(void **)extra = mnl_nlmsg_put_extra_header(message, extra_size);
	return message;
}

/* Sends the message and reads its answer, which is handed to `on_reply` (mnl's callback) unless it is an error or an
 * acknowledgement. 0 or -errno. */
static int exchange(struct vs_netif *netif, struct nlmsghdr *message, mnl_cb_t on_reply, void *arg)
{
	unsigned port = mnl_socket_get_portid(netif->socket);
	int rc;

	if (mnl_socket_sendto(netif->socket, message, message->nlmsg_len) < 0)
		return -errno;
	do {
		ssize_t n = mnl_socket_recvfrom(netif->socket, netif->buffer, sizeof(netif->buffer));
		if (n < 0 && errno == EINTR) {
			rc = MNL_CB_OK;
			continue;
		}
		if (n < 0)
			return -errno;
		rc = mnl_cb_run(netif->buffer, (size_t)n, netif->sequence, port, on_reply, arg);
		if (rc < 0)
			return -errno;
	} while (rc > MNL_CB_STOP);
	return 0;
}

static const void *address_bytes(const struct vs_addr *addr, size_t *len)
{
	*len = addr->sa.sa_family == AF_INET ? 4 : 16;
	return addr->sa.sa_family == AF_INET ? (const void *)&addr->in.sin_addr : (const void *)&addr->in6.sin6_addr;
}

static void put_address(struct nlmsghdr *message, uint16_t type, const struct vs_addr *addr)
{
	size_t len;
	const void *bytes = address_bytes(addr, &len);

	mnl_attr_put(message, type, len, bytes);
}

/* An address without its port, for people. */
static const char *host_text(const struct vs_addr *addr, char buf[VS_CIDR_TEXT_MAX])
{
	struct vs_cidr cidr = { .addr = *addr };

	vs_cidr_format(&cidr, buf);
	*strchr(buf, '/') = '\0';
	return buf;
}

static const char *remedy(int err)
{
	return err == -EPERM ? " (this needs CAP_NET_ADMIN: run as root)" : "";
}

static int find(const char *name, unsigned *index, struct vs_fault *fault)
{
	*index = if_nametoindex(name);
	return *index ? 0 : vs_fault(fault, -ENODEV, "network device '%s' does not exist", name);
}

/* --- Interfaces --------------------------------------------------------------------------------------------------- */

static int note_bridge(const struct nlattr *attr, void *arg)
{
	if (mnl_attr_get_type(attr) == IFLA_INFO_KIND && mnl_attr_validate(attr, MNL_TYPE_NUL_STRING) >= 0)
		*(bool *)arg = strcmp(mnl_attr_get_str(attr), "bridge") == 0;
	return MNL_CB_OK;
}

static int note_kind(const struct nlattr *attr, void *arg)
{
	if (mnl_attr_get_type(attr) == IFLA_LINKINFO)
		return mnl_attr_parse_nested(attr, note_bridge, arg);
	return MNL_CB_OK;
}

static int read_link(const struct nlmsghdr *message, void *arg)
{
	return mnl_attr_parse(message, sizeof(struct ifinfomsg), note_kind, arg) < 0 ? MNL_CB_ERROR : MNL_CB_STOP;
}

static int find_bridge(struct vs_netif *netif, const char *name, unsigned *index, struct vs_fault *fault)
{
	struct ifinfomsg *info;
	bool is_bridge = false;

	*index = if_nametoindex(name);
	if (!*index)
		return vs_fault(fault, -ENODEV, "bridge '%s' does not exist", name);
	struct nlmsghdr *message = begin(netif, RTM_GETLINK, 0, &info, sizeof(*info));
	info->ifi_index = (int)*index;
	int err = exchange(netif, message, read_link, &is_bridge);
	if (err < 0)
		return vs_fault(fault, err, "bridge '%s': %s", name, strerror(-err));
	if (!is_bridge)
		return vs_fault(fault, -EMEDIUMTYPE, "network device '%s' is not a bridge", name);
	return 0;
}

int vs_netif_change(struct vs_netif *netif, const char *name, const struct vs_netif_change *change,
		    struct vs_fault *fault)
{
	unsigned index, master = 0;
	struct ifinfomsg *info;

	int err = find(name, &index, fault);
	if (err == 0 && change->bridge)
		err = find_bridge(netif, change->bridge, &master, fault);
	if (err < 0)
		return err;
	struct nlmsghdr *message = begin(netif, RTM_SETLINK, NLM_F_ACK, &info, sizeof(*info));
	info->ifi_family = AF_UNSPEC;
	info->ifi_index = (int)index;
	if (change->up)
		info->ifi_flags = info->ifi_change = IFF_UP;
	if (change->mac)
		mnl_attr_put(message, IFLA_ADDRESS, sizeof(change->mac->octet), change->mac->octet);
	if (change->mtu)
		mnl_attr_put_u32(message, IFLA_MTU, change->mtu);
	if (change->queue_len)
		mnl_attr_put_u32(message, IFLA_TXQLEN, change->queue_len);
	if (master)
		mnl_attr_put_u32(message, IFLA_MASTER, master);
	err = exchange(netif, message, NULL, NULL);
	if (err < 0 && change->bridge)
		return vs_fault(fault, err, "putting '%s' into bridge '%s': %s%s", name, change->bridge, strerror(-err),
				remedy(err));
	if (err < 0)
		return vs_fault(fault, err, "setting up '%s': %s%s", name, strerror(-err), remedy(err));
	return 0;
}

/* --- Addresses ---------------------------------------------------------------------------------------------------- */

/* The subnet's broadcast address, which programs ask for by SIOCGIFBRDADDR and the kernel does not make by itself.
 * RFC 3021: a /31 has none. */
static void put_broadcast(struct nlmsghdr *message, const struct vs_cidr *address)
{
	if (address->addr.sa.sa_family != AF_INET || address->prefix == 0 || address->prefix > 30)
		return;
	uint32_t hosts = UINT32_MAX >> address->prefix;
	mnl_attr_put_u32(message, IFA_BROADCAST, address->addr.in.sin_addr.s_addr | htonl(hosts));
}

int vs_netif_add_address(struct vs_netif *netif, const char *name, const struct vs_cidr *address,
			 struct vs_fault *fault)
{
	char text[VS_CIDR_TEXT_MAX];
	struct ifaddrmsg *info;
	unsigned index;

	int err = find(name, &index, fault);
	if (err < 0)
		return err;
	static const uint16_t flags = NLM_F_ACK | NLM_F_CREATE | NLM_F_REPLACE;
	struct nlmsghdr *message = begin(netif, RTM_NEWADDR, flags, &info, sizeof(*info));
	info->ifa_family = (uint8_t)address->addr.sa.sa_family;
	info->ifa_prefixlen = address->prefix;
	info->ifa_index = index;
	put_address(message, IFA_LOCAL, &address->addr);
	put_address(message, IFA_ADDRESS, &address->addr);
	put_broadcast(message, address);
	err = exchange(netif, message, NULL, NULL);
	if (err == 0 || err == -EEXIST)
		return 0;
	const char *hint = address->addr.sa.sa_family == AF_INET6 ? " (is IPv6 disabled on this host?)" : "";
	return vs_fault(fault, err, "address %s on '%s': %s%s", vs_cidr_format(address, text), name, strerror(-err),
			err == -EPERM || err == -EACCES || err == -EOPNOTSUPP ? hint : "");
}

/* --- Routes ------------------------------------------------------------------------------------------------------- */

static int explain_route(const struct vs_route *route, const char *name, int err, struct vs_fault *fault)
{
	char dest[VS_CIDR_TEXT_MAX], gateway[VS_CIDR_TEXT_MAX];

	vs_cidr_format(&route->dest, dest);
	if (err == -EEXIST)
		return vs_fault(fault, err, "route to %s: this host has one of the same metric already; set 'metric N'",
				dest);
	if (!vs_addr_is_set(&route->gateway))
		return vs_fault(fault, err, "route to %s through '%s': %s%s", dest, name, strerror(-err), remedy(err));
	host_text(&route->gateway, gateway);
	if (err == -ENETUNREACH || err == -EHOSTUNREACH)
		return vs_fault(fault, err, "route to %s: gateway %s is not on a network of '%s'", dest, gateway, name);
	return vs_fault(fault, err, "route to %s via %s through '%s': %s%s", dest, gateway, name, strerror(-err),
			remedy(err));
}

int vs_netif_add_route(struct vs_netif *netif, const char *name, const struct vs_route *route,
		       struct vs_fault *fault)
{
	struct rtmsg *info;
	unsigned index;

	int err = find(name, &index, fault);
	if (err < 0)
		return err;
	static const uint16_t flags = NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL;
	struct nlmsghdr *message = begin(netif, RTM_NEWROUTE, flags, &info, sizeof(*info));
	bool via = vs_addr_is_set(&route->gateway);
	info->rtm_family = (uint8_t)route->dest.addr.sa.sa_family;
	info->rtm_dst_len = route->dest.prefix;
	info->rtm_table = RT_TABLE_MAIN;
	info->rtm_protocol = RTPROT_STATIC;
	info->rtm_scope = via || info->rtm_family == AF_INET6 ? RT_SCOPE_UNIVERSE : RT_SCOPE_LINK;
	info->rtm_type = RTN_UNICAST;
	put_address(message, RTA_DST, &route->dest.addr);
	mnl_attr_put_u32(message, RTA_OIF, index);
	if (via)
		put_address(message, RTA_GATEWAY, &route->gateway);
	if (route->metric)
		mnl_attr_put_u32(message, RTA_PRIORITY, route->metric);
	err = exchange(netif, message, NULL, NULL);
	return err < 0 ? explain_route(route, name, err, fault) : 0;
}

static struct vs_addr get_address(const struct nlattr *attr)
{
	struct vs_addr addr = { .in6 = { .sin6_family = AF_UNSPEC } };

	if (mnl_attr_get_payload_len(attr) == 4) {
		addr.sa.sa_family = AF_INET;
		memcpy(&addr.in.sin_addr, mnl_attr_get_payload(attr), 4);
	} else if (mnl_attr_get_payload_len(attr) == 16) {
		addr.sa.sa_family = AF_INET6;
		memcpy(&addr.in6.sin6_addr, mnl_attr_get_payload(attr), 16);
	}
	return addr;
}

static int note_path(const struct nlattr *attr, void *arg)
{
	struct vs_netif_path *path = arg;
	char name[IF_NAMESIZE];

	switch (mnl_attr_get_type(attr)) {
	case RTA_OIF:
		if (mnl_attr_validate(attr, MNL_TYPE_U32) >= 0 && if_indextoname(mnl_attr_get_u32(attr), name))
			memcpy(path->interface, name, sizeof(path->interface));
		break;
	case RTA_GATEWAY:
		path->gateway = get_address(attr);
		break;
	case RTA_PREFSRC:
		path->source = get_address(attr);
		break;
	}
	return MNL_CB_OK;
}

static int read_path(const struct nlmsghdr *message, void *arg)
{
	return mnl_attr_parse(message, sizeof(struct rtmsg), note_path, arg) < 0 ? MNL_CB_ERROR : MNL_CB_STOP;
}

int vs_netif_path_to(struct vs_netif *netif, const struct vs_addr *dst, uint32_t fwmark, const char *bind_interface,
		     struct vs_netif_path *path, struct vs_fault *fault)
{
	char host[VS_CIDR_TEXT_MAX];
	unsigned index = 0;
	struct rtmsg *info;

	int err = bind_interface[0] ? find(bind_interface, &index, fault) : 0;
	if (err < 0)
		return err;
	memset(path, 0, sizeof(*path));
	struct nlmsghdr *message = begin(netif, RTM_GETROUTE, 0, &info, sizeof(*info));
	info->rtm_family = (uint8_t)dst->sa.sa_family;
	info->rtm_dst_len = dst->sa.sa_family == AF_INET ? 32 : 128;
	put_address(message, RTA_DST, dst);
	if (fwmark)
		mnl_attr_put_u32(message, RTA_MARK, fwmark);
	if (index)
		mnl_attr_put_u32(message, RTA_OIF, index);
	else if (dst->sa.sa_family == AF_INET6 && dst->in6.sin6_scope_id)
		mnl_attr_put_u32(message, RTA_OIF, dst->in6.sin6_scope_id);
	err = exchange(netif, message, read_path, path);
	if (err < 0)
		return vs_fault(fault, err, "route to %s: %s", host_text(dst, host), strerror(-err));
	return 0;
}
