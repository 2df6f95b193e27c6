#include "vswitchs/schema_listen.h"

#include <stdlib.h>
#include <string.h>

#include "switch/mactable.h"

static const struct vs_schema_choice protocols[] = {
	{ "kcp", VS_PLAIN_KCP }, { "tcp", VS_PLAIN_STREAM }, { NULL, 0 },
};

#define AT(member) VS_SCHEMA_AT(struct vs_server_listen_config, member)

const struct vs_schema_key vs_listen_keys[VS_LISTEN_KEYS] = {
	{ .name = "protocol", .type = VS_VALUE_ENUM, .flags = VS_SCHEMA_REQUIRED, .choices = protocols,
	  .help = "`kcp`: unmodified KCP over UDP, in message or stream mode, without FEC and without a cipher of its own; "
		  "`tcp`: the same frames over a TCP connection.",
	  AT(protocol) },
	{ .name = "bind_addr", .type = VS_VALUE_ADDRS,
	  .help = "Numeric addresses to listen on: one IPv4 and one IPv6 address at most. If not set: all of both.",
	  AT(bind_addr) },
	{ .name = "bind_port", .type = VS_VALUE_INT, .flags = VS_SCHEMA_REQUIRED, .min = 1, .max = 65535,
	  .noun = "a port", .help = "UDP port (`kcp`) or TCP port (`tcp`) to listen on.",
	  AT(bind_port) },
	{ .name = "allow", .type = VS_VALUE_CIDRS,
	  .help = "Source addresses that may connect, as prefixes: `10.1.0.0/16, 2001:db8::5/128`. Required, because "
		  "nothing else keeps anybody out: there is no handshake and no cipher.",
	  AT(allow) },
	{ .name = "max_clients", .type = VS_VALUE_INT, .min = 1, .max = VS_SERVER_LISTEN_CLIENTS_MAX, .fallback = "16",
	  .help = "Clients that may be connected at the same time; further ones are refused.",
	  AT(max_clients) },
	{ .name = "mac_limit", .type = VS_VALUE_INT, .min = 1, .max = VS_MAC_ENTRIES_MAX, .flags = VS_SCHEMA_OR_ZERO,
	  .fallback = "0",
	  .help = "MAC addresses that may be known behind each client; 0: no limit of its own.",
	  AT(mac_limit) },
};

void *vs_listen_open(void *target, const char *name, unsigned line)
{
	struct vs_server_config *config = target;

	if (config->n_listens == VS_SERVER_LISTENS_MAX)
		return NULL;
	struct vs_server_listen_config *larger = reallocarray(config->listens, config->n_listens + 1, sizeof(*larger));
	if (!larger)
		return NULL;
	config->listens = larger;
	struct vs_server_listen_config *listen = &config->listens[config->n_listens++];
	memset(listen, 0, sizeof(*listen));
	strcpy(listen->name, name);
	listen->line = line;
	return listen;
}

/* --- Rules -------------------------------------------------------------------------------------------------------- */

static bool addresses_meet(const struct vs_addr_list *a, const struct vs_addr_list *b)
{
	if (a->n == 0 || b->n == 0)
		return true;
	for (unsigned i = 0; i < a->n; i++)
		for (unsigned k = 0; k < b->n; k++)
			if (vs_addr_equal(&a->item[i], &b->item[k]))
				return true;
	return false;
}

static void check_place(const struct vs_server_config *config, const struct vs_server_listen_config *listen,
			struct vs_complaints *complaints)
{
	unsigned v6 = 0;

	for (unsigned i = 0; i < listen->bind_addr.n; i++)
		v6 += listen->bind_addr.item[i].sa.sa_family == AF_INET6;
	if (v6 > 1 || listen->bind_addr.n - v6 > 1)
		vs_complain(complaints, listen->line,
			    "[listen %s] bind_addr: expected one IPv4 and one IPv6 address at most", listen->name);
	if (listen->protocol == VS_PLAIN_KCP && listen->bind_port == config->bind_port &&
	    addresses_meet(&listen->bind_addr, &config->bind_addr))
		vs_complain(complaints, listen->line, "[listen %s] has the bind_port of [common], %u", listen->name,
			    listen->bind_port);
	for (const struct vs_server_listen_config *other = config->listens; other < listen; other++)
		if (other->protocol == listen->protocol && other->bind_port == listen->bind_port &&
		    listen->bind_port && addresses_meet(&other->bind_addr, &listen->bind_addr))
			vs_complain(complaints, listen->line, "[listen %s] has the bind_port of [listen %s], %u",
				    listen->name, other->name, listen->bind_port);
}

static void check_name(const struct vs_server_config *config, const struct vs_server_listen_config *listen,
		       struct vs_complaints *complaints)
{
	const char *kind = vs_server_config_port(config, listen->name)	? "port"
			   : vs_server_config_tap(config, listen->name) ? "tap"
									: NULL;

	if (kind)
		vs_complain(complaints, listen->line, "[listen %s] has the name of a [%s %s]", listen->name, kind,
			    listen->name);
	if (strlen(listen->name) > VS_SERVER_LISTEN_NAME_MAX)
		vs_complain(complaints, listen->line,
			    "[listen %s]: a name of at most %d characters, as each client's port is NAME/ADDRESS:PORT",
			    listen->name, VS_SERVER_LISTEN_NAME_MAX);
}

void vs_listen_check(const struct vs_server_config *config, struct vs_complaints *complaints)
{
	for (size_t i = 0; i < config->n_listens; i++) {
		const struct vs_server_listen_config *listen = &config->listens[i];
		check_name(config, listen, complaints);
		check_place(config, listen, complaints);
		if (!listen->allow.n)
			vs_complain(complaints, listen->line,
				    "[listen %s] needs `allow`, the source addresses that may connect: without handshake "
				    "and cipher, whoever reaches the port would be on the LAN",
				    listen->name);
	}
}

/* --- Questions ---------------------------------------------------------------------------------------------------- */

const struct vs_server_listen_config *vs_server_config_listen(const struct vs_server_config *config, const char *name)
{
	for (size_t i = 0; i < config->n_listens; i++)
		if (strcmp(config->listens[i].name, name) == 0)
			return &config->listens[i];
	return NULL;
}

const struct vs_server_listen_config *vs_listen_on_tcp(const struct vs_server_config *config, uint32_t port)
{
	for (const struct vs_server_listen_config *listen = config->listens; listen < config->listens + config->n_listens;
	     listen++)
		if (listen->protocol == VS_PLAIN_STREAM && listen->bind_port == port &&
		    addresses_meet(&listen->bind_addr, &config->bind_addr))
			return listen;
	return NULL;
}

bool vs_server_listen_equal(const struct vs_server_listen_config *a, const struct vs_server_listen_config *b)
{
	static const struct vs_schema_group group = { vs_listen_keys, VS_LISTEN_KEYS, 0 };

	return vs_schema_diff(&group, a, b) == 0 && vs_vlan_config_equal(&a->vlans, &b->vlans);
}
