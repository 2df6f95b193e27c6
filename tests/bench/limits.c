/* What the machine can do alone, on one core: the floor under the data path's cost (docs/performance.md).
 *
 * Prints one JSON object. `*_ns` is time for one unit: a datagram of 1400 bytes, a piece of 1400 bytes copied, a frame.
 * `*_mbps` is the same as megabits a second. null: this machine, or this user, cannot do it. A measurement is the
 * median of several short rounds of CPU time, so the whole takes about three seconds.
 *
 *      limits > limits.json
 *
 * Network and TAP are measured in a network namespace of its own, which needs root and leaves nothing behind. Without,
 * loopback is that of whoever runs this, and there is no TAP. */
#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_packet.h>
#include <linux/virtio_net.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <netinet/in.h>
#include <netinet/ip.h>
#include <netinet/tcp.h>
#include <netinet/udp.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/compiler.h"
#include "io/netif.h"
#include "io/tap.h"
#include "link/crypto.h"

#define ROUNDS 7
#define ROUND_NS 40e6
#define PIECE 1400
#define RING 64 /* datagrams of a transmit batch: they stay in the second-level cache */

#define NOT_POSSIBLE (-1.0)

/* Of the processor that we have had: other programs that want it, too, do not count. */
static double clock_ns(void)
{
	struct timespec ts;
	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
	return (double)ts.tv_sec * 1e9 + (double)ts.tv_nsec;
}

static int compare(const void *a, const void *b)
{
	const double *x = a, *y = b;
	return (*x > *y) - (*x < *y);
}

static double median(double values[ROUNDS])
{
	qsort(values, ROUNDS, sizeof(values[0]), compare);
	return values[ROUNDS / 2];
}

/* Runs `batch`, which does RING units and returns whether it could, for the length of a round, several times.
 * Nanoseconds a unit. */
static double measure(bool (*batch)(void *arg), void *arg)
{
	double rounds[ROUNDS];
	if (!batch(arg))
		return NOT_POSSIBLE;
	for (int i = 0; i < ROUNDS; i++) {
		double start = clock_ns(), spent;
		unsigned units = 0;
		do {
			if (!batch(arg))
				return NOT_POSSIBLE;
			units += RING;
			spent = clock_ns() - start;
		} while (spent < ROUND_NS);
		rounds[i] = spent / units;
	}
	return median(rounds);
}

/* For units that come in two halves, timed apart by the batch itself. */
struct halves {
	double first_ns, second_ns;
};

static void measure_halves(bool (*batch)(void *arg, struct halves *spent), void *arg, unsigned units,
			   struct halves *out)
{
	double first[ROUNDS], second[ROUNDS];
	*out = (struct halves){ NOT_POSSIBLE, NOT_POSSIBLE };
	for (int i = 0; i < ROUNDS; i++) {
		struct halves spent = { 0, 0 };
		unsigned batches = 0;
		while (spent.first_ns + spent.second_ns < ROUND_NS) {
			if (!batch(arg, &spent))
				return;
			batches++;
		}
		first[i] = spent.first_ns / (batches * (double)units);
		second[i] = spent.second_ns / (batches * (double)units);
	}
	*out = (struct halves){ median(first), median(second) };
}

/* --- AEAD --- */

struct aead_bench {
	const struct vs_crypto *crypto;
	struct vs_aead *aead;
	uint64_t counter;
	uint8_t header[VS_SEAL_HEADER];
	uint8_t plain[RING][PIECE];
	uint8_t sealed[RING][PIECE + VS_SEAL_TAG];
	uint8_t opened[PIECE];
};

static bool seal_batch(void *arg)
{
	struct aead_bench *b = arg;
	for (int i = 0; i < RING; i++) {
		struct iovec part = { .iov_base = b->plain[i], .iov_len = PIECE };
		if (b->crypto->aead_seal(b->aead, b->counter++, b->header, sizeof(b->header), &part, 1,
					 b->sealed[i]) < 0)
			return false;
	}
	return true;
}

/* Opens what the last seal_batch() has sealed. */
static bool open_batch(void *arg)
{
	struct aead_bench *b = arg;
	uint64_t first = b->counter - RING;
	for (int i = 0; i < RING; i++)
		if (b->crypto->aead_open(b->aead, first + (unsigned)i, b->header, sizeof(b->header), b->sealed[i],
					 sizeof(b->sealed[i]), b->opened) < 0)
			return false;
	return true;
}

