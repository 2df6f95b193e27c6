/* io/lobby on loopback: who says what a member says is handed on; who says anything else, or whom there are too many of,
 * is closed, and nobody else is. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/bytes.h"
#include "io/carrier_tcp.h"
#include "io/lobby.h"
#include "io/tcp_conn.h"
#include "io/udp_socket.h"

static struct vs_loop *loop;
static struct vs_lobby *lobby;
static struct vs_drops drops;
static struct vs_addr listening;
static unsigned asked;
static struct vs_path asked_by;

static void on_handshake(void *arg, const uint8_t *datagram, size_t len, const struct vs_path *path)
{
	(void)arg;
	assert_int_equal(datagram[0], VS_TYPE_INITIATION);
	assert_int_equal(len, VS_INITIATION_SIZE);
	asked++;
	asked_by = *path;
}

static struct vs_conn *make(void *arg, int fd)
{
	(void)arg;
	return vs_tcp_conn_new(fd);
}

static int setup(void **state)
{
	const struct vs_lobby_handler handler = { .handshake = on_handshake };
	struct vs_carrier *carrier;
	(void)state;
	memset(&drops, 0, sizeof(drops));
	asked = 0;
	loop = vs_loop_new();
	lobby = vs_lobby_new(loop, &handler, &drops);
	assert_non_null(lobby);
	struct vs_carrier_handler of_carrier = vs_lobby_carrier_handler(lobby);
	assert_int_equal(vs_carrier_tcp_new(loop, &of_carrier, &drops, &carrier), 0);
	vs_lobby_set_carrier(lobby, carrier);
	assert_int_equal(vs_addr_parse("127.0.0.1", 0, &listening), 0);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(fd, &listening.sa, vs_addr_len(&listening)), 0);
	listening = vs_udp_local(fd);
	assert_int_equal(vs_lobby_listen(lobby, fd, make, NULL), 0);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	vs_lobby_free(lobby);
	vs_loop_free(loop);
	return 0;
}

static void on_deadline(void *arg, uint64_t now)
{
	(void)now;
	*(bool *)arg = true;
}

/* Turns until the condition holds; fails after some seconds. */
#define WAIT_UNTIL(condition)                                                              \
	do {                                                                               \
		struct vs_timer timer_;                                                    \
		bool late_ = false;                                                        \
		assert_int_equal(vs_timer_init(&timer_, loop, on_deadline, &late_), 0);    \
		vs_timer_set(&timer_, vs_loop_refresh(loop) + 8 * VS_SEC);                 \
		while (!(condition) && !late_)                                             \
			assert_int_equal(vs_loop_turn(loop), 0);                           \
		vs_timer_fini(&timer_);                                                    \
		assert_true(condition);                                                    \
	} while (0)

static struct vs_lobby_stats stats(void)
{
	struct vs_lobby_stats out;
	vs_lobby_stats(lobby, &out);
	return out;
}

/* A connection from 127.0.0.`host`, which the lobby has seen. */
static int come_from(unsigned host)
{
	char text[16];
	struct vs_addr from;
	struct vs_lobby_stats before = stats();
	snprintf(text, sizeof(text), "127.0.0.%u", host);
	assert_int_equal(vs_addr_parse(text, 0, &from), 0);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(fd, &from.sa, vs_addr_len(&from)), 0);
	assert_int_equal(connect(fd, &listening.sa, vs_addr_len(&listening)), 0);
	WAIT_UNTIL(stats().accepted + stats().refused > before.accepted + before.refused);
	return fd;
}

static bool is_hung_up(int fd)
{
	char byte;
	ssize_t n = recv(fd, &byte, 1, MSG_DONTWAIT);
	return n == 0 || (n < 0 && errno == ECONNRESET);
}

static void say(int fd, uint8_t type, uint16_t len)
{
	uint8_t bytes[2 + VS_HANDSHAKE_MAX + 1] = { 0 };
	vs_put_be16(bytes, len);
	bytes[2] = type;
	assert_int_equal(send(fd, bytes, 2u + len, MSG_NOSIGNAL), 2 + len);
}

