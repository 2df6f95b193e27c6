#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "io/key.h"
#include "link/params.h"
#include "vswitchc/schema.h"
#include "vswitchs/invite.h"
#include "vswitchs/schema.h"

#define PRIVATE "dwdtCnMYpX08FsFyUbJmRd9ML4frwJkqsXf7pR25LCo="
#define PUBLIC "hSDwCYkwp1R0i33ctD73Wg2/Og0mOBr066SpjqqbTmo="

/* No newline at its end; a comment; blanks that a person may have wanted. */
#define INI "; mine\n[common]\n  private_key = " PRIVATE "\npublic_addr = vpn.example.net\n[tap lan]\n[port old]\n" \
	    "public_key = 1qktbQW7Mq6y9esAy0tQ8wpy371ewx7u85N+AkhER1s="

struct fixture {
	char dir[32];
	char ini[64];
	char *out, *messages;
	size_t out_len, messages_len;
};

static void write_ini(struct fixture *fx, const char *text)
{
	FILE *f = fopen(fx->ini, "w");

	assert_non_null(f);
	fputs(text, f);
	assert_int_equal(fclose(f), 0);
	assert_int_equal(chmod(fx->ini, 0600), 0);
}

static char *read_ini(struct fixture *fx)
{
	char *text = NULL;
	size_t len;

	int fd = open(fx->ini, O_RDONLY);
	assert_true(fd >= 0);
	assert_int_equal(vs_config_slurp(fd, &text, &len), 0);
	close(fd);
	return text;
}

static int setup(void **state)
{
	struct fixture *fx = calloc(1, sizeof(*fx));

	strcpy(fx->dir, "/tmp/test_invite.XXXXXX");
	if (!mkdtemp(fx->dir))
		return -1;
	snprintf(fx->ini, sizeof(fx->ini), "%s/s.ini", fx->dir);
	write_ini(fx, INI);
	*state = fx;
	return vs_crypto_init();
}

static int teardown(void **state)
{
	struct fixture *fx = *state;

	unlink(fx->ini);
	/* Fails if anything was left behind in it. */
	int err = rmdir(fx->dir);
	free(fx->out);
	free(fx->messages);
	free(fx);
	return err;
}

static int invite(struct fixture *fx, const char *name, const char *address, bool psk)
{
	struct vs_invitation invitation = { .ini = fx->ini, .name = name, .address = address, .preshared_key = psk };

	free(fx->out);
	free(fx->messages);
	FILE *out = open_memstream(&fx->out, &fx->out_len),
	     *messages = open_memstream(&fx->messages, &fx->messages_len);
	int err = vs_invite(&invitation, out, messages);
	fclose(out);
	fclose(messages);
	return err;
}

static void load_server(struct fixture *fx, struct vs_server_config *config)
{
	struct vs_complaints complaints;

	vs_complaints_init(&complaints, fx->ini);
	assert_int_equal(vs_server_config_load(config, fx->ini, &vs_opener_direct, &complaints), 0);
	assert_int_equal(complaints.n, 0);
}

static void parse_client(struct fixture *fx, struct vs_client_config *config)
{
	struct vs_complaints complaints;

	vs_complaints_init(&complaints, "c.ini");
	assert_int_equal(vs_client_config_parse(config, "/c.ini", fx->out, fx->out_len, &vs_opener_direct, &complaints),
			 0);
	assert_int_equal(complaints.n, 0);
}

/* Both files are whole, fit each other, and what was there before is untouched. */
static void test_both_sides_fit(void **state)
{
	struct fixture *fx = *state;
	struct vs_server_config server;
	struct vs_client_config client;
	uint8_t public_key[VS_KEY_SIZE], server_key[VS_KEY_SIZE];

	assert_int_equal(invite(fx, "alice", NULL, true), 0);
	assert_string_equal(fx->messages, "");
	char *text = read_ini(fx);
	assert_memory_equal(text, INI "\n\n[port alice]\n", strlen(INI "\n\n[port alice]\n"));
	free(text);
	load_server(fx, &server);
	parse_client(fx, &client);
	const struct vs_server_port_config *port = vs_server_config_port(&server, "alice");
	assert_non_null(port);
	assert_int_equal(vs_key_public(public_key, client.identity.private_key), 0);
	assert_memory_equal(port->public_key, public_key, VS_KEY_SIZE);
	assert_false(vs_key_is_zero(port->preshared_key));
	assert_memory_equal(port->preshared_key, client.preshared_key, VS_KEY_SIZE);
	assert_int_equal(vs_key_parse(PUBLIC, server_key), 0);
	assert_memory_equal(client.server_public_key, server_key, VS_KEY_SIZE);
	assert_string_equal(client.server_addr.item[0].host, "vpn.example.net");
	assert_int_equal(client.server_addr.item[0].port, 7000);
	vs_client_config_fini(&client);
	vs_server_config_fini(&server);
}

