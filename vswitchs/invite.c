#include "vswitchs/invite.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/bytes.h"
#include "io/edit_file.h"
#include "io/key.h"
#include "link/params.h"
#include "vswitchs/schema.h"

struct keys {
	char private_key[VS_KEY_TEXT_SIZE];
	char public_key[VS_KEY_TEXT_SIZE];
	char preshared_key[VS_KEY_TEXT_SIZE]; /* "": none */
	char server_public_key[VS_KEY_TEXT_SIZE];
};

/* --- Keys --------------------------------------------------------------------------------------------------------- */

static int make_keys(struct keys *keys, const struct vs_server_config *config, bool preshared_key)
{
	uint8_t private_key[VS_KEY_SIZE], public_key[VS_KEY_SIZE], server[VS_KEY_SIZE], psk[VS_KEY_SIZE];

	int err = vs_key_generate(private_key);
	if (err == 0)
		err = vs_key_generate_psk(psk);
	if (err == 0)
		err = vs_key_public(public_key, private_key);
	if (err == 0)
		err = vs_key_public(server, config->identity.private_key);
	if (err == 0) {
		vs_key_format(private_key, keys->private_key);
		vs_key_format(public_key, keys->public_key);
		vs_key_format(server, keys->server_public_key);
		keys->preshared_key[0] = '\0';
		if (preshared_key)
			vs_key_format(psk, keys->preshared_key);
	}
	vs_wipe(private_key, sizeof(private_key));
	vs_wipe(psk, sizeof(psk));
	return err;
}

/* --- The server's address ----------------------------------------------------------------------------------------- */

static bool is_reachable(const struct vs_addr *addr)
{
	if (addr->sa.sa_family == AF_INET) {
		uint32_t ip = ntohl(addr->in.sin_addr.s_addr);
		return ip != INADDR_ANY && ip >> 24 != IN_LOOPBACKNET;
	}
	const struct in6_addr *ip = &addr->in6.sin6_addr;
	return !IN6_IS_ADDR_UNSPECIFIED(ip) && !IN6_IS_ADDR_LOOPBACK(ip) && !IN6_IS_ADDR_LINKLOCAL(ip);
}

/* RFC 1918, RFC 6598 and RFC 4193: clients elsewhere cannot reach these. */
static bool is_private(const struct vs_addr *addr)
{
	if (addr->sa.sa_family == AF_INET6)
		return (addr->in6.sin6_addr.s6_addr[0] & 0xfe) == 0xfc;
	uint32_t ip = ntohl(addr->in.sin_addr.s_addr);
	return ip >> 24 == 10 || ip >> 20 == 0xac1 || ip >> 16 == 0xc0a8 || ip >> 22 == 0x64400000 >> 22;
}

