/* Fake TCP from a stranger: packets as a raw socket gives them, one after the other, into one connection. Each
 * record is mode:8 len:16 and bytes; mode bit 0: an IPv4 packet, else a TCP segment; bit 1: its numbers are made
 * right first, so that more of them are believed. What comes out lies within what came in, or in the partial; a
 * segment without the right numbers changes nothing; windows and sizes keep their bounds. The bytes are exact, so
 * that sanitizers see any read beyond them. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "fuzz/check.h"
#include "io/faketcp_conn.h"

#define NOW (1000 * VS_SEC)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct vs_faketcp_conn *new_conn(void)
{
	struct vs_faketcp_start start = {
		.snd_nxt = 1000, .rcv_nxt = 0xffffff00, .snd_wnd = 60000, .mss = 1460, .snd_wscale = 7, .rcv_wscale = 7,
		.has_ts = true, .ts_val = 5
	};

	CHECK(vs_addr_parse("192.0.2.1", 40000, &start.local) == 0);
	CHECK(vs_addr_parse("192.0.2.2", 443, &start.peer) == 0);
	struct vs_faketcp_conn *conn = vs_faketcp_conn_new(&start, -1, -1, NOW);
	CHECK(conn);
	return conn;
}

static void check_walk(struct vs_faketcp_conn *conn, uint8_t *payload, size_t len, uint32_t seq)
{
	struct vs_faketcp_walk walk;
	uint8_t *datagram;
	size_t n, total = 0, waiting = conn->partial.have;

	vs_faketcp_walk_begin(&walk, &conn->partial, payload, len, seq);
	while ((datagram = vs_faketcp_walk_next(&walk, &n))) {
		CHECK(n >= 1 && n <= VS_DATAGRAM_MAX);
		if (!walk.joined)
			CHECK(datagram >= payload + 2 && datagram + n <= payload + len);
		memset(datagram, 0x5a, n); /* as opening in place does */
		total += n + VS_FAKETCP_LENGTH;
	}
	CHECK(total <= waiting + len);
	CHECK(walk.left == 0 && conn->partial.have < VS_FAKETCP_LENGTH + VS_DATAGRAM_MAX);
}

static void check_input(struct vs_faketcp_conn *conn, struct vs_tcp_segment *s, uint8_t *payload, size_t len,
			bool right)
{
	if (right) {
		s->seq = conn->rcv_nxt + (uint32_t)(int8_t)s->seq;
		s->ack = conn->snd_una + s->ack % (conn->snd_nxt - conn->snd_una + 1);
	}
	uint32_t rcv_nxt = conn->rcv_nxt, snd_una = conn->snd_una;
	vs_faketcp_conn_input(conn, s, len, NOW);
	CHECK((int32_t)(conn->rcv_nxt - rcv_nxt) >= 0 && (int32_t)(conn->snd_una - snd_una) >= 0);
	CHECK((int32_t)(conn->snd_max - conn->snd_una) >= 0 && (int32_t)(conn->snd_nxt - conn->snd_una) >= 0);
	check_walk(conn, payload, len, s->seq);
}

static void send_something(struct vs_faketcp_conn *conn, size_t len)
{
	static const uint8_t datagram[2000];
	uint8_t header[VS_FAKETCP_HEADER_MAX];
	size_t header_len;

	if (len > 0 && vs_faketcp_conn_send(conn, datagram, len, len & 1, NOW, header, &header_len) == 0)
		CHECK(header_len <= sizeof(header) && len + VS_FAKETCP_LENGTH + VS_TCP_TIMESTAMPS <= 1460);
}

static void packet(struct vs_faketcp_conn *conn, uint8_t mode, const uint8_t *bytes, size_t len)
{
	struct vs_tcp_segment segment = { .src = conn->conn.peer, .dst = conn->conn.local };
	uint8_t *copy = malloc(len + !len), *tcp = copy, *payload;
	size_t tcp_len = len, payload_len;

	CHECK(copy);
	memcpy(copy, bytes, len);
	bool is_tcp = !(mode & 1) || vs_faketcp_read_ipv4(copy, len, &segment, &tcp, &tcp_len);
	if (is_tcp && vs_faketcp_read_tcp(tcp, tcp_len, &segment, &payload, &payload_len)) {
		CHECK(payload >= copy && payload + payload_len <= copy + len);
		check_input(conn, &segment, payload, payload_len, mode & 2);
	}
	free(copy);
	send_something(conn, len % 1500);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct vs_faketcp_conn *conn = new_conn();
	struct vs_view view = vs_view_of(data, size);

	while (view.len >= 3) {
		uint8_t mode = vs_view_u8(&view);
		size_t wanted = vs_view_be16(&view), len = VS_MIN(wanted, view.len);
		packet(conn, mode, vs_view_pull(&view, len), len);
	}
	vs_conn_free(&conn->conn);
	return 0;
}