/* Where the ports' default is a weak cipher, who is invited allows it, or he could never connect. */
static void test_weak_cipher(void **state)
{
	static const struct {
		const char *cipher;
		enum vs_protection weakest;
	} rows[] = {
		{ "aes-256-gcm", VS_PROTECTION_ENCRYPTED },
		{ "auth", VS_PROTECTION_AUTH },
		{ "none", VS_PROTECTION_NONE },
	};
	struct fixture *fx = *state;
	struct vs_client_config client;
	char text[600];

	for (size_t i = 0; i < VS_ARRAY_SIZE(rows); i++) {
		snprintf(text, sizeof(text), "%s\n[port]\ncipher = %s\n", INI, rows[i].cipher);
		write_ini(fx, text);
		assert_int_equal(invite(fx, "alice", NULL, false), 0);
		parse_client(fx, &client);
		assert_int_equal(client.weakest_cipher, rows[i].weakest);
		assert_int_equal(strstr(fx->out, "weakest_cipher") != NULL, i > 0);
		vs_client_config_fini(&client);
	}
}

static void test_address(void **state)
{
	static const struct {
		const char *address, *host;
		uint16_t port;
	} rows[] = { { "h:9", "h", 9 }, { "h", "h", 7000 }, { "2001:db8::1", "2001:db8::1", 7000 },
		     { "[2001:db8::1]:9", "2001:db8::1", 9 } };
	struct fixture *fx = *state;
	struct vs_client_config client;
	char name[16];

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		snprintf(name, sizeof(name), "p%zu", i);
		assert_int_equal(invite(fx, name, rows[i].address, false), 0);
		parse_client(fx, &client);
		assert_string_equal(client.server_addr.item[0].host, rows[i].host);
		assert_int_equal(client.server_addr.item[0].port, rows[i].port);
		assert_true(vs_key_is_zero(client.preshared_key));
		vs_client_config_fini(&client);
	}
}

static void test_bind_addr_is_the_second_choice(void **state)
{
	struct fixture *fx = *state;
	struct vs_client_config client;

	write_ini(fx, "[common]\nprivate_key = " PRIVATE "\nbind_addr = ::1, 198.51.100.7\nbind_port = 9\n");
	assert_int_equal(invite(fx, "alice", NULL, false), 0);
	assert_non_null(strstr(fx->messages, "the invitation says 198.51.100.7;"));
	parse_client(fx, &client);
	assert_string_equal(client.server_addr.item[0].host, "198.51.100.7");
	assert_int_equal(client.server_addr.item[0].port, 9);
	vs_client_config_fini(&client);
}

/* Where the server's TCP ports are not those that clients look for by themselves. */
static void test_tcp_ports(void **state)
{
	static const struct {
		const char *keys, *address;
		unsigned faketcp, tcp; /* 0: the file says nothing */
	} rows[] = {
		{ "", NULL, 0, 0 },
		{ "bind_port = 9\n", NULL, 0, 0 },
		{ "faketcp_port = 443\ntcp_port = 8443\n", NULL, 443, 8443 },
		{ "faketcp_port = 7000\ntcp_port = 7001\n", NULL, 0, 0 },
		{ "faketcp_port = 7000\ntcp_port = 7001\n", "h:9", 7000, 7001 },
		{ "faketcp_port = 0\ntcp_port = 7000\n", NULL, 0, 7000 },
		{ "faketcp_port = 443\ntcp_port = 0\n", NULL, 443, 0 },
	};
	struct fixture *fx = *state;
	struct vs_client_config client;
	char text[400];

	for (size_t i = 0; i < VS_ARRAY_SIZE(rows); i++) {
		snprintf(text, sizeof(text), "[common]\nprivate_key = " PRIVATE "\npublic_addr = h\n%s", rows[i].keys);
		write_ini(fx, text);
		assert_int_equal(invite(fx, "alice", rows[i].address, false), 0);
		parse_client(fx, &client);
		assert_int_equal(client.faketcp_port, rows[i].faketcp);
		assert_int_equal(client.tcp_port, rows[i].tcp);
		vs_client_config_fini(&client);
	}
}

