#include "link/crypto.h"

#include <errno.h>
#include <psa/crypto.h>

#if defined(__aarch64__)
#include <asm/hwcap.h>
#include <sys/auxv.h>
#endif

const char *vs_cipher_name(enum vs_cipher cipher)
{
	switch (cipher) {
	case VS_CIPHER_AES_256_GCM:
		return "aes-256-gcm";
	case VS_CIPHER_CHACHA20_POLY1305:
		return "chacha20-poly1305";
	}
	return "unknown";
}

bool vs_cpu_has_aes(void)
{
#if defined(__x86_64__) || defined(__i386__)
	return __builtin_cpu_supports("aes") && __builtin_cpu_supports("pclmul");
#elif defined(__aarch64__)
	unsigned long caps = getauxval(AT_HWCAP);
	return (caps & HWCAP_AES) && (caps & HWCAP_PMULL);
#else
	return false;
#endif
}

int vs_crypto_init(void)
{
	return psa_crypto_init() == PSA_SUCCESS ? 0 : -EIO;
}

const struct vs_crypto *vs_crypto_default(void)
{
#ifdef VS_HAVE_IPSECMB
	if (vs_crypto_ipsecmb_usable())
		return &vs_crypto_ipsecmb;
#endif
#ifdef VS_HAVE_OPENSSL
	return &vs_crypto_openssl;
#else
	return &vs_crypto_mbedtls;
#endif
}
