/* Random bytes from the kernel, for the rooms that may not ask for them themselves. */
#ifndef VS_IO_RANDOM_H
#define VS_IO_RANDOM_H

#include <stddef.h>
#include <stdint.h>

/* Fills `out`; never fails: where the kernel has no random bytes to give (before 3.17, or a broken sandbox) the program
 * ends, because every key would be guessable. */
void vs_random(void *out, size_t n);

static inline uint64_t vs_random_u64(void)
{
	uint64_t value;
	vs_random(&value, sizeof(value));
	return value;
}

#endif