static void measure_aead(enum vs_cipher cipher, struct halves *out)
{
	static const uint8_t key[VS_KEY_SIZE] = { 1 };
	struct aead_bench *b = calloc(1, sizeof(*b));
	*out = (struct halves){ NOT_POSSIBLE, NOT_POSSIBLE };
	if (!b)
		return;
	b->crypto = vs_crypto_default();
	b->aead = b->crypto->aead_new(cipher, key);
	if (b->aead) {
		out->first_ns = measure(seal_batch, b);
		out->second_ns = measure(open_batch, b);
	}
	b->crypto->aead_free(b->aead);
	free(b);
}

/* --- Copying --- */

#define COPY_SOURCE (8u << 20) /* larger than a second-level cache */

struct copy_bench {
	uint8_t *source;
	size_t at;
	uint8_t out[RING][PIECE];
};

static bool copy_batch(void *arg)
{
	struct copy_bench *b = arg;
	for (int i = 0; i < RING; i++) {
		if (b->at + PIECE > COPY_SOURCE)
			b->at = 0;
		memcpy(b->out[i], b->source + b->at, PIECE);
		b->at += PIECE;
	}
	/* The copies are of use to nobody: the compiler must not see that. */
	__asm__ volatile("" : : "r"(b->out) : "memory");
	return true;
}

static double measure_copy(void)
{
	struct copy_bench *b = calloc(1, sizeof(*b));
	double ns = NOT_POSSIBLE;
	if (b && (b->source = malloc(COPY_SOURCE))) {
		memset(b->source, 1, COPY_SOURCE);
		ns = measure(copy_batch, b);
		free(b->source);
	}
	free(b);
	return ns;
}

/* --- A network of our own --- */

static bool raise_device(const char *name, uint32_t queue_len)
{
	struct vs_netif_change change = { .queue_len = queue_len, .up = true };
	struct vs_netif *netif;
	struct vs_fault fault;
	if (vs_netif_open(&netif, &fault) < 0)
		return false;
	int err = vs_netif_change(netif, name, &change, &fault);
	vs_netif_close(netif);
	return err == 0;
}

static bool enter_network(void)
{
	return unshare(CLONE_NEWNET) == 0 && raise_device("lo", 0);
}

/* --- UDP over loopback --- */

#define UDP_SEGMENTS 44 /* datagrams of a message: what 64 KiB hold */
#define UDP_MESSAGES 2
#define UDP_BATCH (UDP_SEGMENTS * UDP_MESSAGES)

struct udp_bench {
	int out, in;
	struct sockaddr_in to;
	uint8_t data[UDP_SEGMENTS * PIECE];
	uint8_t room[UDP_MESSAGES][65536];
};