static void test_refusals_change_nothing(void **state)
{
	static const struct {
		const char *name, *address;
		int err;
		const char *said;
	} rows[] = {
		{ "old", NULL, -EEXIST, "vswitchs: there is a [port old] already, on line 6\n" },
		{ "lan", NULL, -EEXIST, "vswitchs: there is a [tap lan] already, on line 5\n" },
		{ "a b", NULL, -EINVAL, "vswitchs: 'a b': a name is 1 to 32 characters of A-Z a-z 0-9 . _ -\n" },
		{ "a]\n", NULL, -EINVAL, "vswitchs: 'a]\n': a name is 1 to 32 characters of A-Z a-z 0-9 . _ -\n" },
		{ "a", "x:y", -EINVAL, "vswitchs: --address x:y: expected HOST, HOST:PORT or [IPV6]:PORT\n" },
	};
	struct fixture *fx = *state;

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		assert_int_equal(invite(fx, rows[i].name, rows[i].address, false), rows[i].err);
		assert_string_equal(fx->messages, rows[i].said);
		assert_int_equal(fx->out_len, 0);
		char *text = read_ini(fx);
		assert_string_equal(text, INI);
		free(text);
	}
}

static void test_broken_file_is_left_alone(void **state)
{
	struct fixture *fx = *state;
	char said[200];

	write_ini(fx, "[common]\nprivate_key = " PRIVATE "\nbnid_port = 7\n");
	assert_int_equal(invite(fx, "alice", NULL, false), -EINVAL);
	snprintf(said, sizeof(said), "%s:3: key 'bnid_port' in [common] is not known; did you mean 'bind_port'?\n",
		 fx->ini);
	assert_string_equal(fx->messages, said);
	write_ini(fx, "[common]\n");
	assert_int_equal(invite(fx, "alice", NULL, false), -EINVAL);
	assert_non_null(strstr(fx->messages, "make one with: vswitchs keygen"));
	unlink(fx->ini);
	assert_int_equal(invite(fx, "alice", NULL, false), -ENOENT);
}

static void test_mode_and_symlink_stay(void **state)
{
	struct fixture *fx = *state;
	char real[80];
	struct stat st;

	snprintf(real, sizeof(real), "%s/real.ini", fx->dir);
	assert_int_equal(rename(fx->ini, real), 0);
	assert_int_equal(chmod(real, 0640), 0);
	assert_int_equal(symlink("real.ini", fx->ini), 0);
	assert_int_equal(invite(fx, "alice", NULL, false), 0);
	assert_int_equal(lstat(fx->ini, &st), 0);
	assert_true(S_ISLNK(st.st_mode));
	assert_int_equal(stat(fx->ini, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0640);
	unlink(real);
}

static void test_unwritable_output_changes_nothing(void **state)
{
	struct fixture *fx = *state;
	struct vs_invitation invitation = { .ini = fx->ini, .name = "alice" };
	FILE *full = fopen("/dev/full", "w");
	FILE *messages = open_memstream(&fx->messages, &fx->messages_len);

	assert_non_null(full);
	assert_int_equal(vs_invite(&invitation, full, messages), -EIO);
	fclose(full);
	fclose(messages);
	assert_non_null(strstr(fx->messages, "could not be written, so "));
	char *text = read_ini(fx);
	assert_string_equal(text, INI);
	free(text);
	assert_int_equal(invite(fx, "alice", NULL, false), 0);
}

/* Invitations at the same time wait for each other: none is lost. */
static void test_concurrent(void **state)
{
	enum { PROCESSES = 6 };
	struct fixture *fx = *state;
	struct vs_server_config server;
	int status;

	for (int i = 0; i < PROCESSES; i++) {
		pid_t pid = fork();
		assert_true(pid >= 0);
		if (pid == 0) {
			char name[16];
			snprintf(name, sizeof(name), "p%d", i);
			_exit(invite(fx, name, NULL, false) == 0 ? 0 : 1);
		}
	}
	for (int i = 0; i < PROCESSES; i++) {
		assert_true(wait(&status) > 0);
		assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
	}
	load_server(fx, &server);
	assert_int_equal(server.n_ports, 1 + PROCESSES);
	vs_server_config_fini(&server);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_both_sides_fit),
		TEST(test_weak_cipher),
		TEST(test_address),
		TEST(test_bind_addr_is_the_second_choice),
		TEST(test_tcp_ports),
		TEST(test_refusals_change_nothing),
		TEST(test_broken_file_is_left_alone),
		TEST(test_mode_and_symlink_stay),
		TEST(test_unwritable_output_changes_nothing),
		TEST(test_concurrent),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
