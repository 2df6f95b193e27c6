/* io/broker: what a network process may ask for in the name of fake TCP: sockets of its own, and ports that are granted
 * for that. The system is played by an ops table; sockets are bound and never connected. */
#include "io/broker.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "io/broker_wire.h"

#define NOW (1000 * VS_SEC)

static struct {
	unsigned raws, mutes;
	struct vs_faketcp_scope scope;
	int error;
} machine;

static int fake_open_raw(const struct vs_grant_bind *bind, const struct vs_faketcp_scope *scope, struct vs_fault *fault)
{
	(void)fault;
	assert_true(bind->tcp && bind->fake);
	machine.raws++;
	machine.scope = *scope;
	return open("/dev/null", O_RDWR | O_CLOEXEC);
}

static int fake_mute_tcp(int fd, struct vs_faketcp_start *start, struct vs_fault *fault)
{
	assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
	if (machine.error)
		return vs_fault(fault, machine.error, "no silence today");
	machine.mutes++;
	memset(start, 0, sizeof(*start));
	start->snd_nxt = 4711;
	return 0;
}

static const struct vs_broker_ops ops = { .open_raw = fake_open_raw, .mute_tcp = fake_mute_tcp };

static struct vs_broker *broker;
static int ours, theirs;
static uint16_t port; /* granted, to listen on at 127.0.0.1; `listener` is bound to it */
static int listener, other, udp;
static struct vs_broker_reply reply;

static struct vs_addr address(const char *text, uint16_t number)
{
	struct vs_addr addr;

	assert_int_equal(vs_addr_parse(text, number, &addr), 0);
	return addr;
}

static struct vs_addr bound(int fd)
{
	struct vs_addr addr;
	socklen_t len = sizeof(addr);

	assert_int_equal(getsockname(fd, &addr.sa, &len), 0);
	return addr;
}

static int socket_at(int type)
{
	struct vs_addr addr = address("127.0.0.1", 0);
	int fd = socket(AF_INET, type, 0);

	assert_true(fd >= 0);
	assert_int_equal(bind(fd, &addr.sa, vs_addr_len(&addr)), 0);
	return fd;
}

static int setup(void **state)
{
	struct vs_broker_spec spec = { .ops = &ops, .config_path = "/none" };
	struct vs_grants *grants = calloc(1, sizeof(*grants));
	struct vs_addr any = address("0.0.0.0", 0);
	int pair[2];

	(void)state;
	memset(&machine, 0, sizeof(machine));
	listener = socket_at(SOCK_STREAM);
	other = socket_at(SOCK_STREAM);
	udp = socket_at(SOCK_DGRAM);
	struct vs_addr at = bound(listener), plain = bound(other);
	port = vs_addr_port(&at);
	assert_int_equal(vs_grants_add_faketcp(grants, &at, 0, ""), 0);
	assert_int_equal(vs_grants_add_faketcp(grants, &any, 7, "eth0"), 0);
	assert_int_equal(vs_grants_add_tcp(grants, &plain, 0, ""), 0);
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
	ours = pair[0];
	theirs = pair[1];
	broker = vs_broker_new(&spec, theirs, grants);
	assert_non_null(broker);
	free(grants);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	vs_broker_free(broker);
	close(ours);
	close(theirs);
	close(listener);
	close(other);
	close(udp);
	return 0;
}

/* The error, with a descriptor in the reply where `brings_fd` and none otherwise. */
static int ask(struct vs_broker_request *request, int fd, bool brings_fd)
{
	int got;

	assert_int_equal(vs_broker_send_request(ours, request, fd), 0);
	assert_int_equal(vs_broker_serve(broker, NOW), 0);
	assert_int_equal(vs_broker_receive_reply(ours, &reply, &got), 0);
	assert_int_equal(got >= 0, brings_fd && reply.error == 0);
	if (got >= 0)
		close(got);
	return reply.error;
}

static struct vs_grant_bind listens(void)
{
	return (struct vs_grant_bind){ .addr = address("127.0.0.1", port), .tcp = true, .fake = true };
}

static struct vs_grant_bind dials(void)
{
	return (struct vs_grant_bind){
		.addr = address("0.0.0.0", 0), .tcp = true, .fake = true, .fwmark = 7, .interface = "eth0"
	};
}

static int mute(struct vs_grant_bind of, int fd)
{
	struct vs_broker_request request;

	memset(&request, 0, sizeof(request));
	request.verb = VS_BROKER_MUTE_TCP;
	request.bind = of;
	return ask(&request, fd, false);
}

static int raw(struct vs_grant_bind of, struct vs_faketcp_scope scope, int fd)
{
	struct vs_broker_request request;

	memset(&request, 0, sizeof(request));
	request.verb = VS_BROKER_OPEN_RAW;
	request.raw.of = of;
	request.raw.scope = scope;
	return ask(&request, fd, true);
}

static void test_mute(void **state)
{
	struct vs_grant_bind plain = { .addr = bound(other), .tcp = true }, marked = dials();

	(void)state;
	marked.fwmark = 8;
	assert_int_equal(mute(listens(), listener), 0);
	assert_int_equal(reply.start.snd_nxt, 4711);
	assert_int_equal(mute(dials(), other), 0);
	assert_int_equal(mute(listens(), other), -EACCES); /* of another port */
	assert_int_equal(mute(listens(), udp), -EACCES);
	assert_int_equal(mute(dials(), udp), -EACCES);
	assert_int_equal(mute(dials(), ours), -EACCES);
	assert_int_equal(mute(dials(), -1), -EACCES);
	assert_int_equal(mute(plain, other), -EACCES); /* granted, but not for this */
	assert_int_equal(mute(marked, other), -EACCES);
	assert_int_equal(machine.mutes, 2);
	machine.error = -EPERM;
	assert_int_equal(mute(listens(), listener), -EPERM);
	assert_string_equal(reply.fault.text, "no silence today");
}

