#include "emu/toobig.h"

#include <netinet/in.h>
#include <stdbool.h>
#include <string.h>

#include "base/bytes.h"
#include "base/compiler.h"

#define IPV4_HEADER 20
#define IPV4_DONT_FRAGMENT 0x4000
#define IPV6_HEADER 40
#define ICMP_HEADER 8
#define ICMP_UNREACHABLE 3
#define ICMP_FRAGMENTATION_NEEDED 4
#define ICMPV6_TOO_BIG 2
#define ICMPV6_INFORMATIONAL 0x80
#define TTL 64

/* RFC 1071, over data after a sum so far. */
static uint32_t sum16(uint32_t sum, const uint8_t *p, size_t len)
{
	for (; len > 1; p += 2, len -= 2)
		sum += vs_get_be16(p);
	return len ? sum + ((uint32_t)p[0] << 8) : sum;
}

static uint16_t fold(uint32_t sum)
{
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)~sum;
}

/* ICMP errors are not answered; of the rest of ICMP only echo matters, and it may be. */
static bool is_icmp_error(const uint8_t *packet, size_t header)
{
	return packet[9] == IPPROTO_ICMP && packet[header] != 8 && packet[header] != 0;
}

static size_t answer_ipv4(const uint8_t *packet, size_t len, uint32_t mtu, uint8_t *out)
{
	size_t header = (size_t)(packet[0] & 15) * 4;

	if (len < header + ICMP_HEADER || !(vs_get_be16(packet + 6) & IPV4_DONT_FRAGMENT) || packet[16] >= 224 ||
	    is_icmp_error(packet, header))
		return 0;
	size_t quoted = VS_MIN(len, header + ICMP_HEADER), total = IPV4_HEADER + ICMP_HEADER + quoted;
	uint8_t *icmp = out + IPV4_HEADER;
	memset(out, 0, IPV4_HEADER + ICMP_HEADER);
	out[0] = 0x45;
	vs_put_be16(out + 2, (uint16_t)total);
	out[8] = TTL;
	out[9] = IPPROTO_ICMP;
	memcpy(out + 12, packet + 16, 4);
	memcpy(out + 16, packet + 12, 4);
	vs_put_be16(out + 10, fold(sum16(0, out, IPV4_HEADER)));
	icmp[0] = ICMP_UNREACHABLE;
	icmp[1] = ICMP_FRAGMENTATION_NEEDED;
	vs_put_be16(icmp + 6, (uint16_t)VS_MIN(mtu, 65535u));
	memcpy(icmp + ICMP_HEADER, packet, quoted);
	vs_put_be16(icmp + 2, fold(sum16(0, icmp, ICMP_HEADER + quoted)));
	return total;
}

static size_t answer_ipv6(const uint8_t *packet, size_t len, uint32_t mtu, uint8_t *out)
{
	if (packet[24] == 0xff || (packet[6] == IPPROTO_ICMPV6 && !(packet[IPV6_HEADER] & ICMPV6_INFORMATIONAL)))
		return 0;
	size_t quoted = VS_MIN(len, (size_t)VS_TOOBIG_MAX - IPV6_HEADER - ICMP_HEADER);
	size_t payload = ICMP_HEADER + quoted;
	uint8_t *icmp = out + IPV6_HEADER;
	memset(out, 0, IPV6_HEADER + ICMP_HEADER);
	out[0] = 0x60;
	vs_put_be16(out + 4, (uint16_t)payload);
	out[6] = IPPROTO_ICMPV6;
	out[7] = TTL;
	memcpy(out + 8, packet + 24, 16);
	memcpy(out + 24, packet + 8, 16);
	icmp[0] = ICMPV6_TOO_BIG;
	vs_put_be32(icmp + 4, mtu);
	memcpy(icmp + ICMP_HEADER, packet, quoted);
	uint32_t pseudo = sum16((uint32_t)payload + IPPROTO_ICMPV6, out + 8, 32);
	vs_put_be16(icmp + 2, fold(sum16(pseudo, icmp, payload)));
	return IPV6_HEADER + payload;
}

size_t vs_toobig_answer(const uint8_t *packet, size_t len, uint32_t mtu, uint8_t out[VS_TOOBIG_MAX])
{
	if (len > IPV4_HEADER && packet[0] >> 4 == 4)
		return answer_ipv4(packet, len, mtu, out);
	if (len > IPV6_HEADER && packet[0] >> 4 == 6)
		return answer_ipv6(packet, len, mtu, out);
	return 0;
}
