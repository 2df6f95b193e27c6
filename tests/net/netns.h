/* A network namespace of the test's own, in a user namespace of its own, so that no privilege is needed and nothing of
 * the host is touched. For tests that are programs. */
#ifndef VS_TESTS_NET_NETNS_H
#define VS_TESTS_NET_NETNS_H

/* What Meson takes for "skipped". */
#define VS_TEST_SKIP 77

/* Moves this process, which must have one thread, into new namespaces where it is root; `lo` is up. Where the system
 * does not allow that, or has no /dev/net/tun, says so and ends the process with VS_TEST_SKIP. */
void vs_netns_enter(void);

/* In there, by any socket: makes a bridge, up, or ends the process with VS_TEST_SKIP where the kernel has none; brings a
 * device up; makes it a port of the bridge, up. What fails otherwise ends the process with a message. */
void vs_netns_add_bridge(int control, const char *bridge);
void vs_netns_raise(int control, const char *device);
void vs_netns_join_bridge(int control, const char *bridge, const char *device);

#endif