static bool open_udp(struct udp_bench *b)
{
	int on = 1, segment = PIECE, room = 4 << 20;
	socklen_t len = sizeof(b->to);
	b->to = (struct sockaddr_in){ .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	b->out = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	b->in = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	return b->out >= 0 && b->in >= 0 && bind(b->in, (struct sockaddr *)&b->to, sizeof(b->to)) == 0 &&
	       getsockname(b->in, (struct sockaddr *)&b->to, &len) == 0 &&
	       setsockopt(b->in, IPPROTO_UDP, UDP_GRO, &on, sizeof(on)) == 0 &&
	       setsockopt(b->out, IPPROTO_UDP, UDP_SEGMENT, &segment, sizeof(segment)) == 0 &&
	       setsockopt(b->in, SOL_SOCKET, SO_RCVBUF, &room, sizeof(room)) == 0;
}

static bool send_messages(struct udp_bench *b)
{
	struct iovec part = { .iov_base = b->data, .iov_len = sizeof(b->data) };
	struct msghdr h = { .msg_name = &b->to, .msg_namelen = sizeof(b->to), .msg_iov = &part, .msg_iovlen = 1 };
	for (int i = 0; i < UDP_MESSAGES; i++)
		if (sendmsg(b->out, &h, MSG_DONTWAIT) != (ssize_t)part.iov_len)
			return false;
	return true;
}

static bool receive_messages(struct udp_bench *b)
{
	struct mmsghdr messages[UDP_MESSAGES] = { 0 };
	struct iovec parts[UDP_MESSAGES];
	for (int i = 0; i < UDP_MESSAGES; i++) {
		parts[i] = (struct iovec){ .iov_base = b->room[i], .iov_len = sizeof(b->room[i]) };
		messages[i].msg_hdr.msg_iov = &parts[i];
		messages[i].msg_hdr.msg_iovlen = 1;
	}
	return recvmmsg(b->in, messages, UDP_MESSAGES, MSG_DONTWAIT, NULL) == UDP_MESSAGES &&
	       messages[0].msg_len == sizeof(b->data);
}

static bool udp_batch(void *arg, struct halves *spent)
{
	struct udp_bench *b = arg;
	double start = clock_ns();
	bool ok = send_messages(b);
	double sent = clock_ns();
	ok = ok && receive_messages(b);
	spent->first_ns += sent - start;
	spent->second_ns += clock_ns() - sent;
	return ok;
}

static void measure_udp(struct halves *out)
{
	struct udp_bench *b = calloc(1, sizeof(*b));
	*out = (struct halves){ NOT_POSSIBLE, NOT_POSSIBLE };
	if (!b)
		return;
	b->out = b->in = -1;
	if (open_udp(b))
		measure_halves(udp_batch, b, UDP_BATCH, out);
	if (b->out >= 0)
		close(b->out);
	if (b->in >= 0)
		close(b->in);
	free(b);
}

/* --- TAP --- */

#define DEVICE "limits0"
#define TAP_BATCH 32 /* frames that wait in the device at once */
#define HEADERS (sizeof(struct ether_header) + sizeof(struct iphdr) + sizeof(struct tcphdr))

/* The virtio-net header and the frame, as a TAP with offloads takes and gives them. */
struct tap_bench {
	int tap, packet;
	struct sockaddr_ll device;
	size_t size;
	uint8_t frame[VS_VNET_SIZE + 65536 + sizeof(struct ether_header)];
};

/* A frame of TCP for a station that is not here: the kernel takes it and lets it go at once. */
static void make_frame(struct tap_bench *b, size_t len)
{
	struct virtio_net_hdr vnet = { 0 };
	struct ether_header eth = { .ether_dhost = { 2, 0, 0, 0, 0, 9 },
				    .ether_shost = { 2, 0, 0, 0, 0, 8 },
				    .ether_type = htons(ETHERTYPE_IP) };
	struct iphdr ip = { .version = 4,
			    .ihl = 5,
			    .tot_len = htons((uint16_t)(len - sizeof(eth))),
			    .ttl = 64,
			    .protocol = IPPROTO_TCP,
			    .saddr = htonl(0x0a630001),
			    .daddr = htonl(0x0a630002) };
	struct tcphdr tcp = { .source = htons(1), .dest = htons(2), .doff = 5, .ack = 1 };
	if (len > ETH_FRAME_LEN) {
		vnet.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM;
		vnet.gso_type = VIRTIO_NET_HDR_GSO_TCPV4;
		vnet.hdr_len = HEADERS;
		vnet.gso_size = 1460;
		vnet.csum_start = sizeof(eth) + sizeof(ip);
		vnet.csum_offset = offsetof(struct tcphdr, check);
	}
	uint8_t *at = b->frame;
	at = (uint8_t *)memcpy(at, &vnet, sizeof(vnet)) + sizeof(vnet);
	at = (uint8_t *)memcpy(at, &eth, sizeof(eth)) + sizeof(eth);
	at = (uint8_t *)memcpy(at, &ip, sizeof(ip)) + sizeof(ip);
	memcpy(at, &tcp, sizeof(tcp));
	b->size = sizeof(vnet) + len;
}

static bool write_batch(void *arg)
{
	struct tap_bench *b = arg;
	for (int i = 0; i < RING; i++)
		if (write(b->tap, b->frame, b->size) != (ssize_t)b->size)
			return false;
	return true;
}

/* First half: has the kernel send frames out of the device; second half: reads them from it. */
static bool read_batch(void *arg, struct halves *spent)
{
	static uint8_t room[sizeof(((struct tap_bench *)NULL)->frame)];
	struct tap_bench *b = arg;
	unsigned n = 0;
	double start = clock_ns();
	for (int i = 0; i < TAP_BATCH; i++)
		if (sendto(b->packet, b->frame, b->size, MSG_DONTWAIT, (struct sockaddr *)&b->device,
			   sizeof(b->device)) < 0)
			return false;
	double sent = clock_ns();
	/* The host says something of its own now and then: neighbour discovery. */
	while (read(b->tap, room, sizeof(room)) > 0)
		n++;
	spent->first_ns += sent - start;
	spent->second_ns += clock_ns() - sent;
	return n >= TAP_BATCH;
}

static bool open_tap(struct tap_bench *b)
{
	struct vs_fault fault;
	int on = 1;
	b->tap = vs_tap_open(DEVICE, true, &fault);
	if (b->tap < 0 || !raise_device(DEVICE, 2 * TAP_BATCH))
		return false;
	b->device = (struct sockaddr_ll){ .sll_family = AF_PACKET,
					  .sll_protocol = htons(ETH_P_IP),
					  .sll_ifindex = (int)if_nametoindex(DEVICE),
					  .sll_halen = ETH_ALEN };
	b->packet = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);
	return b->packet >= 0 && setsockopt(b->packet, SOL_PACKET, PACKET_VNET_HDR, &on, sizeof(on)) == 0;
}

