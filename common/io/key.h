/* Keys as people handle them: 32 bytes of X25519 (or of a pre-shared secret) in 44 characters of base64, as WireGuard
 * writes them, so that its users' tools and habits work here too. vs_crypto_init() must have been called before
 * vs_key_public(). Secrets are the caller's to wipe. */
#ifndef VS_IO_KEY_H
#define VS_IO_KEY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/compiler.h"
#include "link/wire.h"

#define VS_KEY_TEXT_SIZE 45 /* and its NUL */

/* Exactly 44 characters of canonical base64. 0 or -EINVAL. */
int vs_key_parse(const char *text, uint8_t out[VS_KEY_SIZE]) VS_MUST_CHECK;

/* Returns buf. */
const char *vs_key_format(const uint8_t key[VS_KEY_SIZE], char buf[VS_KEY_TEXT_SIZE]);

/* A fresh private key from the kernel's random source, clamped (RFC 7748 section 5). 0 or -errno of getrandom(). */
int vs_key_generate(uint8_t out[VS_KEY_SIZE]) VS_MUST_CHECK;

/* 32 fresh random bytes: a pre-shared key. 0 or -errno. */
int vs_key_generate_psk(uint8_t out[VS_KEY_SIZE]) VS_MUST_CHECK;

/* The public key that belongs to a private one. 0 or -EINVAL. */
int vs_key_public(uint8_t out[VS_KEY_SIZE], const uint8_t private_key[VS_KEY_SIZE]) VS_MUST_CHECK;

/* All-zero stands for "no key" wherever a key is optional. Takes the same time for all keys. */
bool vs_key_is_zero(const uint8_t key[VS_KEY_SIZE]);

/* Reads a key from an open file: one line, which may be followed by blank ones. The descriptor stays the caller's.
 * 0, -EINVAL (the file holds something else) or -errno of read(). */
int vs_key_read(int fd, uint8_t out[VS_KEY_SIZE]) VS_MUST_CHECK;

#endif
