/* Out of the TAPs: frame by frame as the bridge hands them out, or several of one flow in one system call. */
#include <errno.h>

#include "io/tap.h"
#include "io/tap_super.h"
#include "io/worker_state.h"

/* -EINVAL: a super-frame that this device does not take. That the device is gone shows when it is read. */
static int write_now(struct vs_wport *port, struct vs_frame *frame)
{
	struct vs_drops *drops = &port->worker->drops;
	int err = -EINVAL;
	if (port->super)
		err = vs_tap_super_write(port->fd, frame, drops);
	else if (!frame->super)
		err = vs_tap_write(port->fd, frame, drops);
	if (err == -EINVAL)
		return err;
	vs_frame_unref(frame);
	return 0;
}

/* Frame by frame. These are no super-frames, so there is none that the device would not take. */
static void write_each(struct vs_wport *port)
{
	for (uint32_t i = 0; i < port->run->count; i++) {
		int err = vs_tap_super_write(port->fd, port->run->frames[i], &port->worker->drops);
		(void)err;
	}
}

void vs_wport_write_run(struct vs_wport *port)
{
	struct vs_gro *run = port->run;
	if (run->count > 1 && vs_tap_super_write_run(port->fd, run, &port->worker->drops) != -EINVAL) {
		vs_gro_clear(run);
		return;
	}
	/* An older kernel: it is not asked again. */
	if (run->count > 1)
		vs_gro_refuse(run);
	write_each(port);
	vs_gro_clear(run);
}

void vs_worker_write_runs(struct vs_worker *worker)
{
	struct vs_wport *port;
	while ((port = VS_LIST_FIRST(&worker->waiting, struct vs_wport, waiting))) {
		vs_list_remove(&port->waiting);
		vs_wport_write_run(port);
	}
}

/* Whether the frame waits for others of its flow. What waits and does not go with it leaves first. */
static bool keep(struct vs_wport *port, struct vs_frame *frame)
{
	struct vs_worker *worker = port->worker;
	if (!vs_gro_add(port->run, frame)) {
		vs_wport_write_run(port);
		if (!vs_gro_add(port->run, frame))
			return false;
	}
	if (vs_list_empty(&port->waiting)) {
		vs_list_append(&worker->waiting, &port->waiting);
		vs_deferred_schedule(&worker->turn_end);
	}
	return true;
}

int vs_wport_write_tap(struct vs_wport *port, struct vs_frame *frame)
{
	return port->run && keep(port, frame) ? 0 : write_now(port, frame);
}
