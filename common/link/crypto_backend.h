/* What the two cryptography backends have in common: how a counter becomes a nonce, and how parts become one run of
 * bytes. Only crypto_mbedtls.c and crypto_openssl.c use it; everybody else uses link/crypto.h. */
#ifndef VS_LINK_CRYPTO_BACKEND_H
#define VS_LINK_CRYPTO_BACKEND_H

#include <string.h>

#include "base/bytes.h"
#include "link/crypto.h"

#define VS_NONCE_SIZE 12

/* 32 zero bits and the counter, as the Noise specification (section 12) encodes it for each cipher. */
static inline void vs_nonce_encode(uint8_t nonce[VS_NONCE_SIZE], enum vs_cipher cipher, uint64_t counter)
{
	memset(nonce, 0, 4);
	if (cipher == VS_CIPHER_AES_256_GCM)
		vs_put_be64(nonce + 4, counter);
	else
		vs_put_le64(nonce + 4, counter);
}

/* Lays the parts end to end at `out`, from where they are then encrypted in place. For a datagram this costs less than
 * a library call per part does, because parts are seldom whole cipher blocks. A single part that is at `out` already
 * stays there. Returns the sum of the lengths. */
static inline size_t vs_parts_gather(uint8_t *out, const struct iovec *parts, size_t n)
{
	size_t len = 0;

	for (size_t i = 0; i < n; i++) {
		if (parts[i].iov_len && out + len != parts[i].iov_base)
			memcpy(out + len, parts[i].iov_base, parts[i].iov_len);
		len += parts[i].iov_len;
	}
	return len;
}

#endif
