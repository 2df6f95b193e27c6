/* What a person is told about a configuration file, word for word. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "io/config.h"
#include "io/key.h"
#include "link/crypto.h"
#include "vswitchc/schema.h"
#include "vswitchs/schema.h"

#define KEY_A "CQ7kgJmKrBMV77X/IST8RaXHx92UqWDiOvRoqMFIImk="
#define KEY_B "1qktbQW7Mq6y9esAy0tQ8wpy371ewx7u85N+AkhER1s="
#define PRIVATE "dwdtCnMYpX08FsFyUbJmRd9ML4frwJkqsXf7pR25LCo="
#define COMMON "[common]\nprivate_key = " PRIVATE "\n"

#define REPEAT8(x) x x x x x x x x
#define LONG REPEAT8("0123456789012345678901234")

/* Parses and checks; returns all complaints as text, the caller's to free. */
static char *complaints_of(bool server, const char *text, size_t len)
{
	struct vs_complaints complaints;
	char *out = NULL;
	size_t size;

	vs_complaints_init(&complaints, "f.ini");
	if (server) {
		struct vs_server_config config;
		int err = vs_server_config_parse(&config, "/dir/f.ini", text, len, &vs_opener_direct, &complaints);
		assert_int_equal(err, complaints.errors ? -EINVAL : 0);
		vs_server_config_fini(&config);
	} else {
		struct vs_client_config config;
		int err = vs_client_config_parse(&config, "/dir/f.ini", text, len, &vs_opener_direct, &complaints);
		assert_int_equal(err, complaints.errors ? -EINVAL : 0);
		vs_client_config_fini(&config);
	}
	FILE *f = open_memstream(&out, &size);
	vs_complaints_print(&complaints, f);
	fclose(f);
	return out;
}

struct wrong {
	const char *text, *said;
};

#define SECRET_LINE "f.ini:2: expected 'key = value' or '[section]'\n"
#define TOO_MANY_ADDRESSES "f.ini: bind_addr: expected one IPv4 and one IPv6 address at most\n"

