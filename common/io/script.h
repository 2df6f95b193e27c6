/* Programs of the user that are run when a TAP device comes up and before it goes away. A script is run without a
 * shell, with a clean environment and no open files but the standard ones, in a session of its own; it may take
 * VS_SCRIPT_TIMEOUT and is then killed with all that it has started in that session's process group. What it has sent
 * to the background before it ended stays: a DHCP client, say.
 *
 * Its environment: PATH; VSWITCH_EVENT ("up" or "down"); VSWITCH_NAME (of the section in the configuration);
 * VSWITCH_DEVICE; VSWITCH_MAC; VSWITCH_MTU; VSWITCH_BRIDGE (empty: none).
 *
 * Used by the broker, from one thread; the parent must not reap children that it does not know. */
#ifndef VS_IO_SCRIPT_H
#define VS_IO_SCRIPT_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/compiler.h"
#include "base/time.h"
#include "io/fault.h"
#include "io/tap_config.h"

#define VS_SCRIPT_TIMEOUT (10 * VS_SEC)

enum vs_script_event {
	VS_SCRIPT_UP,
	VS_SCRIPT_DOWN,
};

/* A script that may be running; zero-initialised: it is not. */
struct vs_script {
	pid_t pid; /* 0: not running */
	uint64_t deadline;
	char path[VS_CONFIG_PATH_MAX];
};

static inline bool vs_script_running(const struct vs_script *script)
{
	return script->pid > 0;
}

/* Starts the TAP's script for the event, which must be set. 0 or -errno; that it cannot be executed shows at once
 * (-ENOENT, -EACCES, -ENOEXEC). */
int vs_script_start(struct vs_script *script, const char *tap_name, const struct vs_tap_config *tap,
		    enum vs_script_event event, uint64_t now, struct vs_fault *fault) VS_MUST_CHECK;

/* Looks whether the script has ended, and kills it if it is past its deadline. What went wrong with it is logged.
 * To be called after SIGCHLD and at the deadline. */
void vs_script_poll(struct vs_script *script, uint64_t now);

/* Waits until the script has ended; VS_SCRIPT_TIMEOUT at most. */
void vs_script_wait(struct vs_script *script);

/* Kills a script that is running. */
void vs_script_stop(struct vs_script *script);

#endif
