/* Runs one workload, for guard.py:
 *
 *   perf-workloads --made-with   what the counts depend on, "KEY: VALUE" a line
 *   perf-workloads --list        the workloads, "NAME UNIT WHAT" a line
 *   perf-workloads NAME          runs it; prints the number of units */
#include <gnu/libc-version.h>
#include <inttypes.h>
#include <string.h>
#include <sys/utsname.h>
#include <xxhash.h>

#include "base/compiler.h"
#include "perf/meter.h"
#include "perf/workload.h"

#ifdef __clang__
#define COMPILER "clang " __clang_version__
#else
#define COMPILER "gcc " __VERSION__
#endif

bool meter_is_on;

static const struct workload *const tables[] = { link_workloads, switch_workloads, queue_workloads };

static void list(void)
{
	for (size_t i = 0; i < VS_ARRAY_SIZE(tables); i++)
		for (const struct workload *w = tables[i]; w->name; w++)
			printf("%s %s %s\n", w->name, w->unit, w->what);
}

static void made_with(void)
{
	struct utsname system;
	MUST(uname(&system) == 0);
	printf("architecture: %s\n", system.machine);
	printf("compiler: %s\n", COMPILER);
	printf("build: %s\n", PERF_BUILD);
	printf("libc: glibc %s\n", gnu_get_libc_version());
	printf("xxhash: %d.%d.%d\n", XXH_VERSION_MAJOR, XXH_VERSION_MINOR, XXH_VERSION_RELEASE);
}

static const struct workload *find(const char *name)
{
	for (size_t i = 0; i < VS_ARRAY_SIZE(tables); i++)
		for (const struct workload *w = tables[i]; w->name; w++)
			if (strcmp(w->name, name) == 0)
				return w;
	return NULL;
}

int main(int argc, char **argv)
{
	const char *what = argc == 2 ? argv[1] : "";
	if (strcmp(what, "--list") == 0) {
		list();
		return 0;
	}
	if (strcmp(what, "--made-with") == 0) {
		made_with();
		return 0;
	}
	const struct workload *workload = find(what);
	if (!workload) {
		fprintf(stderr, "usage: perf-workloads --made-with | --list | NAME\n");
		return 2;
	}
	printf("%" PRIu64 "\n", workload->run());
	return 0;
}
