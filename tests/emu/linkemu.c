/* linkemu: an imperfect line between two TUN devices, in user space. See README.md beside this file.
 *
 * One thread, one event loop: packets are read in batches from both devices, the model (impair.h) says when they come
 * out, a timer wakes the loop for the next of them. */
#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#include "base/compiler.h"
#include "base/time.h"
#include "emu/delayline.h"
#include "emu/impair.h"
#include "emu/setting.h"
#include "emu/toobig.h"
#include "emu/tun.h"

#define PROGRAM "linkemu"
#define PACKET_MAX 65536
#define BATCH 128 /* packets read before others get their turn */
#define COMMAND_MAX 256
#define EXIT_USAGE 2

/* One direction. */
struct way {
	const char *name;
	struct vs_impair *impair;
	struct vs_delayline line;
	const struct vs_tun *from, *to;
	uint64_t written, refused, overflowed;
};

struct emu {
	struct vs_tun a, b;
	struct way up, down;
	bool answer_too_big;
	bool quit;
	int epoll, timer, signals;
	struct timespec started;
	size_t command_len;
	char command[COMMAND_MAX];
};

VS_PRINTF(1, 2) static void complain(const char *fmt, ...)
{
	va_list ap;

	fputs(PROGRAM ": ", stderr);
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fputc('\n', stderr);
}

static uint64_t clock_usec(const struct emu *emu)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	int64_t nsec = ts.tv_nsec - emu->started.tv_nsec;
	return (uint64_t)((ts.tv_sec - emu->started.tv_sec) * (int64_t)VS_SEC + nsec / 1000);
}

/* --- Settings ----------------------------------------------------------------------------------------------------- */

static int schedule_way(struct way *way, uint64_t at, const struct vs_setting *setting)
{
	int err = vs_impair_schedule(way->impair, at, setting->field, setting->value);

	if (err)
		complain("too many changes: %d are the most", VS_IMPAIR_CHANGES_MAX);
	return err;
}

static int schedule(struct emu *emu, uint64_t at, const struct vs_setting *setting)
{
	int err = setting->way & VS_SETTING_UP ? schedule_way(&emu->up, at, setting) : 0;

	if (!err && setting->way & VS_SETTING_DOWN)
		err = schedule_way(&emu->down, at, setting);
	return err;
}

/* "NAME=VALUE", in force from `at` on. */
static int schedule_pair(struct emu *emu, uint64_t at, const char *text)
{
	char error[VS_SETTING_ERROR_SIZE];
	struct vs_setting setting;

	int err = vs_setting_parse_pair(&setting, text, error);
	if (err) {
		complain("%s", error);
		return err;
	}
	return schedule(emu, at, &setting);
}

/* --- Statistics --------------------------------------------------------------------------------------------------- */

static void print_way(const struct way *way, uint64_t now, FILE *out)
{
	const struct vs_impair_stats *s = vs_impair_stats(way->impair);

	fprintf(out, "\"%s\": {\"packets\": %" PRIu64 ", \"bytes\": %" PRIu64, way->name, s->packets, s->bytes);
	for (int f = 0; f < VS_IMPAIR_FATES; f++)
		fprintf(out, ", \"%s\": %" PRIu64, vs_impair_fate_name((enum vs_impair_fate)f), s->fates[f]);
	fprintf(out, ", \"bytes_delivered\": %" PRIu64 ", \"duplicated\": %" PRIu64 ", \"held_back\": %" PRIu64,
		s->bytes_delivered, s->duplicated, s->held_back);
	fprintf(out, ", \"queue_bytes\": %" PRIu64 ", \"queue_bytes_max\": %" PRIu64,
		vs_impair_queue_bytes(way->impair, now), s->queue_bytes_max);
	fprintf(out, ", \"written\": %" PRIu64 ", \"refused\": %" PRIu64, way->written, way->refused);
	fprintf(out, ", \"overflowed\": %" PRIu64 ", \"on_the_way\": %zu}", way->overflowed, way->line.count);
}

static void print_stats(const struct emu *emu)
{
	uint64_t now = clock_usec(emu);

	printf("{\"seconds\": %.3f, ", (double)now / (double)VS_SEC);
	print_way(&emu->up, now, stdout);
	printf(", ");
	print_way(&emu->down, now, stdout);
	printf("}\n");
	fflush(stdout);
}

