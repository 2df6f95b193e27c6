/* Two links with known keys, joined by a bad path that the input controls: datagrams are lost, held back, repeated and
 * cut, frames are sent, time passes, keys are replaced, addresses change. Until the input has the second link's key
 * used for plaintexts of its own making, which only an authenticated peer could send, frames come out whole and once,
 * and no link reports an error; after that, nothing may crash, leak or grow. On a link in the clear the input can also
 * invent and change datagrams without any key: then frames may be anybody's, but still no link reports an error, is
 * closed, or follows them to another address. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fuzz/check.h"
#include "link/link.h"

#define POOL_BYTES (16 << 20)
#define HELD 32

struct held {
	size_t len;
	uint8_t data[VS_DATAGRAM_MAX];
};

struct end {
	struct vs_link *link;
	struct vs_path path; /* as the other end sees it */
	struct vs_deframed arrived;
	uint32_t sent;
	struct held out[HELD]; /* on their way to the other end */
	unsigned out_n;
	uint32_t index; /* of the newest session, ours */
	uint64_t counter; /* of the last datagram sent */
};

struct fuzz {
	struct vs_pool *pool;
	struct end ends[2]; /* the first is the initiator */
	struct vs_params params;
	uint32_t last_index;
	bool fresh_pending; /* the responder has not reset its lanes yet: no handshake may say `resumed` */
	bool forged;  /* under the peer's keys */
	bool meddled; /* in the clear */
	uint64_t forged_counter;
	uint64_t now;
};

/* --- Frames --- */

static void send_frame(struct fuzz *f, struct end *e, uint8_t flow, size_t len)
{
	struct vs_frame *frame = vs_frame_new(f->pool, VS_MAX(len, (size_t)22));
	if (!frame)
		return;
	uint8_t *p = vs_frame_bytes(frame);
	memset(p, (int)(e->sent & 0xff), frame->len);
	memset(p, 2, VS_ETH_HEADER);
	p[5] = flow;
	vs_put_be16(p + 12, 0x88b5);
	vs_put_be32(p + 14, e->sent++);
	vs_link_send(e->link, frame, f->now);
}

static void take_frames(struct fuzz *f, struct end *e, const struct end *from)
{
	struct vs_frame *frame;
	while ((frame = vs_frame_list_pop(&e->arrived.frames))) {
		const uint8_t *p = vs_frame_cbytes(frame);
		CHECK(frame->len >= VS_ETH_HEADER && frame->len <= VS_ETH_FRAME_MAX);
		if (!f->forged && !f->meddled) {
			uint32_t number = vs_get_be32(p + 14);
			CHECK(number < from->sent);
			for (uint32_t i = 18; i < frame->len; i++)
				CHECK(p[i] == (uint8_t)number);
		}
		vs_frame_unref(frame);
	}
	CHECK(e->arrived.control.count == 0);
}

/* --- Sessions --- */

static void make_key(uint8_t key[VS_KEY_SIZE], uint32_t index, bool initiator)
{
	memset(key, initiator ? 1 : 2, VS_KEY_SIZE);
	vs_put_be32(key, index);
}

static void install(struct fuzz *f, bool resumed)
{
	struct vs_session_keys a = { .cipher = f->params.cipher, .initiator = true }, b = { .cipher = f->params.cipher };
	a.local_index = b.remote_index = ++f->last_index;
	b.local_index = a.remote_index = ++f->last_index;
	make_key(a.send, a.local_index, true);
	make_key(a.recv, a.local_index, false);
	memcpy(b.send, a.recv, VS_KEY_SIZE);
	memcpy(b.recv, a.send, VS_KEY_SIZE);
	f->params.resumed = resumed && !f->fresh_pending;
	f->fresh_pending = !f->params.resumed;
	f->forged_counter = UINT64_C(1) << 40;
	if (vs_link_install(f->ends[1].link, &b, &f->params, f->now) ||
	    vs_link_install(f->ends[0].link, &a, &f->params, f->now))
		abort();
	f->ends[0].index = a.local_index;
	f->ends[1].index = b.local_index;
}

/* --- Datagrams --- */

static void pump(struct fuzz *f, struct end *e)
{
	static uint8_t buffer[VS_DATAGRAM_MAX];
	struct vs_link_sent sent;
	uint32_t index;
	size_t len;
	while ((len = vs_link_output(e->link, f->now, buffer, sizeof(buffer), &sent))) {
		CHECK(len <= sizeof(buffer));
		CHECK(buffer[0] == VS_TYPE_DATA || f->params.protection == VS_PROTECTION_NONE);
		e->counter = sent.counter;
		if (e->out_n == HELD)
			continue;
		e->out[e->out_n].len = len;
		memcpy(e->out[e->out_n++].data, buffer, len);
	}
	unsigned events = vs_link_take_events(e->link);
	CHECK(f->forged || !(events & (VS_LINK_ERROR | VS_LINK_CLOSED)));
	if (e == &f->ends[1] && events & VS_LINK_FRESH)
		f->fresh_pending = false;
	while (vs_link_take_retired(e->link, &index))
		;
	(void)vs_link_deadline(e->link);
}