static void test_raw_of_a_listener(void **state)
{
	struct vs_faketcp_scope scope = { .local = address("0.0.0.0", 22), .share = VS_FAKETCP_WORKER, .worker = 3 };
	struct vs_addr at = address("127.0.0.1", port);

	(void)state;
	assert_int_equal(raw(listens(), scope, -1), 0);
	/* Whatever was asked for, it is for the granted address. */
	assert_true(vs_addr_equal(&machine.scope.local, &at));
	assert_int_equal(machine.scope.share, VS_FAKETCP_WORKER);
	assert_int_equal(machine.scope.worker, 3);
	scope.share = VS_FAKETCP_LOBBY;
	assert_int_equal(raw(listens(), scope, -1), 0);
	scope.share = VS_FAKETCP_PEER;
	scope.peer = address("192.0.2.1", 443);
	assert_int_equal(raw(listens(), scope, listener), -EACCES);
	assert_int_equal(machine.raws, 2);
}

static void test_raw_of_a_connection(void **state)
{
	struct vs_addr mine = bound(other);
	const struct vs_faketcp_scope good = { .local = mine,
					       .peer = address("192.0.2.1", 443),
					       .share = VS_FAKETCP_PEER };
	struct vs_faketcp_scope scope = good;

	(void)state;
	assert_int_equal(raw(dials(), good, other), 0);
	assert_true(vs_addr_equal(&machine.scope.peer, &good.peer));
	assert_int_equal(raw(dials(), good, listener), -EACCES); /* has another port */
	assert_int_equal(raw(dials(), good, udp), -EACCES);
	assert_int_equal(raw(dials(), good, -1), -EACCES);
	scope.local = address("0.0.0.0", 0);
	assert_int_equal(raw(dials(), scope, other), -EACCES);
	/* The same port of other addresses may be another program's. */
	scope.local = address("0.0.0.0", vs_addr_port(&mine));
	assert_int_equal(raw(dials(), scope, other), -EACCES);
	scope.local = address("127.0.0.2", vs_addr_port(&mine));
	assert_int_equal(raw(dials(), scope, other), -EACCES);
	scope = good;
	scope.peer = address("192.0.2.1", 0);
	assert_int_equal(raw(dials(), scope, other), -EACCES);
	scope.peer = address("2001:db8::1", 443);
	assert_int_equal(raw(dials(), scope, other), -EACCES);
	scope = good;
	scope.share = VS_FAKETCP_LOBBY;
	assert_int_equal(raw(dials(), scope, other), -EACCES);
	scope.share = 0;
	assert_int_equal(raw(dials(), scope, other), -EACCES);
	assert_int_equal(machine.raws, 1);
}

/* A message of any size with as many descriptors as the kernel takes, which no network process of ours sends. */
static void send_many(const void *bytes, size_t size, int fd, size_t n)
{
	_Alignas(struct cmsghdr) char control[CMSG_SPACE(8 * sizeof(int))] = { 0 };
	struct iovec iov = { .iov_base = (void *)bytes, .iov_len = size };
	struct msghdr message = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = control };
	struct cmsghdr *header = (struct cmsghdr *)control;

	assert_true(n <= 8);
	message.msg_controllen = CMSG_SPACE(n * sizeof(int));
	header->cmsg_level = SOL_SOCKET;
	header->cmsg_type = SCM_RIGHTS;
	header->cmsg_len = CMSG_LEN(n * sizeof(int));
	for (size_t i = 0; i < n; i++)
		memcpy(CMSG_DATA(header) + i * sizeof(int), &fd, sizeof(fd));
	assert_int_equal(sendmsg(ours, &message, 0), size);
}

static void test_descriptors_do_not_leak(void **state)
{
	struct vs_broker_request log, mutes;
	int before = dup(0), got;

	(void)state;
	close(before);
	memset(&log, 0, sizeof(log));
	log.verb = VS_BROKER_OPEN_LOG;
	memset(&mutes, 0, sizeof(mutes));
	mutes.verb = VS_BROKER_MUTE_TCP;
	mutes.bind = listens();
	for (int i = 0; i < 50; i++) {
		assert_int_equal(mute(listens(), listener), 0);
		assert_int_equal(mute(listens(), other), -EACCES);
		/* Where there is none to be, in what is no request, and more than one. */
		assert_int_equal(ask(&log, listener, false), -EACCES);
		for (size_t n = 1; n <= 8; n++) {
			send_many(&mutes, n % 2 ? sizeof(mutes) : 5, listener, n);
			assert_int_equal(vs_broker_serve(broker, NOW), 0);
			assert_int_equal(vs_broker_receive_reply(ours, &reply, &got), 0);
			assert_int_equal(got, -1);
		}
	}
	int after = dup(0);
	close(after);
	assert_int_equal(after, before);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_mute),
		TEST(test_raw_of_a_listener),
		TEST(test_raw_of_a_connection),
		TEST(test_descriptors_do_not_leak),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