struct tap_figures {
	double write_ns, read_ns;
};

static void measure_frames(struct tap_bench *b, size_t len, struct tap_figures *out)
{
	struct halves halves;
	make_frame(b, len);
	out->write_ns = measure(write_batch, b);
	measure_halves(read_batch, b, TAP_BATCH, &halves);
	out->read_ns = halves.second_ns;
}

static void measure_tap(bool allowed, struct tap_figures *plain, struct tap_figures *super)
{
	struct tap_bench *b = allowed ? calloc(1, sizeof(*b)) : NULL;
	*plain = *super = (struct tap_figures){ NOT_POSSIBLE, NOT_POSSIBLE };
	if (!b)
		return;
	b->tap = b->packet = -1;
	if (open_tap(b)) {
		measure_frames(b, 1500, plain);
		measure_frames(b, 65535, super);
	}
	if (b->packet >= 0)
		close(b->packet);
	if (b->tap >= 0)
		close(b->tap);
	free(b);
}

/* --- The report --- */

static void print_ns(const char *name, double ns, const char *end)
{
	if (ns < 0)
		printf("\t\"%s\": null%s\n", name, end);
	else
		printf("\t\"%s\": %.1f%s\n", name, ns, end);
}

static void print_rate(const char *name, double ns)
{
	if (ns < 0)
		printf("\t\"%s\": null,\n", name);
	else
		printf("\t\"%s\": %.0f,\n", name, PIECE * 8 * 1e3 / ns);
}

static void print_aead(enum vs_cipher cipher, const char *name)
{
	struct halves aead;
	char key[64];
	measure_aead(cipher, &aead);
	snprintf(key, sizeof(key), "aead_%s_mbps", name);
	print_rate(key, aead.first_ns);
	snprintf(key, sizeof(key), "aead_%s_seal_ns", name);
	print_ns(key, aead.first_ns, ",");
	snprintf(key, sizeof(key), "aead_%s_open_ns", name);
	print_ns(key, aead.second_ns, ",");
}

int main(void)
{
	struct tap_figures plain, super;
	struct halves udp;
	if (vs_crypto_init() < 0) {
		fputs("limits: the cryptographic library does not start\n", stderr);
		return 1;
	}
	printf("{\n\t\"aead_backend\": \"%s\",\n", vs_crypto_default()->name);
	print_aead(VS_CIPHER_AES_256_GCM, "aes_256_gcm");
	print_aead(VS_CIPHER_CHACHA20_POLY1305, "chacha20_poly1305");
	double copy_ns = measure_copy();
	print_rate("copy_mbps", copy_ns);
	print_ns("copy_ns", copy_ns, ",");
	bool own_network = enter_network();
	measure_udp(&udp);
	print_ns("udp_send_ns", udp.first_ns, ",");
	print_ns("udp_receive_ns", udp.second_ns, ",");
	measure_tap(own_network, &plain, &super);
	print_ns("tap_write_ns", plain.write_ns, ",");
	print_ns("tap_read_ns", plain.read_ns, ",");
	print_ns("tap_super_write_ns", super.write_ns, ",");
	print_ns("tap_super_read_ns", super.read_ns, "");
	puts("}");
	return 0;
}