static const struct wrong server_cases[] = {
	{ COMMON, "" },
	{ "\xef\xbb\xbf" COMMON, "" },
	{ "  [ common ]  ; the server\r\n   private_key : " PRIVATE " ; a comment\r\n# more\r\n;\r\n", "" },
	{ COMMON "[port a]\npublic_key = " KEY_A "\n[port b]\npublic_key = " KEY_B "\nvlan = 7", "" },
	{ "", "f.ini: [common] has no private_key; make one with: vswitchs keygen\n" },
	{ COMMON "bnid_port = 1\n", "f.ini:3: key 'bnid_port' in [common] is not known; did you mean 'bind_port'?\n" },
	{ COMMON "cipher = auto\n", "f.ini:3: key 'cipher' in [common] is not known; it belongs in [port NAME]\n" },
	{ COMMON "x = 1\n", "f.ini:3: key 'x' in [common] is not known; 'vswitchs config-help' lists all keys\n" },
	{ COMMON "faketcp_port = 443\ntcp_port = 443\n", "f.ini: faketcp_port and tcp_port cannot be the same port\n" },
	{ COMMON "bind_port = 70000\n", "f.ini:3: bind_port = 70000: expected a port, 1 to 65535\n" },
	{ COMMON "bind_port = 0\n", "f.ini:3: bind_port = 0: expected a port, 1 to 65535\n" },
	{ COMMON "bind_port = +7\n", "f.ini:3: bind_port = +7: expected a port, 1 to 65535\n" },
	{ COMMON "bind_port =\n", "f.ini:3: bind_port = : expected a port, 1 to 65535\n" },
	{ COMMON "bind_port = 7000 # x\n",
	  "f.ini:3: bind_port = 7000 # x: expected a port, 1 to 65535; a comment behind a value starts with ' ;'\n" },
	{ COMMON "bind_port = 1\n\nbind_port = 2\n", "f.ini:5: bind_port is set again; it was set on line 3\n" },
	{ COMMON "bind_addr = ::1, localhost\n",
	  "f.ini:3: bind_addr = ::1, localhost: 'localhost': expected a numeric address, such as 192.0.2.1 or "
	  "2001:db8::1\n" },
	{ COMMON "bind_addr = ::1,\n",
	  "f.ini:3: bind_addr = ::1,: '': expected a numeric address, such as 192.0.2.1 or 2001:db8::1\n" },
	{ COMMON "mac_aging = 300\n", "f.ini:3: mac_aging = 300: expected a duration with its unit, 1s to 10d\n" },
	{ COMMON "buffer_max = 1M\n", "f.ini:3: buffer_max = 1M: expected a size, 16 MiB to 64 GiB\n" },
	{ COMMON "log_level = loud\n",
	  "f.ini:3: log_level = loud: expected one of trace, debug, info, warn, error\n" },
	{ COMMON "weakest_cipher = auth\n[port a]\npublic_key = " KEY_A "\ncipher = auth\n", "" },
	{ COMMON "weakest_cipher = encrypted\n[port a]\npublic_key = " KEY_A "\ncipher = chacha20-poly1305\n", "" },
	{ COMMON "[port a]\npublic_key = " KEY_A "\ncipher = none\n", "" },
	{ COMMON "weakest_cipher = auth\n[port a]\npublic_key = " KEY_A "\ncipher = none\n",
	  "f.ini:4: [port a] has cipher = none, and [common] weakest_cipher = auth\n" },
	{ COMMON "weakest_cipher = encrypted\n[port a]\npublic_key = " KEY_A "\n[port]\ncipher = auth\n",
	  "f.ini:4: [port a] has cipher = auth, and [common] weakest_cipher = encrypted\n" },
	{ COMMON "weakest_cipher = no\n",
	  "f.ini:3: weakest_cipher = no: expected one of encrypted, auth, none\n" },
	{ COMMON "disable_log_color = maybe\n", "f.ini:3: disable_log_color = maybe: expected yes or no\n" },
	{ COMMON "log_way = file\n", "f.ini: log_way = file needs log_file\n" },
	{ "[common]\nprivate_key = secret\n",
	  "f.ini:2: private_key = (not shown): expected a key, 44 characters of base64\n" },
	{ COMMON "private_key_file = k\n",
	  "f.ini:3: private_key_file cannot be set together with private_key (line 2)\n" },
	{ "[common]\nprivate_key_file = /nonexistent/key\n",
	  "f.ini: private_key_file /nonexistent/key: No such file or directory\n" },
	{ "bind_port = 1\n" COMMON, "f.ini:1: key 'bind_port' stands before the first section\n" },
	{ COMMON "[common]\n", "f.ini:3: section [common] comes again; it began on line 1\n" },
	{ COMMON "[common x]\n", "f.ini:3: section [common x] takes no name\n" },
	{ COMMON "[prot x]\ny = 1\n", "f.ini:3: section [prot x] is not known; did you mean [port NAME]?\n" },
	{ COMMON "[zebra]\n", "f.ini:3: section [zebra] is not known; there are [common], [port NAME], [tap NAME], "
	  "[listen NAME]\n" },
	{ COMMON "[tap]\n", "f.ini:3: section [tap] needs a name: [tap NAME]\n" },
	{ COMMON "[tap a b]\n", "f.ini:3: section [tap a b]: a name is 1 to 32 characters of A-Z a-z 0-9 . _ -\n" },
	{ COMMON "[tap\n", "f.ini:3: expected [section] or [section NAME]\n" },
	{ COMMON "[tap a] b\n", "f.ini:3: expected [section] or [section NAME]\n" },
	{ COMMON "[]\n", "f.ini:3: expected [section] or [section NAME]\n" },
	{ COMMON "bind_port 7\n", "f.ini:3: expected 'key = value' or '[section]'\n" },
	{ COMMON "bind port = 7\n", "f.ini:3: expected 'key = value' or '[section]'\n" },
	/* Without its '=', the line of a key is split at the one that ends base64: it must not be shown. */
	{ "[common]\nprivate_key " PRIVATE "\n", SECRET_LINE },
	{ "[common]\nprivate_key\t" PRIVATE "\n", SECRET_LINE },
	{ "[common]\nprivate_key" PRIVATE "\n", SECRET_LINE },
	{ "[common]\n" PRIVATE "\n", SECRET_LINE },
	{ PRIVATE "\n" COMMON, "f.ini:1: expected 'key = value' or '[section]'\n" },
	{ COMMON "[port a]\npublic_key = " KEY_A "\npreshared_key " PRIVATE "\n",
	  "f.ini:5: expected 'key = value' or '[section]'\n" },
	{ COMMON "bind_addr = ::1, 192.0.2.1\n", "" },
	{ COMMON "bind_addr = ::1\nbind_addr = 192.0.2.1, 192.0.2.2\n", TOO_MANY_ADDRESSES },
	{ COMMON "bind_addr = ::1, ::2, 192.0.2.1\n", TOO_MANY_ADDRESSES },
	{ COMMON "= 7\n", "f.ini:3: expected a key before '=' or ':'\n" },
	{ COMMON "::2\n", "f.ini:3: expected a key before '=' or ':'\n" },
	/* A continuation line, which inih alone would take for more of the value above. */
	{ COMMON "bind_addr = ::1\n   192.0.2.1\n", "f.ini:4: expected 'key = value' or '[section]'\n" },
	{ COMMON "log_file = " LONG "\n",
	  "f.ini:3: line of 211 characters; at most 198 (a list may go on several lines, each with its key)\n" },
	{ COMMON "user = \x01\n", "f.ini:3: a control character or NUL byte; is this a text file?\n" },
	{ COMMON "[port a]\n", "f.ini:3: [port a] has no public_key\n" },
	{ COMMON "[port a]\npublic_key = " KEY_A "\n[port b]\npublic_key = " KEY_A "\n",
	  "f.ini:5: [port b] has the public_key of [port a] (line 3)\n" },
	{ COMMON "[port]\npublic_key = " KEY_A "\n",
	  "f.ini:4: public_key cannot be a default for all: set it in [port NAME]\n" },
	{ COMMON "[port]\nvlan = 3\ntrunk = 4\n", "f.ini:5: trunk cannot be set together with vlan (line 4)\n" },
	{ COMMON "[port]\ntrunk = 4, 5000\n",
	  "f.ini:4: trunk = 4, 5000: '5000': expected VLANs from 1 to 4094, such as 10, 20, 100-199\n" },
	{ COMMON "[port]\nmax_age = 1ms\n", "f.ini:4: max_age = 1ms: expected a duration, 10ms to 1m, or 0\n" },
	{ COMMON "[port a]\npublic_key = " KEY_A "\n[tap a]\n", "f.ini:5: [tap a] has the name of a [port a]\n" },
	{ COMMON "[tap a]\n[tap b]\ndevice = a\n", "f.ini:4: [tap b] has the device of [tap a], a\n" },
	{ COMMON "[tap abcdefghijklmnop]\n",
	  "f.ini:3: [tap abcdefghijklmnop] needs a device: its name is too long for one (15 characters)\n" },
	{ COMMON "[tap a]\nmac = 01:00:5e:00:00:01\n",
	  "f.ini:4: mac = 01:00:5e:00:00:01: expected the MAC address of one station, such as 02:00:5e:10:00:01\n" },
	{ COMMON "[tap a]\naddress = 10.0.0.1\n",
	  "f.ini:4: address = 10.0.0.1: expected ADDRESS/PREFIX, such as 10.9.0.2/24 or fd09::2/64\n" },
	{ COMMON "[tap a]\naddress = 10.0.0.1/8\nbridge = br0\n",
	  "f.ini:5: bridge cannot be set together with address (line 4)\n" },
	{ COMMON "[tap a]\nroute = 10.1.2.3/16\n",
	  "f.ini:4: route = 10.1.2.3/16: has bits set beyond its prefix; did you mean 10.1.0.0/16?\n" },
};

