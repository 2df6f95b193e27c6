#include "vswitchc/cli.h"

static const struct vs_cli_option options[] = {
	{ 'c', false, "config", "FILE", "configuration file (default: /etc/vswitch/vswitchc.ini)" },
	{ 's', false, "socket", "PATH", "control socket of the client (default: as the file says)" },
	{ 'j', false, "json", NULL, "print the whole reply as JSON" },
	{ 'P', true, "public", NULL, "read a private key from standard input, print its public key" },
};

static const struct vs_cli_verb verbs[] = {
	{ "run", NULL, "c", "join the virtual LAN, in the foreground", vs_verb_run },
	{ "check", NULL, "c", "check the configuration file", vs_verb_check },
	{ "keygen", NULL, "P", "make a key pair, as lines for a configuration file", vs_verb_keygen },
	{ "status", NULL, "csj", "show the state of the link", vs_verb_status },
	{ "config-help", NULL, "", "print the reference of the configuration file (Markdown)", vs_verb_config_help },
};

int main(int argc, char **argv)
{
	static const struct vs_cli cli = {
		.program = "vswitchc",
		.summary = "a PC's link to a virtual layer-2 switch",
		.options = options,
		.n_options = sizeof(options) / sizeof(options[0]),
		.verbs = verbs,
		.n_verbs = sizeof(verbs) / sizeof(verbs[0]),
	};

	return vs_cli_main(&cli, argc, argv);
}
