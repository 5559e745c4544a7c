/*
 * A sound card for tests: an external I/O plug-in of alsa-lib that looks to a program like a
 * capture device of the kernel, with no kernel driver behind it.
 *
 * Time is the card's own: its crystal is CLOCK_MONOTONIC times (1 + ppm / 1e6), and what it has
 * recorded follows from the time alone, whether anybody reads or not. Each call of alsa-lib first
 * brings the card up to date (`update`); nothing happens in between, there is no thread.
 *
 * The test steers it through a file that both map (`struct control`). Where a sleeping reader must
 * notice at once, the test touches the file: the poll descriptor is an epoll set of a timer, due
 * when the reader's frames are there, and of an inotify watch on that file.
 *
 *   pcm_type.retrocard { lib "PATH/libasound_module_pcm_retrocard.so" }
 *   pcm.testcard {
 *     type retrocard
 *     control "PATH"                  # the mapped file
 *     formats [ S16_LE S24_3LE ]      # what the hardware has; nothing else is negotiated
 *     rates [ 44100 48000 ]
 *     channels [ 2 ]
 *     buffer_bytes_max 65536          # optional
 *   }
 */
#include <alsa/asoundlib.h>
#include <alsa/pcm_external.h>
#include <fcntl.h>
#include <limits.h>
#include <math.h>
#include <stdatomic.h>
#include <sys/epoll.h>
#include <sys/file.h>
#include <sys/inotify.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#define LIST_MAX 16
#define CHANNELS_MAX 8
#define MARK_MS 20
#define MARK_HZ 1000.0
/* Channels beyond left and right have tones of their own, so that none is taken for another. */
#define FURTHER_HZ_PER_CHANNEL 500.0
#define FURTHER_AMPLITUDE 0.25

/* Shared with tests/common/card.rs (`Field`): 8 bytes each, in this order. */
struct control {
	/* Written by the test. */
	_Atomic uint64_t unplugged;     /* 1: it cannot be opened */
	_Atomic uint64_t unplugs;       /* counts: a stream that was open at one of them is dead */
	_Atomic uint64_t stall;         /* 1: nothing arrives */
	_Atomic uint64_t stall_keeps;   /* 1: it all comes at once afterwards; 0: it is lost */
	_Atomic uint64_t xruns;         /* counts: each is one overrun */
	_Atomic uint64_t xrun_loss_ms;  /* of sound, at each of them */
	_Atomic double ppm;             /* how much too fast its crystal is */
	_Atomic double hz[2];           /* left, right */
	_Atomic double amplitude[2];    /* 1: full scale */
	_Atomic uint64_t mark_at_ns;    /* CLOCK_MONOTONIC: the marker's first sample; 0: none */
	/* Written here. */
	_Atomic uint64_t opens;
	_Atomic uint64_t running;       /* 1: between start and stop, or the end by an overrun */
	_Atomic uint64_t frames_produced;
	_Atomic uint64_t frames_delivered;
	_Atomic uint64_t overruns;
};

_Static_assert(sizeof(struct control) == 17 * 8, "Field in tests/common/card.rs");

/* What the configuration says the hardware has. */
struct ability {
	const char *control;
	unsigned formats[LIST_MAX], rates[LIST_MAX], channels[LIST_MAX];
	unsigned formats_len, rates_len, channels_len;
	unsigned buffer_bytes_max;
};

struct card {
	snd_pcm_ioplug_t io;
	struct control *control;
	int control_fd, poll_fd, timer_fd, watch_fd;
	uint64_t unplugs_at_open, xruns_seen;
	snd_pcm_uframes_t avail_min;

	/* The crystal: at `ref_ns` it stood at `ref_frames`, and has since run at `ppm`. */
	int64_t ref_ns;
	double ref_frames, ppm;

	int running, stalled;
	uint64_t produced;            /* frames since start that the reader may see */
	uint64_t delivered;           /* of these, how many it has taken */
	double turns[CHANNELS_MAX];   /* where each tone is in its period, 0 to 1 */
	double *ring;                 /* the last buffer_size frames, as fractions of full scale */
};

