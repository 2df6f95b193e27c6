/* The running server: a worker (io/worker.h) whose links belong to the members of the configuration, TAP devices of the
 * host's own, handshakes, and a control socket. */
#ifndef VSWITCHS_SERVER_H
#define VSWITCHS_SERVER_H

struct vs_server_options {
	const char *config_path;
};

/* Runs until SIGTERM or SIGINT. Returns an exit code (io/cli.h), after saying on standard error what was wrong. */
int vs_server_run(const struct vs_server_options *options);

#endif