static const struct wrong client_cases[] = {
	{ "[common]\nserver_addr = a\nserver_public_key = " KEY_A "\nprivate_key = " PRIVATE "\n", "" },
	{ "", "f.ini: [common] has no server_addr\nf.ini: [common] has no server_public_key\n" },
	{ "[common]\nserver_addr = a\nserver_public_key = " KEY_A "\n",
	  "f.ini: [common] has no private_key; make one with: vswitchc keygen\n" },
	{ "[common]\nserver_addr = a b\nserver_public_key = " KEY_A "\n",
	  "f.ini:2: server_addr = a b: expected HOST, HOST:PORT or [IPV6]:PORT\n" },
	{ "[common]\nserver_addr = a\nserver_public_key = " KEY_A "\nprivate_key = " PRIVATE "\n[tap vpn]\n",
	  "f.ini:5: section [tap vpn] takes no name\n" },
};

static void check_cases(bool server, const struct wrong *cases, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		char *said = complaints_of(server, cases[i].text, strlen(cases[i].text));
		assert_string_equal(said, cases[i].said);
		free(said);
	}
}

static void test_server_complaints(void **state)
{
	(void)state;
	check_cases(true, server_cases, sizeof(server_cases) / sizeof(server_cases[0]));
}

static void test_client_complaints(void **state)
{
	(void)state;
	check_cases(false, client_cases, sizeof(client_cases) / sizeof(client_cases[0]));
}