static void input(struct fuzz *f, struct end *e, const uint8_t *data, size_t len)
{
	static uint8_t copy[VS_DATAGRAM_MAX];
	struct end *from = e == &f->ends[0] ? &f->ends[1] : &f->ends[0];
	memcpy(copy, data, len);
	vs_link_input(e->link, copy, len, &from->path, f->now, &e->arrived);
	take_frames(f, e, from);
}

/* A datagram from the ones on their way; `how` says what becomes of it. */
static void deliver(struct fuzz *f, struct end *from, uint8_t which, uint8_t how)
{
	struct end *to = from == &f->ends[0] ? &f->ends[1] : &f->ends[0];
	if (!from->out_n)
		return;
	unsigned i = which % from->out_n;
	struct held *held = &from->out[i];
	f->meddled |= f->params.protection == VS_PROTECTION_NONE && (how % 8 == 1 || how % 8 == 3);
	if (how % 8 == 1 && held->len > 1)
		held->data[how % held->len] ^= (uint8_t)(1 + which); /* damaged */
	if (how % 8 != 2)
		input(f, to, held->data, how % 8 == 3 ? held->len * which / 256 : held->len); /* 3: cut */
	if (how % 8 == 4)
		return; /* it will come again */
	from->out_n--;
	memmove(held, held + 1, (from->out_n - i) * sizeof(*held));
}

/* A plaintext of the input's own making, sealed as the initiator's. */
static void forge(struct fuzz *f, struct vs_view *in)
{
	static uint8_t out[VS_DATAGRAM_MAX];
	uint8_t key[VS_KEY_SIZE];
	size_t len = VS_MIN(in->len, (size_t)vs_view_u8(in));
	const uint8_t *text = vs_view_pull(in, VS_MIN(len, in->len));
	len = VS_MIN(len, (size_t)(in->data - text));
	if (!text || !len)
		return;
	f->forged = true;
	make_key(key, f->ends[0].index, true);
	struct vs_aead *aead = vs_crypto_default()->aead_new(f->params.cipher, key);
	struct iovec part = { (void *)(uintptr_t)text, len };
	out[0] = VS_TYPE_DATA;
	vs_put_be24(out + 1, f->ends[1].index);
	vs_put_be64(out + 4, f->forged_counter);
	if (!aead || vs_crypto_default()->aead_seal(aead, f->forged_counter++, out, VS_SEAL_HEADER, &part, 1,
						    out + VS_SEAL_HEADER))
		abort();
	vs_crypto_default()->aead_free(aead);
	input(f, &f->ends[1], out, len + VS_SEAL_OVERHEAD);
}

/* A plaintext of the input's own making, in the clear, as the initiator's, or from elsewhere. */
static void forge_clear(struct fuzz *f, uint8_t how, struct vs_view *in)
{
	static uint8_t out[VS_DATAGRAM_MAX];
	struct end *from = &f->ends[0], *to = &f->ends[1];
	struct vs_path path = from->path;
	uint64_t ahead = (uint64_t)vs_view_u8(in) << (how & 15);
	size_t len = VS_MIN(in->len, (size_t)vs_view_u8(in));
	const uint8_t *text = vs_view_pull(in, VS_MIN(len, in->len));
	if (!text)
		return;
	len = VS_MIN(len, (size_t)(in->data - text));
	f->meddled = true;
	if (how & 16)
		path.peer.in.sin_port ^= 0x5555;
	out[0] = VS_TYPE_CLEAR;
	vs_put_be24(out + 1, to->index);
	vs_put_be64(out + 4, from->counter + ahead);
	memcpy(out + VS_SEAL_HEADER, text, len);
	struct vs_path before = *vs_link_path(to->link);
	vs_link_input(to->link, out, VS_SEAL_HEADER + len, &path, f->now, &to->arrived);
	CHECK(vs_addr_equal(&before.peer, &vs_link_path(to->link)->peer));
	take_frames(f, to, from);
}