static void test_a_member_comes_in(void **state)
{
	uint8_t answer[32];
	(void)state;
	int fd = come_from(1);
	say(fd, VS_TYPE_INITIATION, VS_INITIATION_SIZE);
	WAIT_UNTIL(asked == 1);
	assert_int_equal(asked_by.carrier, VS_CARRIER_TCP);
	struct vs_addr ours = vs_udp_local(fd);
	assert_true(vs_addr_equal(&asked_by.peer, &ours));
	assert_true(vs_addr_equal(&asked_by.local, &listening));

	/* A cookie, say, and the question again. */
	vs_lobby_send(lobby, (const uint8_t *)"abc", 3, &asked_by);
	say(fd, VS_TYPE_INITIATION, VS_INITIATION_SIZE);
	WAIT_UNTIL(asked == 2);
	assert_int_equal(recv(fd, answer, sizeof(answer), 0), 5);
	assert_memory_equal(answer, "\0\3abc", 5);

	struct vs_conn *conn = vs_lobby_take(lobby, &asked_by, 0);
	assert_non_null(conn);
	assert_true(vs_addr_equal(&conn->peer, &ours));
	assert_null(vs_lobby_take(lobby, &asked_by, 0));
	assert_int_equal(stats().waiting, 0);
	assert_int_equal(stats().admitted, 1);
	vs_conn_free(conn);
	close(fd);
}

static void test_who_says_anything_else_is_turned_out(void **state)
{
	static const struct {
		uint8_t type;
		uint16_t len;
		enum vs_drop reason;
	} cases[] = {
		{ VS_TYPE_DATA, VS_INITIATION_SIZE, VS_DROP_DATAGRAM_TYPE },
		{ VS_TYPE_RESPONSE, VS_INITIATION_SIZE, VS_DROP_DATAGRAM_TYPE },
		{ 'G', 40, VS_DROP_DATAGRAM_TYPE },
		{ VS_TYPE_INITIATION, VS_INITIATION_SIZE - 1, VS_DROP_BAD_HANDSHAKE },
		{ VS_TYPE_INITIATION, 1, VS_DROP_BAD_HANDSHAKE },
		{ VS_TYPE_INITIATION, VS_HANDSHAKE_MAX + 1, VS_DROP_BAD_HANDSHAKE },
	};
	(void)state;
	int witness = come_from(2);
	for (size_t i = 0; i < VS_ARRAY_SIZE(cases); i++) {
		uint64_t before = drops.count[cases[i].reason];
		int fd = come_from(1);
		say(fd, cases[i].type, cases[i].len);
		WAIT_UNTIL(is_hung_up(fd));
		assert_int_equal(drops.count[cases[i].reason], before + 1);
		close(fd);
	}
	assert_int_equal(asked, 0);
	assert_int_equal(stats().waiting, 1);
	assert_false(is_hung_up(witness));
	close(witness);
}

static void test_questions_are_counted(void **state)
{
	(void)state;
	int fd = come_from(1);
	for (unsigned i = 0; i < VS_LOBBY_QUESTIONS_MAX; i++) {
		say(fd, VS_TYPE_INITIATION, VS_INITIATION_SIZE);
		WAIT_UNTIL(asked == i + 1);
	}
	assert_false(is_hung_up(fd));
	say(fd, VS_TYPE_INITIATION, VS_INITIATION_SIZE);
	WAIT_UNTIL(is_hung_up(fd));
	assert_int_equal(asked, VS_LOBBY_QUESTIONS_MAX);
	close(fd);
}

static void test_eight_of_an_address(void **state)
{
	int fds[VS_LOBBY_HOST_MAX];
	(void)state;
	for (size_t i = 0; i < VS_ARRAY_SIZE(fds); i++)
		fds[i] = come_from(1);
	int ninth = come_from(1), other = come_from(2);
	WAIT_UNTIL(is_hung_up(ninth));
	assert_int_equal(stats().waiting, VS_LOBBY_HOST_MAX + 1);
	/* One that goes makes room for another. */
	close(fds[0]);
	WAIT_UNTIL(stats().waiting == VS_LOBBY_HOST_MAX);
	fds[0] = come_from(1);
	assert_int_equal(stats().waiting, VS_LOBBY_HOST_MAX + 1);
	for (size_t i = 0; i < VS_ARRAY_SIZE(fds); i++) {
		assert_false(is_hung_up(fds[i]));
		close(fds[i]);
	}
	close(ninth);
	close(other);
}