static int64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000000LL + t.tv_nsec;
}

/* ---- The crystal ---- */

static double frames_per_ns(const struct card *card)
{
	return card->io.rate * (1 + card->ppm / 1e6) / 1e9;
}

static double position(const struct card *card, int64_t ns)
{
	return card->ref_frames + (ns - card->ref_ns) * frames_per_ns(card);
}

static int64_t time_of(const struct card *card, double frames)
{
	return card->ref_ns + (int64_t)ceil((frames - card->ref_frames) / frames_per_ns(card));
}

/*
 * Frames arrive in bunches of a millisecond, as from a USB card. (Were it one by one, a blocking
 * read of alsa-lib would take them one by one and never sleep.)
 */
static uint64_t bunch_frames(const struct card *card)
{
	return card->io.rate / 1000;
}

static uint64_t arrived(const struct card *card, int64_t ns)
{
	uint64_t frames = (uint64_t)position(card, ns);

	return frames - frames % bunch_frames(card);
}

static int64_t arrival_ns(const struct card *card, uint64_t frame)
{
	uint64_t bunch = bunch_frames(card);

	return time_of(card, (double)((frame + bunch - 1) / bunch * bunch));
}

/* A new rate counts from now: what was recorded before stays as it is, so nothing jumps. */
static void follow_ppm(struct card *card, int64_t now)
{
	double ppm = card->control->ppm;

	if (ppm == card->ppm)
		return;
	card->ref_frames = position(card, now);
	card->ref_ns = now;
	card->ppm = ppm;
}

/* ---- The sound ---- */

static double hz_of(const struct card *card, unsigned channel)
{
	return channel < 2 ? card->control->hz[channel] : FURTHER_HZ_PER_CHANNEL * channel;
}

static double amplitude_of(const struct card *card, unsigned channel)
{
	return channel < 2 ? card->control->amplitude[channel] : FURTHER_AMPLITUDE;
}

/* The sound goes on while nobody records it: after a loss the tones stand elsewhere. */
static void lose(struct card *card, double frames)
{
	for (unsigned channel = 0; channel < card->io.channels; channel++) {
		double turns = card->turns[channel] + frames * hz_of(card, channel) / card->io.rate;
		card->turns[channel] = turns - floor(turns);
	}
}

/* Records one frame; `since_mark_s` says how long after the marker's moment it is. */
static void record_frame(struct card *card, double *frame, double since_mark_s)
{
	int marked = since_mark_s >= 0 && since_mark_s < MARK_MS / 1e3;

	for (unsigned channel = 0; channel < card->io.channels; channel++) {
		double tone = amplitude_of(card, channel) * sin(2 * M_PI * card->turns[channel]);
		frame[channel] = marked ? sin(2 * M_PI * MARK_HZ * since_mark_s) : tone;
	}
	lose(card, 1);
}

static void record_until(struct card *card, uint64_t until)
{
	snd_pcm_uframes_t buffer = card->io.buffer_size;
	int64_t mark = (int64_t)card->control->mark_at_ns;

	if (until <= card->produced)
		return;
	card->control->frames_produced += until - card->produced;
	/* More than the buffer holds is an overrun, of which only the end needs to be recorded. */
	if (until - card->produced > buffer) {
		lose(card, (double)(until - card->produced - buffer));
		card->produced = until - buffer;
	}
	for (; card->produced < until; card->produced++) {
		double *frame = card->ring + card->produced % buffer * card->io.channels;
		int64_t since = time_of(card, (double)card->produced) - mark;
		record_frame(card, frame, mark ? since / 1e9 : -1);
	}
}

/* ---- What the test does to it ---- */

static int dead(const struct card *card)
{
	return card->control->unplugs != card->unplugs_at_open;
}

static void follow_stall(struct card *card, int64_t now)
{
	int stall = card->control->stall != 0;

	if (card->stalled && !stall && !card->control->stall_keeps) {
		lose(card, position(card, now) - card->produced);
		card->ref_frames = card->produced;
		card->ref_ns = now;
	}
	card->stalled = stall;
}

