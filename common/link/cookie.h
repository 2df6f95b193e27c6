/* Cookies: how a server under load learns, without keeping state, that a sender has the address that it claims
 * (WireGuard, section 5.4.7; DTLS, RFC 6347). A cookie is a MAC of the address under a secret of the server's that
 * changes every VS_COOKIE_LIFE; the secret before it is still accepted. Secrets are derived from a seed and the time,
 * so there is nothing to rotate. */
#ifndef VS_LINK_COOKIE_H
#define VS_LINK_COOKIE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/addr.h"
#include "base/compiler.h"
#include "link/crypto.h"
#include "link/wire.h"

#define VS_COOKIE_SEED_SIZE 32

/* The cookie that `addr` is given now. */
void vs_cookie_make(const struct vs_crypto *crypto, const uint8_t seed[VS_COOKIE_SEED_SIZE],
		    const struct vs_addr *addr, uint64_t now, uint8_t out[VS_COOKIE_SIZE]);

/* Whether mac2 of the message is keyed by a cookie that `addr` was given lately. */
bool vs_cookie_proves(const struct vs_crypto *crypto, const uint8_t seed[VS_COOKIE_SEED_SIZE],
		      const struct vs_addr *addr, uint64_t now, const uint8_t *message, size_t len);

/* Writes the reply that carries a cookie to the sender of the initiation whose index and mac1 are given: sealed under
 * HKDF-SHA-256 (RFC 5869) of the server's public key with the salt, mac1 as associated data, so that only somebody who
 * saw the initiation can have made it or can use it. 0, -ENOMEM or -EIO. */
int vs_cookie_reply(const struct vs_crypto *crypto, const uint8_t server_public[VS_KEY_SIZE],
		    const uint8_t cookie[VS_COOKIE_SIZE], uint32_t receiver_index, const uint8_t mac1[VS_MAC_SIZE],
		    const uint8_t salt[VS_COOKIE_SALT], uint8_t out[VS_COOKIE_REPLY_SIZE]) VS_MUST_CHECK;

/* Opens a reply of VS_COOKIE_REPLY_SIZE bytes to the initiation that had this mac1. 0, -EBADMSG or -ENOMEM. */
int vs_cookie_open(const struct vs_crypto *crypto, const uint8_t server_public[VS_KEY_SIZE], const uint8_t *reply,
		   const uint8_t mac1[VS_MAC_SIZE], uint8_t cookie[VS_COOKIE_SIZE]) VS_MUST_CHECK;

#endif