/* --- Packets ------------------------------------------------------------------------------------------------------ */

static void deliver(struct way *way, const void *data, size_t len)
{
	/* A device that is down refuses; that is the tester's doing, and counted. */
	if (write(way->to->fd, data, len) == (ssize_t)len)
		way->written++;
	else
		way->refused++;
}

static void answer_too_big(struct way *way, const uint8_t *packet, size_t len, uint64_t now)
{
	uint8_t answer[VS_TOOBIG_MAX];
	size_t n = vs_toobig_answer(packet, len, vs_impair_config(way->impair, now)->mtu, answer);

	if (n && write(way->from->fd, answer, n) < 0)
		way->refused++;
}

static void take_packet(struct emu *emu, struct way *way, const uint8_t *packet, size_t len, uint64_t now)
{
	struct vs_impair_verdict verdict;

	vs_impair_input(way->impair, now, len, &verdict);
	if (verdict.fate == VS_IMPAIR_TOO_BIG && emu->answer_too_big)
		answer_too_big(way, packet, len, now);
	for (unsigned i = 0; i < verdict.copies; i++) {
		if (verdict.at[i] <= now && vs_delayline_deadline(&way->line) > now)
			deliver(way, packet, len);
		else if (vs_delayline_insert(&way->line, verdict.at[i], packet, len))
			way->overflowed++;
	}
}

static void read_packets(struct emu *emu, struct way *way)
{
	static uint8_t packet[PACKET_MAX];
	uint64_t now = clock_usec(emu);

	for (int i = 0; i < BATCH; i++) {
		ssize_t n = read(way->from->fd, packet, sizeof(packet));
		if (n <= 0)
			return;
		take_packet(emu, way, packet, (size_t)n, now);
	}
}

static void deliver_due(struct way *way, uint64_t now)
{
	struct vs_delayline_packet *packet;

	while ((packet = vs_delayline_remove(&way->line, now))) {
		deliver(way, packet->data, packet->len);
		free(packet);
	}
}

/* Delivers what has arrived, and wakes the loop for what comes next. */
static void deliver_and_arm(struct emu *emu)
{
	struct itimerspec spec = { 0 };
	uint64_t now = clock_usec(emu);

	deliver_due(&emu->up, now);
	deliver_due(&emu->down, now);
	uint64_t at = vs_time_min(vs_delayline_deadline(&emu->up.line), vs_delayline_deadline(&emu->down.line));
	if (at != VS_NEVER) {
		uint64_t nsec = (uint64_t)emu->started.tv_nsec + at % VS_SEC * 1000;
		spec.it_value.tv_sec = emu->started.tv_sec + (time_t)(at / VS_SEC + nsec / 1000000000);
		spec.it_value.tv_nsec = (long)(nsec % 1000000000);
	}
	timerfd_settime(emu->timer, TFD_TIMER_ABSTIME, &spec, NULL);
}

/* --- Commands and signals ----------------------------------------------------------------------------------------- */

static void obey(struct emu *emu, char *line)
{
	char *save, *word;
	uint64_t now = clock_usec(emu);

	for (word = strtok_r(line, " \t\r", &save); word; word = strtok_r(NULL, " \t\r", &save)) {
		if (strcmp(word, "stats") == 0)
			print_stats(emu);
		else if (strcmp(word, "quit") == 0)
			emu->quit = true;
		else
			(void)!schedule_pair(emu, now, word); /* it has complained; the line goes on as it is */
	}
}

static void split_commands(struct emu *emu)
{
	char *end;

	while ((end = memchr(emu->command, '\n', emu->command_len))) {
		*end = '\0';
		obey(emu, emu->command);
		emu->command_len -= (size_t)(end + 1 - emu->command);
		memmove(emu->command, end + 1, emu->command_len);
	}
	if (emu->command_len == COMMAND_MAX) {
		complain("command too long: %d bytes are the most", COMMAND_MAX - 1);
		emu->command_len = 0;
	}
}

static void read_commands(struct emu *emu)
{
	ssize_t n = read(STDIN_FILENO, emu->command + emu->command_len, COMMAND_MAX - emu->command_len);

	if (n <= 0) {
		epoll_ctl(emu->epoll, EPOLL_CTL_DEL, STDIN_FILENO, NULL);
		return;
	}
	emu->command_len += (size_t)n;
	split_commands(emu);
}