/* One at a time: a reader that recovers meets the next one then. */
static int follow_xruns(struct card *card)
{
	if (card->xruns_seen == card->control->xruns)
		return 0;
	card->xruns_seen++;
	lose(card, card->control->xrun_loss_ms * card->io.rate / 1e3);
	return 1;
}

static void end(struct card *card, snd_pcm_state_t state)
{
	card->running = 0;
	card->control->running = 0;
	snd_pcm_ioplug_set_state(&card->io, state);
}

/* Brings the card to the present. Afterwards its state is RUNNING, XRUN or DISCONNECTED. */
static void update(struct card *card)
{
	int64_t now = now_ns();
	int xrun;

	if (dead(card)) {
		end(card, SND_PCM_STATE_DISCONNECTED);
		return;
	}
	if (!card->running)
		return;
	follow_ppm(card, now);
	follow_stall(card, now);
	if (!card->stalled)
		record_until(card, arrived(card, now));
	xrun = follow_xruns(card);
	/* As the kernel has it: a full buffer is an overrun already. */
	if (xrun || card->produced - card->io.appl_ptr >= card->io.buffer_size) {
		card->control->overruns++;
		end(card, SND_PCM_STATE_XRUN);
	}
}

/* ---- Waking the reader ---- */

/*
 * The moment at which a reader that has `consumed` frames is to be woken: as with real hardware,
 * at the end of a period, and when it has avail_min frames to read. 0: not by time.
 */
static int64_t wake_ns(const struct card *card, uint64_t consumed)
{
	snd_pcm_uframes_t period = card->io.period_size;
	uint64_t wanted = consumed + card->avail_min;
	int64_t at_once = 1;

	if (!card->running)
		return card->io.state == SND_PCM_STATE_XRUN || dead(card) ? at_once : 0;
	if (card->produced >= wanted)
		return at_once;
	return card->stalled ? 0 : arrival_ns(card, (wanted + period - 1) / period * period);
}

/* Setting the timer also forgets that it had expired: it needs no read. */
static void arm(struct card *card, uint64_t consumed)
{
	int64_t ns = wake_ns(card, consumed);
	struct itimerspec due = { .it_value = { ns / 1000000000, ns % 1000000000 } };

	timerfd_settime(card->timer_fd, TFD_TIMER_ABSTIME, &due, NULL);
}

static void forget_touches(struct card *card)
{
	char events[4096];

	while (read(card->watch_fd, events, sizeof events) > 0)
		;
}

static int on_poll_revents(snd_pcm_ioplug_t *io, struct pollfd *fds, unsigned int len, unsigned short *revents)
{
	struct card *card = io->private_data;

	(void)fds, (void)len;
	forget_touches(card);
	update(card);
	arm(card, io->appl_ptr);
	if (io->state == SND_PCM_STATE_XRUN || io->state == SND_PCM_STATE_DISCONNECTED)
		*revents = POLLIN | POLLERR;
	else
		*revents = card->running && card->produced - io->appl_ptr >= card->avail_min ? POLLIN : 0;
	return 0;
}

/* ---- The life of a stream ---- */

static int on_hw_params(snd_pcm_ioplug_t *io, snd_pcm_hw_params_t *params)
{
	struct card *card = io->private_data;

	(void)params;
	if (dead(card))
		return -ENODEV;
	free(card->ring);
	card->ring = calloc(io->buffer_size * io->channels, sizeof *card->ring);
	card->avail_min = io->period_size;
	return card->ring ? 0 : -ENOMEM;
}

static int on_sw_params(snd_pcm_ioplug_t *io, snd_pcm_sw_params_t *params)
{
	struct card *card = io->private_data;

	return snd_pcm_sw_params_get_avail_min(params, &card->avail_min);
}

static int on_prepare(snd_pcm_ioplug_t *io)
{
	struct card *card = io->private_data;

	if (dead(card))
		return -ENODEV;
	card->running = 0;
	card->produced = card->delivered = 0;
	arm(card, 0);
	return 0;
}

