/* The running client: a worker (io/worker.h) with two ports, the TAP device and the link to the server, and what keeps
 * that link alive. */
#ifndef VSWITCHC_CLIENT_H
#define VSWITCHC_CLIENT_H

struct vs_client_options {
	const char *config_path;
};

/* Runs until SIGTERM or SIGINT. Returns an exit code (io/cli.h), after saying on standard error what was wrong. */
int vs_client_run(const struct vs_client_options *options);

#endif