static void test_a_full_lobby_lets_the_silent_go(void **state)
{
	int fds[VS_LOBBY_MAX];
	(void)state;
	for (unsigned i = 0; i < VS_LOBBY_MAX; i++)
		fds[i] = come_from(1 + i / VS_LOBBY_HOST_MAX);
	assert_int_equal(stats().waiting, VS_LOBBY_MAX);
	say(fds[0], VS_TYPE_INITIATION, VS_INITIATION_SIZE);
	WAIT_UNTIL(asked == 1);
	int newcomer = come_from(200);
	WAIT_UNTIL(is_hung_up(fds[1]));
	assert_int_equal(stats().waiting, VS_LOBBY_MAX);
	assert_false(is_hung_up(fds[0]));
	assert_false(is_hung_up(fds[2]));
	assert_false(is_hung_up(newcomer));
	for (unsigned i = 0; i < VS_LOBBY_MAX; i++)
		close(fds[i]);
	close(newcomer);
}

/* Who fills the lobby with questions, for which the server's public key is enough, does not lock members out. */
static void test_a_full_lobby_of_questions_has_room(void **state)
{
	int fds[VS_LOBBY_MAX];
	(void)state;
	for (unsigned i = 0; i < VS_LOBBY_MAX; i++) {
		fds[i] = come_from(1 + i / VS_LOBBY_HOST_MAX);
		say(fds[i], VS_TYPE_INITIATION, VS_INITIATION_SIZE);
		WAIT_UNTIL(asked == i + 1);
	}
	int newcomer = come_from(200);
	WAIT_UNTIL(is_hung_up(fds[0]));
	say(newcomer, VS_TYPE_INITIATION, VS_INITIATION_SIZE);
	WAIT_UNTIL(asked == VS_LOBBY_MAX + 1);
	assert_int_equal(stats().waiting, VS_LOBBY_MAX);
	for (unsigned i = 0; i < VS_LOBBY_MAX; i++)
		close(fds[i]);
	close(newcomer);
}

static void test_patience_ends(void **state)
{
	(void)state;
	int fd = come_from(1);
	uint64_t came = vs_loop_refresh(loop);
	WAIT_UNTIL(is_hung_up(fd));
	assert_true(vs_loop_refresh(loop) - came >= VS_LOBBY_PATIENCE - 50 * VS_MSEC);
	assert_int_equal(stats().expired, 1);
	assert_int_equal(stats().waiting, 0);
	close(fd);
}

/* Out of descriptors, the listener stays readable: the loop must not turn for nothing. */
static void test_no_spinning_without_descriptors(void **state)
{
	struct rlimit old, none;
	(void)state;
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &old), 0);
	none = old;
	none.rlim_cur = (rlim_t)fd + 1;
	assert_int_equal(connect(fd, &listening.sa, vs_addr_len(&listening)) < 0 ? errno : EINPROGRESS, EINPROGRESS);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
	unsigned turns = 0;
	uint64_t start = vs_loop_refresh(loop);
	while (vs_loop_refresh(loop) < start + 300 * VS_MSEC) {
		assert_int_equal(vs_loop_turn(loop), 0);
		turns++;
	}
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &old), 0);
	assert_in_range(turns, 1, 20);
	assert_int_equal(stats().accepted, 0);
	WAIT_UNTIL(stats().accepted == 1);
	close(fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_a_member_comes_in, setup, teardown),
		cmocka_unit_test_setup_teardown(test_who_says_anything_else_is_turned_out, setup, teardown),
		cmocka_unit_test_setup_teardown(test_questions_are_counted, setup, teardown),
		cmocka_unit_test_setup_teardown(test_eight_of_an_address, setup, teardown),
		cmocka_unit_test_setup_teardown(test_a_full_lobby_lets_the_silent_go, setup, teardown),
		cmocka_unit_test_setup_teardown(test_a_full_lobby_of_questions_has_room, setup, teardown),
		cmocka_unit_test_setup_teardown(test_patience_ends, setup, teardown),
		cmocka_unit_test_setup_teardown(test_no_spinning_without_descriptors, setup, teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
