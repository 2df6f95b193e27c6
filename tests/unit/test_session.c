/* One session's two ends, by protection: what is on the wire, and what is believed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/bytes.h"
#include "base/time.h"
#include "link/session.h"

#define NOW (10 * VS_SEC)
#define TEXT "\x01the plaintext, kind first"
#define TEXT_LEN (sizeof(TEXT) - 1)

static const struct vs_crypto *const backends[] = {
#ifdef VS_HAVE_OPENSSL
	&vs_crypto_openssl,
#endif
	&vs_crypto_mbedtls,
#ifdef VS_HAVE_IPSECMB
	&vs_crypto_ipsecmb, /* last: left out where it is not usable */
#endif
};

static size_t backends_n(void)
{
#ifdef VS_HAVE_IPSECMB
	if (!vs_crypto_ipsecmb_usable())
		return VS_ARRAY_SIZE(backends) - 1;
#endif
	return VS_ARRAY_SIZE(backends);
}

struct ends {
	struct vs_session a, b;
	uint8_t datagram[VS_DATAGRAM_MAX];
	uint64_t counter;
};

static void open_ends(struct ends *e, const struct vs_crypto *crypto, enum vs_protection protection)
{
	struct vs_params params = { .cipher = VS_CIPHER_AES_256_GCM, .protection = protection };
	struct vs_session_keys a = { .cipher = params.cipher, .local_index = 1, .remote_index = 2 }, b = a;

	memset(a.send, 1, VS_KEY_SIZE);
	memset(a.recv, 2, VS_KEY_SIZE);
	memset(b.send, 2, VS_KEY_SIZE);
	memset(b.recv, 1, VS_KEY_SIZE);
	b.local_index = 2;
	b.remote_index = 1;
	assert_int_equal(vs_session_init(&e->a, crypto, &a, &params, NOW), 0);
	assert_int_equal(vs_session_init(&e->b, crypto, &b, &params, NOW), 0);
}

static void close_ends(struct ends *e)
{
	vs_session_fini(&e->a);
	vs_session_fini(&e->b);
}

/* As a link makes one: a header that was written, then a view. */
static void make_parts(struct vs_parts *parts)
{
	static const char text[] = TEXT;

	vs_parts_init(parts, 1200);
	*vs_parts_reserve(parts) = (uint8_t)text[0];
	vs_parts_commit(parts, 1);
	vs_parts_view(parts, text + 1, TEXT_LEN - 1);
}

static size_t seal(struct ends *e, struct vs_session *from)
{
	struct vs_parts parts;

	make_parts(&parts);
	return vs_session_seal(from, &parts, NOW, e->datagram, &e->counter);
}

static size_t write_clear(struct ends *e, struct vs_session *from)
{
	struct vs_parts parts;

	make_parts(&parts);
	return vs_session_write_clear(from, &parts, NOW, e->datagram, &e->counter);
}

static int open_sealed(struct ends *e, struct vs_session *to, size_t len)
{
	uint64_t counter;

	return vs_session_open(to, e->datagram, len, NOW, &counter);
}

static bool shows_text(const struct ends *e)
{
	return memcmp(e->datagram + VS_SEAL_HEADER, TEXT, TEXT_LEN) == 0;
}

static int dropped(enum vs_drop reason)
{
	return -1 - (int)reason;
}

static void test_round_trip(void **state)
{
	static const struct {
		enum vs_protection protection;
		bool shows;
	} cases[] = {
		{VS_PROTECTION_ENCRYPTED, false},
		{VS_PROTECTION_AUTH, true},
		{VS_PROTECTION_NONE, false},
	};
	struct ends e;

	(void)state;
	for (size_t c = 0; c < backends_n(); c++)
		for (size_t i = 0; i < VS_ARRAY_SIZE(cases); i++) {
			open_ends(&e, backends[c], cases[i].protection);
			size_t len = seal(&e, &e.a);
			assert_int_equal(len, TEXT_LEN + VS_SEAL_OVERHEAD);
			assert_int_equal(e.datagram[0], VS_TYPE_DATA);
			assert_int_equal(shows_text(&e), cases[i].shows);
			assert_int_equal(open_sealed(&e, &e.b, len), TEXT_LEN);
			assert_true(shows_text(&e));
			assert_int_equal(open_sealed(&e, &e.b, len), dropped(VS_DROP_REPLAY));
			close_ends(&e);
		}
}