static void test_nul_byte(void **state)
{
	static const char text[] = COMMON "user = a\0b\n";
	(void)state;

	char *said = complaints_of(true, text, sizeof(text) - 1);
	assert_string_equal(said, "f.ini:3: a control character or NUL byte; is this a text file?\n");
	free(said);
}

static void test_own_key_is_refused(void **state)
{
	uint8_t private_key[VS_KEY_SIZE], public_key[VS_KEY_SIZE];
	char text[400], key[VS_KEY_TEXT_SIZE];
	(void)state;

	assert_int_equal(vs_key_parse(PRIVATE, private_key), 0);
	assert_int_equal(vs_key_public(public_key, private_key), 0);
	snprintf(text, sizeof(text), COMMON "[port me]\npublic_key = %s\n", vs_key_format(public_key, key));
	char *said = complaints_of(true, text, strlen(text));
	assert_string_equal(said, "f.ini:3: [port me] has the server's own public key\n");
	free(said);
}

/* Twenty are shown, the rest counted; in the order of lines although [common] is read first. */
static void test_many_complaints(void **state)
{
	char *text = NULL;
	size_t size;
	(void)state;

	FILE *f = open_memstream(&text, &size);
	fprintf(f, "[port]\nzzzz = 1\n" COMMON);
	for (int i = 0; i < 25; i++)
		fprintf(f, "yyyy%d = 1\n", i);
	fclose(f);
	char *said = complaints_of(true, text, size);
	assert_memory_equal(said, "f.ini:5: key 'yyyy0'", 20);
	assert_non_null(strstr(said, "f.ini:24: key 'yyyy19'"));
	assert_null(strstr(said, "f.ini:25:"));
	assert_non_null(strstr(said, "f.ini: and 6 more\n"));
	free(said);
	free(text);
}

static void test_document(void **state)
{
	static const char text[] = "[a]\nx = 1\n\n[ b  two words ]\n[c]\ny=2=3\nz = \n";
	struct vs_complaints complaints;
	struct vs_config config;
	char path[64];
	(void)state;

	vs_complaints_init(&complaints, "f");
	assert_int_equal(vs_config_parse(&config, "/etc/x/f", text, strlen(text), &complaints), 0);
	assert_int_equal(config.n_sections, 3);
	assert_int_equal(config.n_entries, 3);
	assert_string_equal(config.sections[0].kind, "a");
	assert_null(config.sections[0].name);
	assert_int_equal(config.sections[0].n, 1);
	assert_string_equal(config.sections[1].name, "two words");
	assert_int_equal(config.sections[1].line, 4);
	assert_int_equal(config.sections[1].n, 0);
	assert_int_equal(config.sections[2].first, 1);
	assert_string_equal(config.entries[1].key, "y");
	assert_string_equal(config.entries[1].value, "2=3");
	assert_string_equal(config.entries[2].value, "");
	assert_int_equal(config.entries[2].line, 7);
	assert_int_equal(vs_config_resolve(&config, "k", path, sizeof(path)), 0);
	assert_string_equal(path, "/etc/x/k");
	assert_int_equal(vs_config_resolve(&config, "/k", path, sizeof(path)), 0);
	assert_string_equal(path, "/k");
	assert_int_equal(vs_config_resolve(&config, "12345678", path, 8), -ENAMETOOLONG);
	vs_config_fini(&config);
}

static void test_missing_file(void **state)
{
	struct vs_complaints complaints;
	struct vs_server_config config;
	char buf[VS_COMPLAINT_TEXT_MAX];
	(void)state;

	vs_complaints_init(&complaints, "/nonexistent/f.ini");
	assert_int_equal(vs_server_config_load(&config, "/nonexistent/f.ini", &vs_opener_direct, &complaints), -ENOENT);
	assert_int_equal(complaints.n, 1);
	assert_string_equal(vs_complaint_format(&complaints, 0, buf), "/nonexistent/f.ini: No such file or directory");
	vs_server_config_fini(&config);
}

static int setup(void **state)
{
	(void)state;
	return vs_crypto_init();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_server_complaints), cmocka_unit_test(test_client_complaints),
		cmocka_unit_test(test_nul_byte),          cmocka_unit_test(test_own_key_is_refused),
		cmocka_unit_test(test_many_complaints),   cmocka_unit_test(test_document),
		cmocka_unit_test(test_missing_file),
	};
	return cmocka_run_group_tests(tests, setup, NULL);
}