static void check_bounds(const struct fuzz *f, const struct end *e)
{
	const struct vs_queue_config queue = VS_QUEUE_CONFIG_DEFAULT;
	struct vs_link_stats s;
	vs_link_stats(e->link, f->now, &s);
	CHECK(s.queue.frames <= queue.limit_frames && s.queue.bytes <= queue.limit_bytes);
	CHECK(s.arq_rx.held <= (4u << 20) + 10000 + VS_LANES_MAX * VS_ETH_FRAME_MAX);
	CHECK(s.datagram >= VS_DATAGRAM_BASE && s.datagram <= VS_DATAGRAM_MAX);
}

static void step(struct fuzz *f, struct vs_view *in)
{
	uint8_t op = vs_view_u8(in), arg = vs_view_u8(in);
	struct end *e = &f->ends[op >> 7];
	switch ((op & 0x7f) % 9) {
	case 0:
		send_frame(f, e, arg & 7, 14 + (size_t)vs_view_u8(in) * (arg & 8 ? 35 : 6));
		break;
	case 1:
	case 2:
		deliver(f, e, arg, vs_view_u8(in));
		break;
	case 3:
		while (e->out_n)
			deliver(f, e, 0, 0);
		break;
	case 4:
		f->now += arg * VS_MSEC / 4;
		break;
	case 5:
		if (arg > 240)
			f->now += (uint64_t)(arg - 240) * VS_SEC;
		break;
	case 6:
		if (arg > 200)
			install(f, arg & 1);
		break;
	case 7:
		e->path.peer.in.sin_port = htons(arg);
		break;
	case 8:
		if (arg > 128)
			forge(f, in);
		else if (arg == 128)
			vs_link_refused(e->link, vs_view_be16(in), 1200 + vs_view_u8(in), true, f->now);
		else if (f->params.protection == VS_PROTECTION_NONE)
			forge_clear(f, arg, in);
		break;
	}
	pump(f, &f->ends[0]);
	pump(f, &f->ends[1]);
	check_bounds(f, &f->ends[0]);
	check_bounds(f, &f->ends[1]);
}

/* --- Life --- */

static void open_end(struct fuzz *f, struct end *e, const char *address, bool initiator)
{
	struct vs_link_config config = {
		.crypto = vs_crypto_default(),
		.pool = f->pool,
		.queue = VS_QUEUE_CONFIG_DEFAULT,
		.flow_key = 7,
		.datagram_max = 1472,
		.initiator = initiator,
	};
	e->link = vs_link_new(&config, f->now);
	if (!e->link || vs_addr_parse(address, 7000, &e->path.peer) < 0)
		abort();
	vs_frame_list_init(&e->arrived.frames, 4096);
	vs_frame_list_init(&e->arrived.control, 64);
}

static void open_fuzz(struct fuzz *f, uint8_t flags)
{
	*f = (struct fuzz){ .now = 10 * VS_SEC, .pool = vs_pool_new(POOL_BYTES) };
	f->params = (struct vs_params){
		.version = VS_PROTOCOL_VERSION,
		.kcp = vs_kcp_config_default(),
		.cipher = VS_CIPHER_CHACHA20_POLY1305,
		.protection = (enum vs_protection)((flags >> 5) % 3),
		.mode = flags & 1 ? VS_MODE_DATAGRAM : VS_MODE_RELIABLE,
		.congestion = (enum vs_congestion_kind)((flags >> 1) % 3),
		.lanes = flags & 8 ? VS_LANES_MAX : 2,
		.datagram_max = 1472,
		.mtu = 1500,
		.keepalive_usec = VS_SEC,
		.max_age_usec = flags & 16 ? VS_SEC : 0,
		.incarnation = 1,
	};
	if (flags >> 5 >= 3) {
		f->params.features = VS_FEATURE_FEC;
		f->params.fec_up = (struct vs_fec_config){ .kind = VS_FEC_FIXED, .k = 2, .m = 1 };
		f->params.fec_down = (struct vs_fec_config){ .kind = VS_FEC_AUTO, .overhead_max = 60 };
	}
	open_end(f, &f->ends[0], "192.0.2.1", true);
	open_end(f, &f->ends[1], "192.0.2.2", false);
	install(f, false);
	pump(f, &f->ends[0]);
}

static void close_end(struct end *e)
{
	vs_link_free(e->link);
	vs_frame_list_fini(&e->arrived.frames);
	vs_frame_list_fini(&e->arrived.control);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct fuzz f;
	static bool ready;
	struct vs_view in = vs_view_of(data, size);
	if (!ready && vs_crypto_init() < 0)
		abort();
	ready = true;
	open_fuzz(&f, vs_view_u8(&in));
	while (in.len)
		step(&f, &in);
	close_end(&f.ends[0]);
	close_end(&f.ends[1]);
	vs_pool_free(f.pool); /* asserts that every frame is back */
	return 0;
}