static int on_start(snd_pcm_ioplug_t *io)
{
	struct card *card = io->private_data;

	if (dead(card))
		return -ENODEV;
	card->ref_ns = now_ns();
	card->ref_frames = 0;
	card->ppm = card->control->ppm;
	card->stalled = card->control->stall != 0;
	card->running = 1;
	card->control->running = 1;
	arm(card, 0);
	return 0;
}

static int on_stop(snd_pcm_ioplug_t *io)
{
	struct card *card = io->private_data;

	card->running = 0;
	card->control->running = 0;
	arm(card, 0);
	return 0;
}

static snd_pcm_sframes_t on_pointer(snd_pcm_ioplug_t *io)
{
	struct card *card = io->private_data;

	update(card);
	/* An error from here always becomes XRUN: DISCONNECTED, which is set, must get none. */
	if (io->state == SND_PCM_STATE_XRUN)
		return -EPIPE;
	return io->buffer_size ? (snd_pcm_sframes_t)(card->produced % io->buffer_size) : 0;
}

/* ---- Samples as the reader wants them ---- */

/* Exactly rounded: a double holds a sine to 53 bits. What is beyond full scale is clipped. */
static int64_t integer_of(double value, int bits)
{
	double scale = ldexp(1, bits - 1);

	return llrint(fmin(fmax(value * scale, -scale), scale - 1));
}

static void write_sample(uint8_t *to, snd_pcm_format_t format, double value)
{
	int width = snd_pcm_format_width(format), bytes = snd_pcm_format_physical_width(format) / 8;
	uint64_t word;
	float single = (float)value;

	if (snd_pcm_format_float(format) == 1) {
		memcpy(to, &single, sizeof single);
		return;
	}
	word = (uint64_t)integer_of(value, width);
	if (snd_pcm_format_unsigned(format) == 1)
		word += 1ULL << (width - 1);
	/* The unused byte of S24_LE means nothing; here it is no extension of the sign. */
	word &= (1ULL << width) - 1;
	for (int i = 0; i < bytes; i++)
		to[snd_pcm_format_big_endian(format) == 1 ? bytes - 1 - i : i] = (uint8_t)(word >> (8 * i));
}

/*
 * Copies from where the reader stands, not from where the last copy ended: with mmap access
 * alsa-lib asks again for frames that the reader has seen and not taken.
 */
static snd_pcm_sframes_t on_transfer(snd_pcm_ioplug_t *io, const snd_pcm_channel_area_t *areas,
                                     snd_pcm_uframes_t offset, snd_pcm_uframes_t size)
{
	struct card *card = io->private_data;
	int mapped = io->access == SND_PCM_ACCESS_MMAP_INTERLEAVED;

	if (dead(card))
		return -ENODEV;
	for (snd_pcm_uframes_t i = 0; i < size; i++) {
		const double *frame = card->ring + (io->appl_ptr + i) % io->buffer_size * io->channels;
		for (unsigned channel = 0; channel < io->channels; channel++) {
			const snd_pcm_channel_area_t *area = areas + channel;
			uint8_t *to = (uint8_t *)area->addr + (area->first + (offset + i) * area->step) / 8;
			write_sample(to, io->format, frame[channel]);
		}
	}
	if (io->appl_ptr + size > card->delivered) {
		card->control->frames_delivered += io->appl_ptr + size - card->delivered;
		card->delivered = io->appl_ptr + size;
	}
	arm(card, io->appl_ptr + (mapped ? 0 : size));
	return (snd_pcm_sframes_t)size;
}

/* ---- Opening and closing ---- */

static int release(struct card *card)
{
	if (card->poll_fd >= 0)
		close(card->poll_fd);
	if (card->timer_fd >= 0)
		close(card->timer_fd);
	if (card->watch_fd >= 0)
		close(card->watch_fd);
	if (card->control)
		munmap(card->control, sizeof *card->control);
	if (card->control_fd >= 0) {
		/* Not left to close(): a child that is about to exec may hold a copy. */
		flock(card->control_fd, LOCK_UN);
		close(card->control_fd);
	}
	free(card->ring);
	free(card);
	return 0;
}

