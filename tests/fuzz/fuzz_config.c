/* Configuration files of any content, by the schemas of both programs. What is taken must satisfy what the programs
 * rely on; what is refused must be complained about. Reading twice gives the same. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "io/key.h"
#include "link/crypto.h"
#include "vswitchc/schema.h"
#include "vswitchs/schema.h"

#define CHECK(condition)                 \
	do {                             \
		if (!(condition))        \
			abort();         \
	} while (0)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerInitialize(int *argc, char ***argv);

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	(void)argc, (void)argv;
	CHECK(vs_crypto_init() == 0);
	return 0;
}

/* A file names other files; none is opened here. */
static int refuse_to_open(void *arg, const char *path)
{
	(void)arg, (void)path;
	return -1;
}

static const struct vs_opener no_files = { .open = refuse_to_open };

static void check_tap(const struct vs_tap_config *tap)
{
	CHECK(vs_ifname_valid(tap->device));
	CHECK(tap->mtu >= VS_MTU_MIN && tap->mtu <= VS_MTU_MAX);
	CHECK(tap->address.n <= VS_LIST_MAX && tap->route.n <= VS_LIST_MAX);
	CHECK(!tap->bridge[0] || (tap->address.n == 0 && tap->route.n == 0));
}

static void check_server(const struct vs_server_config *config)
{
	CHECK(config->bind_port >= 1 && config->bind_port <= 65535);
	CHECK(!vs_key_is_zero(config->identity.private_key));
	for (size_t i = 0; i < config->n_ports; i++) {
		const struct vs_server_port_config *port = &config->ports[i];
		struct vs_vlan_rule rule = vs_vlan_config_rule(&port->vlans);
		CHECK(vs_vlan_rule_check(&rule) == 0);
		CHECK(vs_config_name_valid(port->name));
		CHECK(port->lanes >= 1 && port->lanes <= VS_LANES_MAX);
		CHECK(vs_server_config_port(config, port->name) == port);
		CHECK(vs_server_config_port_by_key(config, port->public_key) == port);
		CHECK(vs_server_port_equal(port, port));
	}
	for (size_t i = 0; i < config->n_taps; i++) {
		check_tap(&config->taps[i].tap);
		CHECK(vs_server_config_tap(config, config->taps[i].name) == &config->taps[i]);
		CHECK(!vs_server_config_port(config, config->taps[i].name));
	}
}

static void check_client(const struct vs_client_config *config)
{
	CHECK(config->server_addr.n >= 1 && config->server_addr.n <= VS_LIST_MAX);
	for (unsigned i = 0; i < config->server_addr.n; i++)
		CHECK(config->server_addr.item[i].port && config->server_addr.item[i].host[0]);
	CHECK(!vs_key_is_zero(config->server_public_key) && !vs_key_is_zero(config->identity.private_key));
	check_tap(&config->tap);
}

static void check_complaints(struct vs_complaints *complaints, int err)
{
	char buf[VS_COMPLAINT_TEXT_MAX];

	CHECK((err < 0) == (complaints->errors > 0));
	CHECK(complaints->n + complaints->withheld == complaints->errors + complaints->warnings);
	vs_complaints_sort(complaints);
	for (size_t i = 0; i < complaints->n; i++)
		CHECK(strlen(vs_complaint_format(complaints, i, buf)) > strlen("f.ini: "));
}

static void try_server(const char *text, size_t size)
{
	struct vs_server_config a, b;
	struct vs_complaints complaints;
	const char *fixed[VS_SERVER_FIXED_MAX];

	vs_complaints_init(&complaints, "f.ini");
	int err = vs_server_config_parse(&a, "/f.ini", text, size, &no_files, &complaints);
	check_complaints(&complaints, err);
	if (err == 0) {
		check_server(&a);
		vs_complaints_init(&complaints, "f.ini");
		CHECK(vs_server_config_parse(&b, "/f.ini", text, size, &no_files, &complaints) == 0);
		CHECK(vs_server_config_fixed_changes(&a, &b, fixed) == 0);
		for (size_t i = 0; i < a.n_ports; i++)
			CHECK(vs_server_port_equal(&a.ports[i], &b.ports[i]));
		vs_server_config_fini(&b);
	}
	vs_server_config_fini(&a);
}

static void try_client(const char *text, size_t size)
{
	struct vs_client_config config;
	struct vs_complaints complaints;

	vs_complaints_init(&complaints, "f.ini");
	int err = vs_client_config_parse(&config, "/f.ini", text, size, &no_files, &complaints);
	check_complaints(&complaints, err);
	if (err == 0)
		check_client(&config);
	vs_client_config_fini(&config);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	try_server((const char *)data, size);
	try_client((const char *)data, size);
	return 0;
}
