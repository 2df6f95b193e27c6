/* What is counted: the instructions between meter_on() and meter_off(), under valgrind's callgrind; elsewhere nothing
 * happens. Whatever a workload has to do besides (make frames, carry datagrams) stays outside. Started by guard.py with
 * --instr-atstart=no and --collect-atstart=no, so that getting a workload under way is quick. */
#ifndef VS_TEST_PERF_METER_H
#define VS_TEST_PERF_METER_H

#include <stdbool.h>
#include <valgrind/callgrind.h>

/* Once, when the workload is in its steady state. */
static inline void meter_ready(void)
{
	CALLGRIND_START_INSTRUMENTATION;
}

extern bool meter_is_on;

static inline void meter_set(bool on)
{
	if (meter_is_on == on)
		return;
	meter_is_on = on;
	CALLGRIND_TOGGLE_COLLECT;
}

static inline void meter_on(void)
{
	meter_set(true);
}

static inline void meter_off(void)
{
	meter_set(false);
}

#endif