static int on_close(snd_pcm_ioplug_t *io)
{
	struct card *card = io->private_data;

	card->control->running = 0;
	return release(card);
}

static const snd_pcm_ioplug_callback_t CALLBACKS = {
	.start = on_start,
	.stop = on_stop,
	.pointer = on_pointer,
	.transfer = on_transfer,
	.close = on_close,
	.hw_params = on_hw_params,
	.sw_params = on_sw_params,
	.prepare = on_prepare,
	.poll_revents = on_poll_revents,
};

static int open_control(struct card *card, const char *path)
{
	struct stat stat;
	void *map;

	card->control_fd = open(path, O_RDWR | O_CLOEXEC);
	if (card->control_fd < 0 || fstat(card->control_fd, &stat) < 0)
		return -errno;
	if (stat.st_size != sizeof *card->control) {
		SNDERR("%s is not the control file of this version", path);
		return -EINVAL;
	}
	map = mmap(NULL, sizeof *card->control, PROT_READ | PROT_WRITE, MAP_SHARED, card->control_fd, 0);
	if (map == MAP_FAILED)
		return -errno;
	card->control = map;
	if (card->control->unplugged)
		return -ENODEV;
	/* A capture device has one reader. */
	return flock(card->control_fd, LOCK_EX | LOCK_NB) < 0 ? -EBUSY : 0;
}

static int open_poll(struct card *card, const char *path)
{
	struct epoll_event readable = { .events = EPOLLIN };

	card->timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
	card->watch_fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
	card->poll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (card->timer_fd < 0 || card->watch_fd < 0 || card->poll_fd < 0)
		return -errno;
	if (inotify_add_watch(card->watch_fd, path, IN_MODIFY) < 0 ||
	    epoll_ctl(card->poll_fd, EPOLL_CTL_ADD, card->timer_fd, &readable) < 0 ||
	    epoll_ctl(card->poll_fd, EPOLL_CTL_ADD, card->watch_fd, &readable) < 0)
		return -errno;
	return 0;
}

static int constrain(snd_pcm_ioplug_t *io, const struct ability *has)
{
	static const unsigned ACCESS[] = { SND_PCM_ACCESS_RW_INTERLEAVED, SND_PCM_ACCESS_MMAP_INTERLEAVED };
	int err = snd_pcm_ioplug_set_param_list(io, SND_PCM_IOPLUG_HW_ACCESS, 2, ACCESS);

	err = err < 0 ? err : snd_pcm_ioplug_set_param_list(io, SND_PCM_IOPLUG_HW_FORMAT, has->formats_len, has->formats);
	err = err < 0 ? err : snd_pcm_ioplug_set_param_list(io, SND_PCM_IOPLUG_HW_RATE, has->rates_len, has->rates);
	err = err < 0 ? err : snd_pcm_ioplug_set_param_list(io, SND_PCM_IOPLUG_HW_CHANNELS, has->channels_len, has->channels);
	err = err < 0 ? err : snd_pcm_ioplug_set_param_minmax(io, SND_PCM_IOPLUG_HW_PERIOD_BYTES, 32, has->buffer_bytes_max / 2);
	err = err < 0 ? err : snd_pcm_ioplug_set_param_minmax(io, SND_PCM_IOPLUG_HW_BUFFER_BYTES, 64, has->buffer_bytes_max);
	err = err < 0 ? err : snd_pcm_ioplug_set_param_minmax(io, SND_PCM_IOPLUG_HW_PERIODS, 2, 1024);
	return err;
}

static struct card *new_card(void)
{
	struct card *card = calloc(1, sizeof *card);

	if (!card)
		return NULL;
	card->control_fd = card->poll_fd = card->timer_fd = card->watch_fd = -1;
	card->io.version = SND_PCM_IOPLUG_VERSION;
	card->io.name = "Retrowaves test card";
	card->io.flags = SND_PCM_IOPLUG_FLAG_MONOTONIC;
	card->io.callback = &CALLBACKS;
	card->io.private_data = card;
	card->io.poll_events = POLLIN;
	return card;
}