static void read_signal(struct emu *emu)
{
	struct signalfd_siginfo info;

	if (read(emu->signals, &info, sizeof(info)) != sizeof(info))
		return;
	if (info.ssi_signo == SIGUSR1)
		print_stats(emu);
	else
		emu->quit = true;
}

/* --- Loop --------------------------------------------------------------------------------------------------------- */

static void dispatch(struct emu *emu, int fd)
{
	uint64_t expirations;

	if (fd == emu->a.fd)
		read_packets(emu, &emu->up);
	else if (fd == emu->b.fd)
		read_packets(emu, &emu->down);
	else if (fd == emu->signals)
		read_signal(emu);
	else if (fd == STDIN_FILENO)
		read_commands(emu);
	else
		(void)!read(fd, &expirations, sizeof(expirations));
}

static void run(struct emu *emu)
{
	struct epoll_event events[8];

	while (!emu->quit) {
		int n = epoll_wait(emu->epoll, events, VS_ARRAY_SIZE(events), -1);
		for (int i = 0; i < n; i++)
			dispatch(emu, events[i].data.fd);
		deliver_and_arm(emu);
	}
}

static int watch(struct emu *emu, int fd)
{
	struct epoll_event event = { .events = EPOLLIN, .data.fd = fd };

	return epoll_ctl(emu->epoll, EPOLL_CTL_ADD, fd, &event) < 0 ? -errno : 0;
}

static int open_loop(struct emu *emu)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGUSR1);
	sigprocmask(SIG_BLOCK, &set, NULL);
	prctl(PR_SET_TIMERSLACK, 1);
	emu->epoll = epoll_create1(EPOLL_CLOEXEC);
	emu->timer = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	emu->signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	if (emu->epoll < 0 || emu->timer < 0 || emu->signals < 0)
		return -errno;
	int err = watch(emu, emu->timer);
	if (!err)
		err = watch(emu, emu->signals);
	/* A standard input that cannot be waited for (a file, /dev/null) has no commands. */
	(void)!watch(emu, STDIN_FILENO);
	return err;
}

static int open_end(struct emu *emu, struct vs_tun *tun)
{
	const char *step = "watch the device";

	int err = vs_tun_open(tun, 0, &step);
	if (!err)
		err = watch(emu, tun->fd);
	if (err)
		complain("%s%s%s: cannot %s: %s", tun->netns, tun->netns[0] ? ":" : "", tun->device, step,
			 strerror(-err));
	return err;
}

/* --- Command line ------------------------------------------------------------------------------------------------- */

static void print_help(void)
{
	printf("Usage: " PROGRAM " --a [NETNS:]DEVICE --b [NETNS:]DEVICE [OPTION VALUE]...\n\n"
	       "An imperfect line between two TUN devices. NETNS: a name as `ip netns` knows it, a process id, a path.\n\n"
	       "Options:\n"
	       "  --a, --b DEVICE      the two ends; \"up\" is the way from a to b\n"
	       "  --seed N             of all chances; the same seed loses the same packets (default 1)\n"
	       "  --at TIME CHANGE     NAME=VALUE of a setting, so long after the start; may repeat\n"
	       "  --too-big WHAT       drop: packets above the MTU vanish (default); icmp: the sender is told\n"
	       "  --help               this text\n\n"
	       "Settings, as options (--delay 25ms; --up-loss 1%% and --down-loss 1%% for one direction), in --at,\n"
	       "and at run time on standard input (\"loss=5%%\" on a line; also \"stats\" and \"quit\"):\n%s\n"
	       "\"ready\" is printed when both devices are up. SIGUSR1 prints the statistics as JSON; so does the end.\n",
	       vs_setting_help());
}

static int usage(const char *what, const char *arg)
{
	complain("%s%s (see " PROGRAM " --help)", what, arg);
	return -EINVAL;
}

static int parse_end(struct vs_tun *tun, const char *value)
{
	return vs_tun_parse(tun, value) ? usage("expected [NETNS:]DEVICE, not ", value) : 0;
}

