#include "sim/world.h"

#include <stdarg.h>
#include <stdlib.h>

struct sim_world *sim_world_new(const struct sim_config *config)
{
	struct sim_world *w = sim_alloc(sizeof(*w));
	w->config = *config;
	w->random.state = config->seed;
	sim_clock_init(&w->clock);
	for (unsigned i = 0; i < config->clients; i++)
		sim_client_init(&w->clients[i], w, i);
	sim_server_init(&w->server, w);
	sim_server_start(&w->server);
	for (unsigned i = 0; i < config->clients; i++)
		sim_client_start(&w->clients[i]);
	return w;
}

void sim_world_stop(struct sim_world *w)
{
	for (unsigned i = 0; i < w->config.clients; i++) {
		sim_client_stop(&w->clients[i]);
		if (w->clients[i].leaked)
			sim_fail(w, "client %u leaked %zu bytes of frames", i, w->clients[i].leaked);
	}
	sim_server_stop(&w->server);
	if (w->server.leaked)
		sim_fail(w, "the server leaked %zu bytes of frames", w->server.leaked);
}

void sim_world_free(struct sim_world *w)
{
	sim_world_stop(w);
	sim_server_fini(&w->server);
	for (unsigned i = 0; i < w->config.clients; i++)
		sim_client_fini(&w->clients[i]);
	sim_clock_fini(&w->clock);
	free(w);
}

void sim_trace(struct sim_world *w, const char *format, ...)
{
	va_list args;
	if (!w->config.trace)
		return;
	printf("%10.6f ", (double)w->clock.now / 1e6);
	va_start(args, format);
	vprintf(format, args);
	va_end(args);
	putchar('\n');
}

void sim_fail(struct sim_world *w, const char *format, ...)
{
	va_list args;
	if (w->failures++ >= SIM_FAILURES_MAX)
		return;
	char *text = w->failure[w->failures - 1];
	int n = snprintf(text, sizeof(w->failure[0]), "at %.3f s: ", (double)w->clock.now / 1e6);
	va_start(args, format);
	vsnprintf(text + n, sizeof(w->failure[0]) - (size_t)n, format, args);
	va_end(args);
	sim_trace(w, "FAILURE %s", text);
}