/* Not a bit of an authenticated datagram can be changed, though all of it can be read. */
static void test_auth_forgery(void **state)
{
	struct ends e;

	(void)state;
	for (size_t c = 0; c < backends_n(); c++) {
		open_ends(&e, backends[c], VS_PROTECTION_AUTH);
		size_t len = seal(&e, &e.a);
		/* Type and index are looked at elsewhere, but authenticated as well. */
		for (size_t i = 0; i < len; i++) {
			e.datagram[i] ^= 1;
			assert_int_equal(open_sealed(&e, &e.b, len), dropped(VS_DROP_BAD_SEAL));
			e.datagram[i] ^= 1;
		}
		assert_int_equal(open_sealed(&e, &e.b, len - 1), dropped(VS_DROP_BAD_SEAL));
		assert_int_equal(open_sealed(&e, &e.b, VS_SEAL_OVERHEAD), dropped(VS_DROP_DATAGRAM_SHORT));
		assert_int_equal(open_sealed(&e, &e.b, len), TEXT_LEN);
		close_ends(&e);
	}
}

/* All backends agree on what is associated data. */
static void test_auth_across_backends(void **state)
{
	struct ends e, f;

	(void)state;
	for (size_t pair = 0; pair < backends_n() * backends_n(); pair++) {
		open_ends(&e, backends[pair / backends_n()], VS_PROTECTION_AUTH);
		open_ends(&f, backends[pair % backends_n()], VS_PROTECTION_AUTH);
		size_t len = seal(&e, &e.a);
		assert_int_equal(open_sealed(&e, &f.b, len), TEXT_LEN);
		close_ends(&e);
		close_ends(&f);
	}
}

/* One protection's datagrams are none of another's, under the same keys. */
static void test_protections_do_not_mix(void **state)
{
	struct ends auth, encrypted;

	(void)state;
	open_ends(&auth, vs_crypto_default(), VS_PROTECTION_AUTH);
	open_ends(&encrypted, vs_crypto_default(), VS_PROTECTION_ENCRYPTED);
	size_t len = seal(&auth, &auth.a);
	assert_int_equal(open_sealed(&auth, &encrypted.b, len), dropped(VS_DROP_BAD_SEAL));
	len = seal(&encrypted, &encrypted.a);
	assert_int_equal(open_sealed(&encrypted, &auth.b, len), dropped(VS_DROP_BAD_SEAL));
	assert_false(vs_session_sends_clear(&auth.a));
	vs_put_be64(auth.datagram + 4, 1);
	assert_int_equal(vs_session_read_clear(&auth.b, auth.datagram, 100, NOW), dropped(VS_DROP_CLEAR_REFUSED));
	assert_int_equal(vs_session_read_clear(&encrypted.b, auth.datagram, 100, NOW), dropped(VS_DROP_CLEAR_REFUSED));
	close_ends(&auth);
	close_ends(&encrypted);
}

/* Both ends have sealed something. */
static void open_clear(struct ends *e)
{
	open_ends(e, vs_crypto_default(), VS_PROTECTION_NONE);
	assert_false(vs_session_sends_clear(&e->a));
	assert_int_equal(open_sealed(e, &e->b, seal(e, &e->a)), TEXT_LEN);
	/* The peer takes nothing in the clear before something sealed. */
	assert_false(vs_session_sends_clear(&e->b));
	assert_int_equal(open_sealed(e, &e->a, seal(e, &e->b)), TEXT_LEN);
	assert_true(vs_session_sends_clear(&e->a));
}

static void test_clear_datagram(void **state)
{
	struct ends e;

	(void)state;
	open_clear(&e);
	size_t len = write_clear(&e, &e.a);
	assert_int_equal(len, VS_SEAL_HEADER + TEXT_LEN);
	assert_int_equal(e.datagram[0], VS_TYPE_CLEAR);
	assert_int_equal(vs_get_be24(e.datagram + 1), 2);
	assert_int_equal(e.counter, 1);
	assert_true(shows_text(&e));
	assert_int_equal(vs_session_read_clear(&e.b, e.datagram, VS_SEAL_HEADER, NOW),
			 dropped(VS_DROP_DATAGRAM_SHORT));
	assert_int_equal(vs_session_read_clear(&e.b, e.datagram, len, e.b.expires_usec),
			 dropped(VS_DROP_SESSION_EXPIRED));
	assert_int_equal(vs_session_read_clear(&e.b, e.datagram, len, NOW), TEXT_LEN);
	assert_int_equal(vs_session_read_clear(&e.b, e.datagram, len, NOW), dropped(VS_DROP_REPLAY));
	vs_put_be64(e.datagram + 4, VS_CLEAR_AHEAD + 1);
	assert_int_equal(vs_session_read_clear(&e.b, e.datagram, len, NOW), dropped(VS_DROP_CLEAR_COUNTER));
	/* It is not taken for a sealed one. */
	assert_int_equal(open_sealed(&e, &e.b, len), dropped(VS_DROP_BAD_SEAL));
	close_ends(&e);
}

