/* What the cryptography backends have in common: how a counter becomes a nonce. Only they use it; everybody else uses
 * link/crypto.h. */
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

#endif
