#include "vswitchs/cli.h"

static const struct vs_cli_option options[] = {
	{ 'c', false, "config", "FILE", "configuration file (default: /etc/vswitch/vswitchs.ini)" },
	{ 's', false, "socket", "PATH", "control socket of the server (default: as the file says)" },
	{ 'j', false, "json", NULL, "print the whole reply as JSON" },
	{ 'a', false, "address", "HOST[:PORT]", "address by which clients reach this server" },
	{ 'p', false, "psk", NULL, "add a pre-shared key" },
	{ 'P', true, "public", NULL, "read a private key from standard input, print its public key" },
};

static const struct vs_cli_verb verbs[] = {
	{ "run", NULL, "c", "run the switch, in the foreground", vs_verb_run },
	{ "check", NULL, "c", "check the configuration file", vs_verb_check },
	{ "keygen", NULL, "P", "make a key pair, as lines for a configuration file", vs_verb_keygen },
	{ "invite", "NAME", "cspa", "add a member and print its configuration file\n\n"
	  "Adds [port NAME] with a fresh key to the server's file, prints the client's file to standard output, and\n"
	  "asks a running server to reload.", vs_verb_invite },
	{ "status", NULL, "csj", "show the server's state", vs_verb_status },
	{ "ports", NULL, "csj", "show the switch's ports", vs_verb_ports },
	{ "macs", NULL, "csj", "show the MAC addresses and where they are", vs_verb_macs },
	{ "kick", "NAME", "cs", "end the links of a port, or that of one client, such as alice#2\n\n"
	  "The client may dial in again at once.", vs_verb_kick },
	{ "reload", NULL, "cs", "make the running server read its file again\n\n"
	  "Ports that did not change keep their links. A file with an error changes nothing.", vs_verb_reload },
	{ "config-help", NULL, "", "print the reference of the configuration file (Markdown)", vs_verb_config_help },
};

int main(int argc, char **argv)
{
	static const struct vs_cli cli = {
		.program = "vswitchs",
		.summary = "the server of a virtual layer-2 switch",
		.options = options,
		.n_options = sizeof(options) / sizeof(options[0]),
		.verbs = verbs,
		.n_verbs = sizeof(verbs) / sizeof(verbs[0]),
	};

	return vs_cli_main(&cli, argc, argv);
}
