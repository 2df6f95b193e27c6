#include "io/faketcp_conn.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

/* What we advertise, before it is scaled: as much as there is. Nothing waits in a buffer here, so there is no
 * reason for less, and what never shrinks offends nobody. */
#define WINDOW UINT16_MAX

/* Timestamps count milliseconds, as those of most systems do. */
#define TICK VS_MSEC

/* Numbers are compared modulo 2^32 (RFC 9293, section 3.4). */
static int32_t ahead(uint32_t a, uint32_t b)
{
	return (int32_t)(a - b);
}

static void free_conn(struct vs_conn *base)
{
	struct vs_faketcp_conn *conn = vs_faketcp_conn_of(base);

	close(conn->fd);
	if (conn->raw_fd >= 0)
		close(conn->raw_fd);
	vs_faketcp_partial_fini(&conn->partial);
	free(conn);
}

static uint16_t payload_max(const struct vs_faketcp_start *start)
{
	uint32_t options = start->has_ts ? VS_TCP_TIMESTAMPS : 0;

	return (uint16_t)VS_MIN(start->mss > options ? start->mss - options : 0, UINT16_MAX);
}

struct vs_faketcp_conn *vs_faketcp_conn_new(const struct vs_faketcp_start *start, int fd, int raw_fd, uint64_t now)
{
	struct vs_faketcp_conn *conn = calloc(1, sizeof(*conn));

	if (!conn)
		return NULL;
	vs_conn_init(&conn->conn, VS_CARRIER_FAKETCP, &start->peer, &start->local, free_conn);
	conn->fd = fd;
	conn->raw_fd = raw_fd;
	conn->snd_nxt = conn->snd_una = conn->snd_max = start->snd_nxt;
	conn->snd_wnd = start->snd_wnd;
	conn->rcv_nxt = start->rcv_nxt;
	conn->snd_wscale = start->snd_wscale;
	conn->max_window = VS_MAX(start->snd_wnd, (uint32_t)WINDOW << VS_MAX(start->rcv_wscale, start->snd_wscale));
	conn->has_ts = start->has_ts;
	conn->payload_max = payload_max(start);
	conn->ts_offset = start->ts_val - (uint32_t)(now / TICK);
	conn->progress_usec = conn->reached_usec = now;
	return conn;
}

/* --- Sending ------------------------------------------------------------------------------------------------------ */

static struct vs_tcp_segment next_segment(const struct vs_faketcp_conn *conn, uint8_t flags, uint64_t now)
{
	return (struct vs_tcp_segment){
		.src = conn->conn.local,
		.dst = conn->conn.peer,
		.seq = conn->snd_nxt,
		.ack = conn->rcv_nxt,
		.flags = flags,
		.window = WINDOW,
		.has_ts = conn->has_ts,
		.ts_val = conn->ts_offset + (uint32_t)(now / TICK),
		.ts_ecr = conn->ts_recent,
	};
}

static bool fits(const struct vs_faketcp_conn *conn, size_t bytes)
{
	return (uint64_t)(conn->snd_nxt - conn->snd_una) + bytes <= conn->snd_wnd;
}

static bool stalled(const struct vs_faketcp_conn *conn, uint64_t now)
{
	return vs_time_since(now, conn->progress_usec) >= VS_FAKETCP_STALL;
}

/* A window that is smaller than what is asked for is half empty at least, or nothing would ever be sent. */
bool vs_faketcp_conn_has_room(const struct vs_faketcp_conn *conn, size_t bytes, uint64_t now)
{
	return fits(conn, VS_MIN(bytes, conn->snd_wnd / 2)) || stalled(conn, now);
}

/* Makes room in the peer's window, if only by giving up what is in it, or by probing it (RFC 9293, section 3.8.6.1). */
static bool make_room(struct vs_faketcp_conn *conn, size_t bytes, uint64_t now)
{
	if (fits(conn, bytes))
		return true;
	if (!stalled(conn, now))
		return false;
	conn->snd_wnd = VS_MAX(conn->snd_wnd, (uint32_t)bytes);
	conn->snd_nxt = conn->snd_una;
	conn->progress_usec = now;
	conn->stalls++;
	return true;
}

