/* In: frames from TAPs and from the carrier's datagrams, through the bridge, to the ports that they leave by. */
#include "io/worker.h"

#include <errno.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/gso.h"
#include "io/tap.h"
#include "io/tap_super.h"
#include "io/worker_state.h"
#include "link/flow.h"
#include "link/framing.h"

/* Frames taken from a TAP in one go: more than it holds (VS_TAP_QUEUE_LEN), so that frames wait in our queue, which
 * knows flows and their delay, and not in the kernel's, which does not. */
#define TAP_BATCH 128

/* The same in bytes, for super-frames. */
#define TAP_BATCH_BYTES (512u << 10)

/* --- Through the bridge --- */

static void send_link(struct vs_wport *port, struct vs_frame *frame, uint64_t now)
{
	vs_link_send(port->link, frame, now);
	vs_wport_touch(port);
}

/* For a port that does not take a super-frame: as the frames that it stands for. */
static void deliver_segments(struct vs_wport *port, struct vs_frame *super, uint64_t now)
{
	struct vs_worker *worker = port->worker;
	struct vs_frame *frame;
	if (vs_gso_segment(worker->pool, super, VS_ETH_FRAME_MAX, &worker->segments) < 0)
		vs_drop(&worker->drops, VS_DROP_NO_BUFFER);
	vs_frame_unref(super);
	while ((frame = vs_frame_list_pop(&worker->segments))) {
		if (port->link)
			send_link(port, frame, now);
		else if (port->plain)
			vs_wport_send_plain(port, frame, now);
		else if (vs_wport_write_tap(port, frame) < 0)
			vs_frame_unref(frame);
	}
}

/* Sends a frame out of a port; takes over the reference. */
static void deliver(struct vs_wport *port, struct vs_frame *frame, uint64_t now)
{
	if (port->link) {
		if (!frame->super || vs_link_takes_supers(port->link))
			send_link(port, frame, now);
		else
			deliver_segments(port, frame, now);
	} else if (port->plain && !frame->super) {
		vs_wport_send_plain(port, frame, now);
	} else if (port->plain || vs_wport_write_tap(port, frame) < 0) {
		deliver_segments(port, frame, now);
	}
}

/* Hands the frame to the workers that have ports for it. What is written into a frame late, by whoever sends it first,
 * must be there before two threads hold it. */
static void send_across(struct vs_worker *worker, const struct vs_egress *egress)
{
	struct vs_frame *frame = egress->crossing.frame;
	vs_flow_hash(frame, worker->flow_key);
	vs_framing_prepare(frame);
	worker->handler.cross(worker->handler.arg, egress->elsewhere, &egress->crossing);
}

/* Sends what the bridge has handed out. */
static void send_out(struct vs_worker *worker, uint64_t now)
{
	struct vs_egress *egress = &worker->egress;
	if (egress->elsewhere)
		send_across(worker, egress);
	for (uint32_t i = 0; i < egress->count; i++)
		deliver(worker->by_id[egress->ports[i].id], egress->ports[i].frame, now);
}

static void forward(struct vs_wport *from, struct vs_frame *frame, uint64_t now)
{
	struct vs_worker *worker = from->worker;
	vs_bridge_input(worker->bridge, worker->number, from->id, frame, now, &worker->egress);
	send_out(worker, now);
}

void vs_worker_arrive(struct vs_worker *worker, const struct vs_crossing *crossing)
{
	uint64_t now = vs_loop_now(worker->loop);
	vs_bridge_arrive(worker->bridge, worker->number, worker->pool, crossing, &worker->egress);
	send_out(worker, now);
}

void vs_wport_forward_arrived(struct vs_wport *from, uint64_t now)
{
	struct vs_frame *frame;
	while ((frame = vs_frame_list_pop(&from->worker->arrived.frames))) {
		/* The peer's word is checked before the kernel, or anybody else, acts on it. */
		if (frame->super && !vs_gso_sanitize(frame)) {
			vs_drop(&from->worker->drops, VS_DROP_BAD_OFFLOAD);
			vs_frame_unref(frame);
			continue;
		}
		forward(from, frame, now);
	}
}

