/* A datapath with PCs around it, for tests: each PC is one end of a socket pair whose other end the datapath takes for
 * a TAP device, one frame a read. The deciding loop runs in the test's thread, the PCs' traffic in threads of their
 * own. */
#ifndef VS_TESTS_DATAPATH_LAN_H
#define VS_TESTS_DATAPATH_LAN_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "io/datapath.h"

#define PCS_MAX 8
#define TO_ALL PCS_MAX /* instead of a PC's number: the broadcast address */
#define PC_MTU 1500

struct pc {
	unsigned number;
	struct vs_dport *port;
	int fd;
};

struct lan {
	struct vs_loop *loop;
	struct vs_datapath *path;
	struct pc pcs[PCS_MAX];
	unsigned count;
	struct vs_wakeup *finished; /* a talker has ended */
	atomic_uint talking;
	struct vs_dport *gone; /* the TAP of which the handler has been told */
	int gone_error;
	unsigned links_up; /* VS_LINK_UP events, each of which stops the loop */
};

/* With so many workers, and PCs 0 ... pcs - 1. */
void lan_open(struct lan *lan, unsigned workers, unsigned pcs);
/* Checks that no buffer is in use, and closes. */
void lan_close(struct lan *lan);

struct vs_port_config lan_port_config(unsigned number);
void lan_add_pc(struct lan *lan, unsigned number, const struct vs_port_config *config);
void lan_remove_pc(struct lan *lan, unsigned number);

/* Of all workers. */
struct vs_worker_stats lan_stats(struct lan *lan);

/* --- Frames ------------------------------------------------------------------------------------------------------- */

#define FRAME_ROOM 2048

struct heard {
	unsigned from; /* PC; PCS_MAX: not one of our frames, or damaged */
	unsigned to;
	uint32_t number;
	uint16_t tci; /* 0: untagged */
};

/* Writes frame `number` of a PC to another, with a tag if tci is not 0; its length and bytes depend on the number. */
size_t lan_frame(uint8_t frame[FRAME_ROOM], unsigned from, unsigned to, uint32_t number, uint16_t tci);
/* Sends it; false: there is no room for it. */
bool lan_send(const struct pc *pc, unsigned to, uint32_t number, uint16_t tci);
/* The next frame that comes to a PC within so many milliseconds; false: none. */
bool lan_hear(const struct pc *pc, int msec, struct heard *out);

/* --- Talkers ------------------------------------------------------------------------------------------------------ */

/* A PC that sends frames to each of the others in rounds, each in step with what it hears from them, so that nothing
 * need be lost. What went wrong is for the test to look at when it has ended. */
struct talker {
	struct lan *lan;
	const struct pc *pc;
	uint16_t mates; /* bit n: PC n is another talker */
	bool broadcast; /* one frame to all instead of one to each */
	unsigned rounds;
	uint32_t heard[PCS_MAX]; /* frames from each PC */
	unsigned sent;
	unsigned misordered, foreign, silent;
	pthread_t thread;
};

#define BURST 8u /* frames to each in a round */

/* Has PCs 0 ... pcs - 1 talk to each other, turns the deciding loop until all have ended, and checks that each has
 * heard all of it, in order and once. */
void lan_talk(struct lan *lan, unsigned pcs, bool broadcast, unsigned rounds);

#endif