static int parse_seed(struct emu *emu, const char *value)
{
	char *end;
	const struct vs_impair_config perfect = { 0 };

	errno = 0;
	uint64_t seed = strtoull(value, &end, 0);
	if (errno || *end || !*value)
		return usage("expected a number as seed, not ", value);
	vs_impair_free(emu->up.impair);
	vs_impair_free(emu->down.impair);
	emu->up.impair = vs_impair_new(&perfect, seed);
	emu->down.impair = vs_impair_new(&perfect, ~seed); /* the two ways are independent of each other */
	return emu->up.impair && emu->down.impair ? 0 : -ENOMEM;
}

static int parse_too_big(struct emu *emu, const char *value)
{
	emu->answer_too_big = strcmp(value, "icmp") == 0;
	return emu->answer_too_big || strcmp(value, "drop") == 0 ? 0 : usage("--too-big is drop or icmp, not ", value);
}

static int parse_setting(struct emu *emu, const char *name, const char *value)
{
	char error[VS_SETTING_ERROR_SIZE];
	struct vs_setting setting;

	if (vs_setting_parse(&setting, name, value, error))
		return usage(error, "");
	return schedule(emu, 0, &setting);
}

static int parse_at(struct emu *emu, const char *time, const char *change)
{
	uint64_t at;

	if (vs_setting_duration(time, &at))
		return usage("expected a time such as 5s, not ", time);
	return schedule_pair(emu, at, change);
}

/* One option and what belongs to it; returns the number of arguments used, or a negative errno. */
static int parse_option(struct emu *emu, char **argv, int left)
{
	const char *option = argv[0];
	int err;

	if (strncmp(option, "--", 2) != 0)
		return usage("unexpected argument ", option);
	if (left < 2)
		return usage("a value must follow ", option);
	if (strcmp(option, "--at") == 0 && left < 3)
		return usage("a time and NAME=VALUE must follow ", option);
	if (strcmp(option, "--a") == 0)
		err = parse_end(&emu->a, argv[1]);
	else if (strcmp(option, "--b") == 0)
		err = parse_end(&emu->b, argv[1]);
	else if (strcmp(option, "--seed") == 0)
		err = 0; /* read before the others */
	else if (strcmp(option, "--too-big") == 0)
		err = parse_too_big(emu, argv[1]);
	else if (strcmp(option, "--at") == 0)
		err = parse_at(emu, argv[1], argv[2]);
	else
		err = parse_setting(emu, option + 2, argv[1]);
	if (err)
		return err;
	return strcmp(option, "--at") == 0 ? 3 : 2;
}

static int parse_command_line(struct emu *emu, int argc, char **argv)
{
	int err = parse_seed(emu, "1");

	for (int i = 1; !err && i + 1 < argc; i++)
		if (strcmp(argv[i], "--seed") == 0)
			err = parse_seed(emu, argv[i + 1]);
	for (int i = 1, used; !err && i < argc; i += used) {
		used = parse_option(emu, argv + i, argc - i);
		err = used < 0 ? used : 0;
	}
	if (!err && (!emu->a.device[0] || !emu->b.device[0]))
		err = usage("--a and --b are needed", "");
	return err;
}

static bool wants_help(int argc, char **argv)
{
	for (int i = 1; i < argc; i++)
		if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0)
			return true;
	return false;
}

static void fini(struct emu *emu)
{
	vs_impair_free(emu->up.impair);
	vs_impair_free(emu->down.impair);
	vs_delayline_fini(&emu->up.line);
	vs_delayline_fini(&emu->down.line);
}

int main(int argc, char **argv)
{
	static struct emu emu;

	if (wants_help(argc, argv)) {
		print_help();
		return EXIT_SUCCESS;
	}
	emu.up = (struct way){ .name = "up", .from = &emu.a, .to = &emu.b };
	emu.down = (struct way){ .name = "down", .from = &emu.b, .to = &emu.a };
	int err = parse_command_line(&emu, argc, argv);
	if (err) {
		fini(&emu);
		return EXIT_USAGE;
	}
	err = open_loop(&emu);
	if (err)
		complain("event loop: %s", strerror(-err));
	if (!err)
		err = open_end(&emu, &emu.a);
	if (!err)
		err = open_end(&emu, &emu.b);
	if (!err) {
		clock_gettime(CLOCK_MONOTONIC, &emu.started);
		puts("ready");
		fflush(stdout);
		run(&emu);
		print_stats(&emu);
	}
	fini(&emu);
	return err ? EXIT_FAILURE : EXIT_SUCCESS;
}