/* --- From the carrier --- */

static void input_data(struct vs_worker *worker, const struct vs_rx_datagram *datagram, const struct vs_path *path,
		       uint64_t now)
{
	struct vs_wport *port = vs_indextable_lookup(worker->indices, vs_get_be24(datagram->data + 1));
	if (!port) {
		vs_drop(&worker->drops, VS_DROP_NO_SESSION);
		return;
	}
	vs_link_input(port->link, datagram->data, datagram->len, path, now, &worker->arrived);
	vs_wport_return_retired(port);
	vs_wport_touch(port);
	vs_wport_forward_arrived(port, now);
}

void vs_worker_on_receive(void *arg, struct vs_carrier *carrier, const struct vs_rx_batch *batch)
{
	struct vs_worker *worker = arg;
	uint64_t now = vs_loop_now(worker->loop);
	for (uint32_t i = 0; i < batch->count; i++) {
		const struct vs_rx_datagram *datagram = &batch->datagrams[i];
		struct vs_path path = {
			.peer = *datagram->from, .local = *datagram->local, .carrier = carrier->ops->kind
		};
		if (datagram->len < VS_SEAL_HEADER) {
			vs_drop(&worker->drops, VS_DROP_DATAGRAM_SHORT);
			continue;
		}
		switch (datagram->data[0]) {
		case VS_TYPE_DATA:
		case VS_TYPE_CLEAR:
			input_data(worker, datagram, &path, now);
			break;
		case VS_TYPE_INITIATION:
		case VS_TYPE_RESPONSE:
		case VS_TYPE_COOKIE:
			worker->handler.handshake(worker->handler.arg, datagram->data, datagram->len, &path);
			break;
		default:
			vs_drop(&worker->drops, VS_DROP_DATAGRAM_TYPE);
		}
	}
}

/* --- From a TAP --- */

/* Takes a frame from the device for which there is no buffer, or the loop would spin on a readable descriptor. */
static void discard_frame(struct vs_worker *worker, int fd)
{
	uint8_t byte;
	vs_drop(&worker->drops, VS_DROP_NO_BUFFER);
	if (read(fd, &byte, sizeof(byte)) < 0)
		return;
}

/* The next complete frame of a TAP without offloads; as vs_tap_super_read(). */
static struct vs_frame *read_plain(struct vs_wport *port, int *error)
{
	struct vs_frame *frame = vs_frame_new(port->worker->pool, port->frame_max + 1);
	if (!frame) {
		discard_frame(port->worker, port->fd);
		*error = -ENOBUFS;
		return NULL;
	}
	*error = vs_tap_read(port->fd, frame, &port->worker->drops);
	if (*error == 0)
		return frame;
	vs_frame_unref(frame);
	return NULL;
}

/* A descriptor whose device is gone stays readable for ever. */
static void lose_tap(struct vs_wport *port, int error)
{
	struct vs_worker *worker = port->worker;
	vs_watch_free(port->watch);
	port->watch = NULL;
	worker->handler.tap_gone(worker->handler.arg, port, error);
}

void vs_worker_on_tap(void *arg, int fd, unsigned events)
{
	struct vs_wport *port = arg;
	struct vs_worker *worker = port->worker;
	uint64_t now = vs_loop_now(worker->loop);
	size_t bytes = 0;
	(void)events;
	for (int i = 0; i < TAP_BATCH && bytes < TAP_BATCH_BYTES; i++) {
		int err;
		struct vs_frame *frame =
			port->super ? vs_tap_super_read(fd, worker->pool, &worker->landing, &worker->drops, &err)
				    : read_plain(port, &err);
		if (frame) {
			bytes += frame->len;
			forward(port, frame, now);
		} else if (err != -ENOBUFS && err != -EMSGSIZE) {
			if (err != -EAGAIN)
				lose_tap(port, -err);
			return;
		}
	}
}