/* No run of clear datagrams is longer than VS_CLEAR_RUN, and none ends without a sealed one after it. */
static void test_clear_runs(void **state)
{
	struct ends e;

	(void)state;
	open_clear(&e);
	assert_true(e.a.anchor_deadline == VS_NEVER);
	for (unsigned i = 0; i < VS_CLEAR_RUN; i++) {
		assert_true(vs_session_sends_clear(&e.a));
		assert_true(write_clear(&e, &e.a) > 0);
		assert_int_equal(e.a.anchor_deadline, NOW + VS_CLEAR_ANCHOR);
	}
	assert_false(vs_session_sends_clear(&e.a));
	seal(&e, &e.a);
	assert_true(vs_session_sends_clear(&e.a));
	assert_true(e.a.anchor_deadline == VS_NEVER);
	close_ends(&e);
}

/* Sealed datagrams are told new from old by themselves: no clear one, genuine or invented, makes one look old. */
static void test_clear_leaves_the_replay_window(void **state)
{
	struct ends e;

	(void)state;
	open_clear(&e);
	size_t len = write_clear(&e, &e.a);
	vs_put_be64(e.datagram + 4, VS_CLEAR_AHEAD);
	assert_int_equal(vs_session_read_clear(&e.b, e.datagram, len, NOW), TEXT_LEN);
	/* The very counter of the next sealed one. */
	vs_put_be64(e.datagram + 4, 2);
	assert_int_equal(vs_session_read_clear(&e.b, e.datagram, len, NOW), TEXT_LEN);
	assert_int_equal(open_sealed(&e, &e.b, seal(&e, &e.a)), TEXT_LEN);
	assert_int_equal(e.b.replay.next, 3);
	close_ends(&e);
}

/* Reports speak of clear datagrams once a sealed one has passed them, and never of a counter that is not the peer's. */
static void test_clear_reports(void **state)
{
	struct ends e;

	(void)state;
	open_clear(&e);
	for (int i = 0; i < 10; i++) {
		size_t len = write_clear(&e, &e.a);
		if (i != 4)
			assert_int_equal(vs_session_read_clear(&e.b, e.datagram, len, NOW), TEXT_LEN);
	}
	size_t len = write_clear(&e, &e.a);
	vs_put_be64(e.datagram + 4, VS_CLEAR_AHEAD - 100);
	assert_int_equal(vs_session_read_clear(&e.b, e.datagram, len, NOW), TEXT_LEN);
	assert_int_equal(e.b.report_rx.received, 0);
	assert_int_equal(e.b.report_rx.next, 0);

	assert_int_equal(open_sealed(&e, &e.b, seal(&e, &e.a)), TEXT_LEN);
	/* Counters 1 ... 10 without the fifth; the link adds sealed ones. */
	assert_int_equal(e.b.report_rx.received, 9);
	assert_int_equal(e.b.report_rx.next, 11);
	assert_true(e.b.report_rx.due_usec < VS_NEVER);

	/* One that the sealed one has overtaken fills its gap. */
	vs_put_be64(e.datagram + 4, 5);
	assert_int_equal(vs_session_read_clear(&e.b, e.datagram, len, NOW), TEXT_LEN);
	assert_int_equal(e.b.report_rx.received, 10);
	close_ends(&e);
}

/* A counter far ahead, which only the peer itself could seal, costs no more than the window is wide. */
static void test_a_leap_of_sealed_counters(void **state)
{
	struct ends e;

	(void)state;
	open_clear(&e);
	e.a.counter = UINT64_C(1) << 50;
	assert_int_equal(open_sealed(&e, &e.b, seal(&e, &e.a)), TEXT_LEN);
	size_t len = write_clear(&e, &e.a);
	assert_int_equal(vs_session_read_clear(&e.b, e.datagram, len, NOW), TEXT_LEN);
	close_ends(&e);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_round_trip),
		cmocka_unit_test(test_auth_forgery),
		cmocka_unit_test(test_auth_across_backends),
		cmocka_unit_test(test_protections_do_not_mix),
		cmocka_unit_test(test_clear_datagram),
		cmocka_unit_test(test_clear_runs),
		cmocka_unit_test(test_clear_leaves_the_replay_window),
		cmocka_unit_test(test_clear_reports),
		cmocka_unit_test(test_a_leap_of_sealed_counters),
	};

	if (vs_crypto_init() < 0)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
