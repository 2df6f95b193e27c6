/* A cryptography backend that encrypts nothing, for workloads: the bytes are laid out as sealing lays them out, with a
 * tag that is checked, and none of it is metered. What the real ciphers cost is the business of their libraries, and
 * depends on the processor. Only the AEAD is there: links that have their keys need no more. */
#ifndef VS_TEST_PERF_NULL_CRYPTO_H
#define VS_TEST_PERF_NULL_CRYPTO_H

#include "link/crypto.h"

extern const struct vs_crypto null_crypto;

#endif
