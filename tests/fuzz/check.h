/* What must hold in a fuzz target, whatever the input: assert() that no build option takes out. */
#ifndef VS_TESTS_FUZZ_CHECK_H
#define VS_TESTS_FUZZ_CHECK_H

#include <stdio.h>
#include <stdlib.h>

#define CHECK(condition)                                                                     \
	do {                                                                                 \
		if (!(condition)) {                                                          \
			fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition);      \
			abort();                                                             \
		}                                                                            \
	} while (0)

#endif
