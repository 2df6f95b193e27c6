#include "bench/load_watch.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <time.h>

static int take_memory(pid_t pid, struct load_watch *out)
{
	char line[256];
	snprintf(line, sizeof(line), "/proc/%d/status", (int)pid);
	FILE *file = fopen(line, "re");
	if (!file)
		return -errno;
	while (fgets(line, sizeof(line), file)) {
		/* Each line is of one of these, or of none. */
		if (sscanf(line, "VmRSS: %" SCNu64, &out->rss_kib) == 1 ||
		    sscanf(line, "VmHWM: %" SCNu64, &out->peak_kib) == 1 ||
		    sscanf(line, "RssAnon: %" SCNu64, &out->anon_kib) == 1)
			continue;
	}
	fclose(file);
	return 0;
}

int load_watch_take(pid_t pid, struct load_watch *out)
{
	clockid_t clock;
	struct timespec time;
	*out = (struct load_watch){ 0 };
	int err = clock_getcpuclockid(pid, &clock);
	if (err)
		return -err;
	if (clock_gettime(clock, &time) < 0)
		return -ESRCH;
	out->cpu_nsec = (uint64_t)time.tv_sec * UINT64_C(1000000000) + (uint64_t)time.tv_nsec;
	return take_memory(pid, out);
}
