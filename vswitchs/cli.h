/* The verbs of vswitchs; main.c has their table. Each returns an exit code (io/cli.h). */
#ifndef VSWITCHS_CLI_H
#define VSWITCHS_CLI_H

#include "io/cli.h"

int vs_verb_run(const struct vs_cli_args *args);
int vs_verb_check(const struct vs_cli_args *args);
int vs_verb_keygen(const struct vs_cli_args *args);
int vs_verb_invite(const struct vs_cli_args *args);
int vs_verb_status(const struct vs_cli_args *args);
int vs_verb_ports(const struct vs_cli_args *args);
int vs_verb_macs(const struct vs_cli_args *args);
int vs_verb_kick(const struct vs_cli_args *args);
int vs_verb_reload(const struct vs_cli_args *args);
int vs_verb_config_help(const struct vs_cli_args *args);

#endif