static int open_card(snd_pcm_t **pcm, const char *name, snd_pcm_stream_t stream, int mode, const struct ability *has)
{
	struct card *card = new_card();
	int err = card ? open_control(card, has->control) : -ENOMEM;

	if (err >= 0)
		err = open_poll(card, has->control);
	if (err >= 0) {
		card->unplugs_at_open = card->control->unplugs;
		card->xruns_seen = card->control->xruns;
		card->io.poll_fd = card->poll_fd;
		err = snd_pcm_ioplug_create(&card->io, name, stream, mode);
	}
	if (err < 0) {
		if (card)
			release(card);
		return err;
	}
	err = constrain(&card->io, has);
	if (err < 0) {
		/* Also calls on_close. */
		snd_pcm_ioplug_delete(&card->io);
		return err;
	}
	card->control->opens++;
	*pcm = card->io.pcm;
	return 0;
}

/* ---- The configuration ---- */

static int number_of(snd_config_t *node, unsigned *value)
{
	long number;

	if (snd_config_get_integer(node, &number) < 0 || number < 1 || number > INT_MAX)
		return -EINVAL;
	*value = (unsigned)number;
	return 0;
}

static int format_of(snd_config_t *node, unsigned *value)
{
	const char *name;
	snd_pcm_format_t format;

	if (snd_config_get_string(node, &name) < 0)
		return -EINVAL;
	format = snd_pcm_format_value(name);
	*value = (unsigned)format;
	return format == SND_PCM_FORMAT_UNKNOWN ? -EINVAL : 0;
}

static int read_list(snd_config_t *list, unsigned *values, unsigned *len, int (*read_one)(snd_config_t *, unsigned *))
{
	snd_config_iterator_t i, next;

	if (snd_config_get_type(list) != SND_CONFIG_TYPE_COMPOUND)
		return -EINVAL;
	snd_config_for_each(i, next, list) {
		if (*len == LIST_MAX || read_one(snd_config_iterator_entry(i), values + *len) < 0)
			return -EINVAL;
		++*len;
	}
	return 0;
}

static int read_entry(struct ability *has, const char *id, snd_config_t *node)
{
	if (!strcmp(id, "comment") || !strcmp(id, "type") || !strcmp(id, "hint"))
		return 0;
	if (!strcmp(id, "control"))
		return snd_config_get_string(node, &has->control);
	if (!strcmp(id, "formats"))
		return read_list(node, has->formats, &has->formats_len, format_of);
	if (!strcmp(id, "rates"))
		return read_list(node, has->rates, &has->rates_len, number_of);
	if (!strcmp(id, "channels"))
		return read_list(node, has->channels, &has->channels_len, number_of);
	if (!strcmp(id, "buffer_bytes_max"))
		return number_of(node, &has->buffer_bytes_max);
	return -EINVAL;
}

static int check(const struct ability *has)
{
	for (unsigned i = 0; i < has->channels_len; i++)
		if (has->channels[i] > CHANNELS_MAX)
			return -EINVAL;
	return has->control && has->formats_len && has->rates_len && has->channels_len ? 0 : -EINVAL;
}

SND_PCM_PLUGIN_DEFINE_FUNC(retrocard)
{
	struct ability has = { .buffer_bytes_max = 1 << 20 };
	snd_config_iterator_t i, next;

	(void)root;
	snd_config_for_each(i, next, conf) {
		snd_config_t *node = snd_config_iterator_entry(i);
		const char *id = "a nameless entry";
		if (snd_config_get_id(node, &id) < 0 || read_entry(&has, id, node) < 0) {
			SNDERR("retrocard: cannot use %s", id);
			return -EINVAL;
		}
	}
	if (check(&has) < 0) {
		SNDERR("retrocard: control, formats, rates and channels (at most %d) are needed", CHANNELS_MAX);
		return -EINVAL;
	}
	return stream == SND_PCM_STREAM_CAPTURE ? open_card(pcmp, name, stream, mode, &has) : -EINVAL;
}

SND_PCM_PLUGIN_SYMBOL(retrocard);