int vs_faketcp_conn_send(struct vs_faketcp_conn *conn, const uint8_t *datagram, size_t len, bool push, uint64_t now,
			 uint8_t header[VS_FAKETCP_HEADER_MAX], size_t *header_len)
{
	size_t bytes = VS_FAKETCP_LENGTH + len;

	if (bytes > conn->payload_max)
		return -EMSGSIZE;
	if (!make_room(conn, bytes, now))
		return -ENOBUFS;
	/* The clock of a stall starts with the first byte that waits for an acknowledgement. */
	if (conn->snd_nxt == conn->snd_una)
		conn->progress_usec = now;
	struct vs_tcp_segment segment = next_segment(conn, push ? VS_TCP_PSH | VS_TCP_ACK : VS_TCP_ACK, now);
	*header_len = vs_faketcp_build(header, &segment, datagram, len);
	conn->snd_nxt += (uint32_t)bytes;
	if (ahead(conn->snd_nxt, conn->snd_max) > 0)
		conn->snd_max = conn->snd_nxt;
	return 0;
}

size_t vs_faketcp_conn_control(const struct vs_faketcp_conn *conn, uint8_t flags, uint64_t now,
			       uint8_t header[VS_FAKETCP_HEADER_MAX])
{
	struct vs_tcp_segment segment = next_segment(conn, flags, now);

	return vs_faketcp_build(header, &segment, NULL, 0);
}

/* --- Receiving ---------------------------------------------------------------------------------------------------- */

static bool close_to(const struct vs_faketcp_conn *conn, uint32_t number, uint32_t center)
{
	int32_t distance = ahead(number, center);

	return distance >= -(int64_t)conn->max_window && distance <= (int64_t)conn->max_window;
}

/* An acknowledgement of nothing that was sent is no acknowledgement. */
static bool plausible_ack(const struct vs_faketcp_conn *conn, uint32_t ack)
{
	return ahead(ack, conn->snd_max) <= 0 && close_to(conn, ack, conn->snd_una);
}

/* RFC 7323, section 4.3: the newest one is echoed. */
static void note_timestamp(struct vs_faketcp_conn *conn, const struct vs_tcp_segment *segment)
{
	if (!segment->has_ts || (conn->has_recent && ahead(segment->ts_val, conn->ts_recent) <= 0))
		return;
	conn->ts_recent = segment->ts_val;
	conn->has_recent = true;
}

static void note_ack(struct vs_faketcp_conn *conn, const struct vs_tcp_segment *segment, uint64_t now)
{
	int32_t progress = ahead(segment->ack, conn->snd_una);

	/* An older acknowledgement brings an older window. */
	if (progress < 0)
		return;
	conn->snd_wnd = (uint32_t)segment->window << conn->snd_wscale;
	if (progress > 0) {
		conn->snd_una = segment->ack;
		conn->progress_usec = now;
		/* It was not lost, although we had given it up. */
		if (ahead(conn->snd_nxt, conn->snd_una) < 0)
			conn->snd_nxt = conn->snd_una;
	}
}

/* The peer's SYN-ACK, before or after the connection was made: it brings the first timestamp to be echoed. */
static enum vs_faketcp_sign input_synack(struct vs_faketcp_conn *conn, const struct vs_tcp_segment *segment)
{
	if (!(segment->flags & VS_TCP_ACK) || segment->seq + 1 != conn->rcv_nxt || segment->ack != conn->snd_una)
		return VS_FAKETCP_NOTHING;
	note_timestamp(conn, segment);
	if (conn->greeted)
		return VS_FAKETCP_SYNACK;
	conn->greeted = true; /* the kernel has acknowledged the first */
	return VS_FAKETCP_NOTHING;
}

static void note_data(struct vs_faketcp_conn *conn, uint32_t end, uint64_t now)
{
	bool behind = ahead(end, conn->rcv_nxt) < 0;

	if (behind && vs_time_since(now, conn->reached_usec) < VS_FAKETCP_RESYNC)
		return;
	conn->rcv_nxt = end;
	conn->reached_usec = now;
}

enum vs_faketcp_sign vs_faketcp_conn_input(struct vs_faketcp_conn *conn, const struct vs_tcp_segment *segment,
					   size_t len, uint64_t now)
{
	uint32_t end = segment->seq + (uint32_t)len;

	if (segment->flags & VS_TCP_SYN)
		return input_synack(conn, segment);
	if (!close_to(conn, segment->seq, conn->rcv_nxt))
		return VS_FAKETCP_NOTHING;
	/* A kernel that does not know the connection (any more) answers with the number that we have acknowledged. */
	if (segment->flags & VS_TCP_RST)
		return VS_FAKETCP_RESET;
	if (!(segment->flags & VS_TCP_ACK) || !plausible_ack(conn, segment->ack))
		return VS_FAKETCP_NOTHING;
	note_timestamp(conn, segment);
	note_ack(conn, segment, now);
	note_data(conn, end, now);
	return segment->flags & VS_TCP_FIN ? VS_FAKETCP_FINISHED : VS_FAKETCP_NOTHING;
}
