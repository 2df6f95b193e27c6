#include "io/faketcp_filter.h"

#include <assert.h>
#include <string.h>

#include "base/bytes.h"
#include "base/compiler.h"
#include "io/faketcp_segment.h"

#define TAKE UINT32_MAX
#define DROP 0

/* Offsets in a TCP header, and in the data behind it: length:16 | type:8 | receiver index:24. */
#define TCP_SRC 0
#define TCP_DST 2
#define TCP_DATA_OFFSET 12
#define TCP_FLAGS 13
#define DATA_TYPE 2
#define DATA_WORKER 5

static void add(struct vs_faketcp_filter *f, struct sock_filter instruction)
{
	assert(f->len < VS_FAKETCP_FILTER_MAX);
	f->code[f->len++] = instruction;
}

static void stmt(struct vs_faketcp_filter *f, unsigned code, uint32_t k)
{
	add(f, (struct sock_filter)BPF_STMT((uint16_t)code, k));
}

/* Drops the segment unless the accumulator is `wanted`. */
static void require(struct vs_faketcp_filter *f, uint32_t wanted)
{
	add(f, (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, wanted, 1, 0));
	stmt(f, BPF_RET | BPF_K, DROP);
}

/* Ends the program where the accumulator is `value`. */
static void finish_if(struct vs_faketcp_filter *f, uint32_t value, uint32_t verdict)
{
	add(f, (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, value, 0, 1));
	stmt(f, BPF_RET | BPF_K, verdict);
}

static void finish_if_flags(struct vs_faketcp_filter *f, uint32_t flags, uint32_t verdict)
{
	stmt(f, BPF_LD | BPF_B | BPF_IND, TCP_FLAGS);
	add(f, (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, flags, 0, 1));
	stmt(f, BPF_RET | BPF_K, verdict);
}

/* A load beyond the end of the packet ends the program, and drops it. */
static void require_port(struct vs_faketcp_filter *f, uint32_t offset, uint16_t port)
{
	stmt(f, BPF_LD | BPF_H | BPF_IND, offset);
	require(f, port);
}

/* X is the TCP header's offset; it becomes that of the data. */
static void skip_tcp_header(struct vs_faketcp_filter *f)
{
	stmt(f, BPF_LD | BPF_B | BPF_IND, TCP_DATA_OFFSET);
	stmt(f, BPF_ALU | BPF_RSH | BPF_K, 2);
	stmt(f, BPF_ALU | BPF_AND | BPF_K, 15 << 2);
	stmt(f, BPF_ALU | BPF_ADD | BPF_X, 0);
	stmt(f, BPF_MISC | BPF_TAX, 0);
}

void vs_faketcp_filter_nothing(struct vs_faketcp_filter *filter)
{
	filter->len = 0;
	stmt(filter, BPF_RET | BPF_K, DROP);
}

/* The filter of a TCP socket sees the segment from its TCP header on. */
void vs_faketcp_filter_no_data(struct vs_faketcp_filter *filter)
{
	filter->len = 0;
	stmt(filter, BPF_LDX | BPF_W | BPF_IMM, 0);
	skip_tcp_header(filter);
	stmt(filter, BPF_LD | BPF_W | BPF_LEN, 0);
	add(filter, (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_X, 0, 0, 1));
	stmt(filter, BPF_RET | BPF_K, TAKE);
	stmt(filter, BPF_RET | BPF_K, DROP);
}

/* --- Raw sockets -------------------------------------------------------------------------------------------------- */

/* Drops what has not the address at `offset` of the IP header; a wildcard is any. */
static void require_addr(struct vs_faketcp_filter *f, const struct vs_addr *addr, uint32_t offset4, uint32_t offset6)
{
	bool v6 = addr->sa.sa_family == AF_INET6;
	const uint8_t *bytes = v6 ? addr->in6.sin6_addr.s6_addr : (const uint8_t *)&addr->in.sin_addr;
	uint32_t offset = (uint32_t)SKF_NET_OFF + (v6 ? offset6 : offset4);

	if (v6 ? IN6_IS_ADDR_UNSPECIFIED(&addr->in6.sin6_addr) : addr->in.sin_addr.s_addr == htonl(INADDR_ANY))
		return;
	for (uint32_t i = 0; i < (v6 ? 16u : 4u); i += 4) {
		stmt(f, BPF_LD | BPF_W | BPF_ABS, offset + i);
		require(f, vs_get_be32(bytes + i));
	}
}

/* X becomes the TCP header's offset: the filter of a raw socket sees an IPv4 packet from its IP header on, an IPv6 one
 * from behind it. */
static void find_tcp_header(struct vs_faketcp_filter *f, const struct vs_addr *local)
{
	if (local->sa.sa_family == AF_INET6)
		stmt(f, BPF_LDX | BPF_W | BPF_IMM, 0);
	else
		stmt(f, BPF_LDX | BPF_B | BPF_MSH, 0);
}

static void take_peer(struct vs_faketcp_filter *f, const struct vs_faketcp_scope *scope)
{
	require_addr(f, &scope->peer, 12, 8);
	require_port(f, TCP_SRC, vs_addr_port(&scope->peer));
	stmt(f, BPF_RET | BPF_K, TAKE);
}

static void take_handshakes(struct vs_faketcp_filter *f)
{
	finish_if_flags(f, VS_TCP_SYN, DROP);
	finish_if_flags(f, VS_TCP_RST | VS_TCP_FIN, TAKE);
	skip_tcp_header(f);
	stmt(f, BPF_LD | BPF_B | BPF_IND, DATA_TYPE);
	finish_if(f, VS_TYPE_INITIATION, TAKE);
	finish_if(f, VS_TYPE_RESPONSE, TAKE);
	finish_if(f, VS_TYPE_COOKIE, TAKE);
	stmt(f, BPF_RET | BPF_K, DROP);
}

static void take_data(struct vs_faketcp_filter *f, uint8_t worker)
{
	finish_if_flags(f, VS_TCP_SYN | VS_TCP_RST | VS_TCP_FIN, DROP);
	skip_tcp_header(f);
	stmt(f, BPF_LD | BPF_B | BPF_IND, DATA_TYPE);
	/* Data: over what is for other types, to the index. */
	add(f, (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, VS_TYPE_DATA, 8, 0));
	add(f, (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, VS_TYPE_CLEAR, 7, 0));
	finish_if(f, VS_TYPE_INITIATION, DROP);
	finish_if(f, VS_TYPE_RESPONSE, DROP);
	finish_if(f, VS_TYPE_COOKIE, DROP);
	stmt(f, BPF_RET | BPF_K, worker == 0 ? TAKE : DROP);
	stmt(f, BPF_LD | BPF_B | BPF_IND, DATA_WORKER);
	require(f, worker);
	stmt(f, BPF_RET | BPF_K, TAKE);
}

void vs_faketcp_filter_raw(struct vs_faketcp_filter *filter, const struct vs_faketcp_scope *scope)
{
	filter->len = 0;
	require_addr(filter, &scope->local, 16, 24);
	find_tcp_header(filter, &scope->local);
	require_port(filter, TCP_DST, vs_addr_port(&scope->local));
	switch (scope->share) {
	case VS_FAKETCP_PEER:
		take_peer(filter, scope);
		break;
	case VS_FAKETCP_LOBBY:
		take_handshakes(filter);
		break;
	case VS_FAKETCP_WORKER:
		take_data(filter, scope->worker);
		break;
	default:
		vs_faketcp_filter_nothing(filter);
	}
}