/* The address that this host would use towards the world; nothing is sent to find out. */
static bool find_own_address(struct vs_addr *out)
{
	static const char *const elsewhere[] = { "192.0.2.1", "2001:db8::1" };

	for (size_t i = 0; i < VS_ARRAY_SIZE(elsewhere); i++) {
		struct vs_addr to;
		struct sockaddr_storage own;
		socklen_t len = sizeof(own);
		if (vs_addr_parse(elsewhere[i], 9, &to) < 0)
			continue;
		int fd = socket(to.sa.sa_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
		if (fd < 0)
			continue;
		bool found = connect(fd, &to.sa, vs_addr_len(&to)) == 0 &&
			     getsockname(fd, (struct sockaddr *)&own, &len) == 0;
		close(fd);
		if (!found)
			continue;
		*out = vs_addr_from_sockaddr((struct sockaddr *)&own, len);
		if (is_reachable(out))
			return true;
	}
	return false;
}

static void set_host(struct vs_endpoint *endpoint, const struct vs_addr *addr)
{
	char text[VS_ADDR_TEXT_MAX];
	struct vs_cidr cidr = { .addr = *addr };

	vs_cidr_format(&cidr, text);
	*strchrnul(text, '/') = '\0';
	snprintf(endpoint->host, sizeof(endpoint->host), "%s", text);
}

static int guess_address(const struct vs_server_config *config, struct vs_endpoint *out, FILE *messages)
{
	struct vs_addr addr;
	bool found = false;

	memset(out, 0, sizeof(*out));
	for (unsigned i = 0; i < config->bind_addr.n && !found; i++) {
		addr = config->bind_addr.item[i];
		found = is_reachable(&addr);
	}
	if (!found && !find_own_address(&addr)) {
		fprintf(messages, "vswitchs: the address of this server is not known; give --address HOST, or set "
				  "public_addr in [common]\n");
		return -EINVAL;
	}
	set_host(out, &addr);
	fprintf(messages, "vswitchs: public_addr is not set, so the invitation says %s%s; if clients reach this server "
			  "by another, use --address HOST\n",
		out->host, is_private(&addr) ? ", a private address" : "");
	return 0;
}

static int choose_address(const struct vs_invitation *invitation, const struct vs_server_config *config,
			  struct vs_endpoint *out, FILE *messages)
{
	struct vs_why why;
	int err = 0;

	if (invitation->address) {
		err = vs_parse_endpoint(invitation->address, out, &why);
		if (err < 0)
			fprintf(messages, "vswitchs: --address %s: %s\n", invitation->address, why.text);
	} else if (config->public_addr.host[0]) {
		*out = config->public_addr;
	} else {
		err = guess_address(config, out, messages);
	}
	if (err == 0 && !out->port)
		out->port = (uint16_t)config->bind_port;
	return err;
}

/* --- The two files ------------------------------------------------------------------------------------------------ */

/* The server's text with the new section behind it; the caller's to free. NULL: out of memory. */
static char *append_section(const struct vs_edit *edit, const char *name, const struct keys *keys, size_t *len)
{
	char *text = NULL;
	FILE *f = open_memstream(&text, len);

	if (!f)
		return NULL;
	fwrite(edit->text, 1, edit->len, f);
	if (edit->len > 0 && edit->text[edit->len - 1] != '\n')
		fputc('\n', f);
	fprintf(f, "\n[port %s]\npublic_key = %s\n", name, keys->public_key);
	if (keys->preshared_key[0])
		fprintf(f, "preshared_key = %s\n", keys->preshared_key);
	if (fclose(f) == 0)
		return text;
	free(text);
	return NULL;
}

/* A client has to allow what all ports have by default, or it would be invited for nothing. */
static void write_weakest_cipher(FILE *out, const struct vs_server_port_config *port)
{
	struct vs_policy policy;

	vs_policy_set_cipher(&policy, (enum vs_cipher_choice)port->cipher);
	if (policy.protection != VS_PROTECTION_ENCRYPTED)
		fprintf(out, "weakest_cipher = %s\n", vs_protection_name(policy.protection));
}

/* A client looks for `expected` by itself. What is on by default is there, or it is nowhere. */
static void write_conn_port(FILE *out, const char *key, const struct vs_server_conn_port *port, uint32_t expected)
{
	if (!port->is_default && port->port && port->port != expected)
		fprintf(out, "%s = %u\n", key, port->port);
}

static void write_client_ini(FILE *out, const struct vs_invitation *invitation, const struct vs_endpoint *server,
			     const struct keys *keys, const struct vs_server_config *config)
{
	const struct vs_server_port_config *port = &config->port_defaults;

	fprintf(out,
		"; \"%s\" on the virtual LAN of %s.\n"
		"; On that PC: save this file as /etc/vswitch/%s.ini, then\n"
		";   chmod 600 /etc/vswitch/%s.ini\n"
		";   vswitchc run -c /etc/vswitch/%s.ini      or, for good:  systemctl enable --now vswitchc@%s\n"
		"; Who has this file can join as \"%s\". 'vswitchc config-help' explains all keys.\n"
		"\n"
		"[common]\n"
		"server_addr = %s\n"
		"server_port = %u\n",
		invitation->name, server->host, invitation->name, invitation->name, invitation->name, invitation->name,
		invitation->name, server->host, server->port);
	write_conn_port(out, "faketcp_port", &config->faketcp_port, server->port);
	write_conn_port(out, "tcp_port", &config->tcp_port, server->port + 1u);
	fprintf(out,
		"server_public_key = %s\n"
		"private_key = %s\n",
		keys->server_public_key, keys->private_key);
	if (keys->preshared_key[0])
		fprintf(out, "preshared_key = %s\n", keys->preshared_key);
	write_weakest_cipher(out, port);
	fprintf(out,
		"\n"
		"[tap]\n"
		"device = vswitch0\n");
	if (port->mtu != VS_MTU_DEFAULT)
		fprintf(out, "mtu = %u\n", port->mtu);
	fprintf(out,
		"; A fixed address on the virtual LAN:\n"
		";address = 10.9.0.2/24\n"
		"; If a member serves DHCP, leave the address out and run a DHCP client on the device:\n"
		";   dhclient vswitch0      or      udhcpc -i vswitch0\n"
		"; or name a script that does:\n"
		";up = /etc/vswitch/up\n"
		"; To join this PC's own LAN to the virtual one, make the device a port of an existing bridge:\n"
		";bridge = br0\n");
}

/* --- The verb ----------------------------------------------------------------------------------------------------- */

static int check_name(const struct vs_server_config *config, const char *name, FILE *messages)
{
	const struct vs_server_port_config *port = vs_server_config_port(config, name);
	const struct vs_server_tap_config *tap = vs_server_config_tap(config, name);

	if (!port && !tap)
		return 0;
	fprintf(messages, "vswitchs: there is a [%s %s] already, on line %u\n", port ? "port" : "tap", name,
		port ? port->line : tap->line);
	return -EEXIST;
}

static int load(struct vs_server_config *config, const char *path, const char *text, size_t len, FILE *messages)
{
	struct vs_complaints complaints;

	vs_complaints_init(&complaints, path);
	int err = vs_server_config_parse(config, path, text, len, &vs_opener_direct, &complaints);
	if (err < 0)
		vs_complaints_print(&complaints, messages);
	return err;
}

/* Writes the new file, after having made sure that the server will take it. */
static int save(struct vs_edit *edit, const struct vs_invitation *invitation, const struct keys *keys, FILE *messages)
{
	struct vs_server_config config;
	size_t len = 0;

	char *text = append_section(edit, invitation->name, keys, &len);
	if (!text)
		return -ENOMEM;
	int err = load(&config, invitation->ini, text, len, messages);
	vs_server_config_fini(&config);
	if (err == 0) {
		err = vs_edit_replace(edit, text, len);
		if (err < 0)
			fprintf(messages, "vswitchs: cannot write %s: %s\n", invitation->ini, strerror(-err));
	}
	vs_wipe(text, len);
	free(text);
	return err;
}

/* A port whose key nobody has been given is of no use. The lock has been held since the file was read. */
static void take_back(struct vs_edit *edit, const struct vs_invitation *invitation, FILE *messages)
{
	int err = vs_edit_replace(edit, edit->text, edit->len);

	if (err == 0)
		fprintf(messages, "vswitchs: the invitation could not be written, so %s is as it was\n", invitation->ini);
	else
		fprintf(messages, "vswitchs: the invitation could not be written, nor could %s be put back (%s); remove "
				  "[port %s] from it and invite again\n",
			invitation->ini, strerror(-err), invitation->name);
}

static int invite(const struct vs_invitation *invitation, const struct vs_server_config *config, struct vs_edit *edit,
		  FILE *out, FILE *messages)
{
	struct vs_endpoint server;
	struct keys keys;

	int err = check_name(config, invitation->name, messages);
	if (err == 0)
		err = choose_address(invitation, config, &server, messages);
	if (err < 0)
		return err;
	err = make_keys(&keys, config, invitation->preshared_key);
	if (err < 0)
		fprintf(messages, "vswitchs: cannot make a key: %s\n", strerror(-err));
	else
		err = save(edit, invitation, &keys, messages);
	if (err == 0) {
		write_client_ini(out, invitation, &server, &keys, config);
		if (fflush(out) != 0 || ferror(out)) {
			take_back(edit, invitation, messages);
			err = -EIO;
		}
	}
	vs_wipe(&keys, sizeof(keys));
	return err;
}

int vs_invite(const struct vs_invitation *invitation, FILE *out, FILE *messages)
{
	struct vs_server_config config;
	struct vs_edit edit;

	if (!vs_config_name_valid(invitation->name)) {
		fprintf(messages, "vswitchs: '%s': a name is 1 to %d characters of A-Z a-z 0-9 . _ -\n",
			invitation->name, VS_CONFIG_NAME_MAX);
		return -EINVAL;
	}
	int err = vs_edit_begin(&edit, invitation->ini);
	if (err < 0) {
		fprintf(messages, "vswitchs: %s: %s\n", invitation->ini, strerror(-err));
		return err;
	}
	err = load(&config, invitation->ini, edit.text, edit.len, messages);
	if (err == 0)
		err = invite(invitation, &config, &edit, out, messages);
	vs_server_config_fini(&config);
	vs_edit_end(&edit);
	return err;
}
