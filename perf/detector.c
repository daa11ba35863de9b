/* Detection time against false alarms of the failure detector, and of three others beside it.
 *
 * A replica and its peer ping each other as trips.c does: a PING each SUSPICION_PERIOD_MS from
 * either side, a PONG for each that comes. The network delays, loses and now and then holds a
 * packet back; the peer stands still for a while and goes on where it stopped. Each profile names
 * how much of that. Over many hours no peer dies: each silence that reaches a threshold is a false
 * alarm. At sampled instants a crash is imagined: how long it would take until each threshold.
 *
 *   longest  silence in times the longest usual gap (suspicion.c itself)
 *   fixed    silence in ms
 *   normal   phi of Hayashibara et al. (SRDS 2004): arrivals normally distributed, 1000 kept
 *   expo     phi of an exponential distribution of the same mean
 *
 * keel-detector HOURS SEED prints one line for each profile, detector and threshold:
 *   profile kind threshold alarms hours p50_ms p99_ms max_ms
 */
#include "control/suspicion.h"
#include "dataplane/histogram.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

enum { WINDOW = 1000, THRESHOLDS = 10, PENDING = 64, CRASH_EVERY = 100, PAUSES = 8 };

static const double MS = 1e6;
static const double HOUR_MS = 3600e3;
static const double DEVIATION_LEAST_MS = 1; /* of `normal`: nothing is quite regular */

struct profile {
    const char *name;
    double delay_ms, jitter_ms; /* each way: at least, and on average beyond */
    double loss;                /* share of packets, each way */
    double held, held_ms;       /* share of packets held back, for so long on average */
    double pause_s, pause_ms;   /* the peer stands still: how often, for how long on average */
};

static const struct profile profiles[] = {
    {"calm", 0.05, 0.05, 0, 0, 0, 0, 0},        {"jitter", 1, 10, 0, 0, 0, 0, 0},
    {"loss-5", 0.1, 1, 0.05, 0, 0, 0, 0},       {"loss-20", 0.1, 1, 0.20, 0, 0, 0, 0},
    {"spikes", 0.1, 1, 0, 0.01, 150, 0, 0},     {"pauses", 0.05, 0.05, 0, 0, 0, 10, 100},
    {"rough", 1, 5, 0.05, 0.005, 100, 10, 150},
};

enum kind { LONGEST, FIXED, NORMAL, EXPO, KINDS };
static const char *const kinds[KINDS] = {"longest", "fixed", "normal", "expo"};
static const double thresholds[KINDS][THRESHOLDS] = {
    {1.25, 1.5, 2, 2.5, 3, 4, 5, 6, 8, 10},
    {150, 200, 300, 400, 600, 800, 1000, 1500, 2000, 4000},
    {1, 2, 3, 5, 8, 12, 16, 32, 64, 128},
    {1, 1.5, 2, 3, 4, 6, 8, 12, 16, 32},
};

struct tally {
    uint64_t alarms;
    struct histogram detected;
};

struct model { /* what the other detectors keep */
    double gap[WINDOW], sum, squares;
    uint64_t count;
};

struct packet {
    double sent_ms, arrives_ms;
};

struct line {
    const struct profile *profile;
    uint64_t random;
    double pause_from[PAUSES], pause_to[PAUSES]; /* the newest, by number */
    uint64_t pauses;
    struct packet pending[PENDING]; /* by arrival */
    uint32_t pending_count;
    struct suspicion suspicion;
    struct model model;
    double heard_ms;
    uint64_t arrivals;
    struct tally (*tally)[THRESHOLDS];
};

static double deviate[THRESHOLDS]; /* of `normal`: how many deviations make that phi */

/* SplitMix64 (Steele, Lea, Flood 2014); in (0, 1]. */
static double chance(struct line *l)
{
    uint64_t z = l->random += 0x9e3779b97f4a7c15ull;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
    return (double)(((z ^ (z >> 31)) >> 11) + 1) / 9007199254740992.0;
}

static double expo(struct line *l, double mean)
{
    return mean <= 0 ? 0 : -mean * log(chance(l));
}

/* When the peer, wanting to do something at `at`, gets to it. */
static double awake(struct line *l, double at)
{
    const struct profile *p = l->profile;
    if (p->pause_s > 0)
        while (l->pauses == 0 || l->pause_to[(l->pauses - 1) % PAUSES] < at) {
            double after = l->pauses == 0 ? 0 : l->pause_to[(l->pauses - 1) % PAUSES];
            double from = after + expo(l, p->pause_s * 1e3);
            l->pause_from[l->pauses % PAUSES] = from;
            l->pause_to[l->pauses++ % PAUSES] = from + expo(l, p->pause_ms);
        }
    for (uint64_t i = l->pauses > PAUSES ? l->pauses - PAUSES : 0; i < l->pauses; i++)
        if (at >= l->pause_from[i % PAUSES] && at < l->pause_to[i % PAUSES])
            at = l->pause_to[i % PAUSES];
    return at;
}

/* Arrival of what is sent at `at`; infinite: lost. */
static double travel(struct line *l, double at)
{
    const struct profile *p = l->profile;
    if (chance(l) <= p->loss)
        return INFINITY;
    double held = chance(l) <= p->held ? expo(l, p->held_ms) : 0;
    return at + p->delay_ms + expo(l, p->jitter_ms) + held;
}

/* The peer sends at `at`, if it can. */
static void send_back(struct line *l, double at)
{
    double arrives = travel(l, at);
    if (isinf(arrives))
        return;
    if (l->pending_count == PENDING) {
        fputs("keel-detector: too many packets on their way\n", stderr);
        exit(1);
    }
    uint32_t place = l->pending_count++;
    for (; place > 0 && l->pending[place - 1].arrives_ms > arrives; place--)
        l->pending[place] = l->pending[place - 1];
    l->pending[place] = (struct packet){at, arrives};
}

/* Silence at which a threshold is reached. */
static double limit_ms(const struct line *l, enum kind kind, uint32_t at)
{
    const struct model *m = &l->model;
    double value = thresholds[kind][at];
    double count = (double)(m->count < WINDOW ? m->count : WINDOW);
    double mean = m->sum / count;
    switch (kind) {
    case LONGEST:
        return value * (double)suspicion_usual_ns(&l->suspicion) / MS;
    case FIXED:
        return value;
    case NORMAL: {
        double variance = m->squares / count - mean * mean;
        double deviation = variance > 0 ? sqrt(variance) : 0;
        return mean + deviate[at] * fmax(deviation, DEVIATION_LEAST_MS);
    }
    case EXPO:
        return value * log(10) * mean;
    case KINDS:
        break;
    }
    return 0;
}

static void learn(struct line *l, double gap_ms)
{
    struct model *m = &l->model;
    double *place = &m->gap[m->count++ % WINDOW];
    m->sum += gap_ms - *place;
    m->squares += gap_ms * gap_ms - *place * *place;
    *place = gap_ms;
}

static void arrived(struct line *l, const struct packet *packet)
{
    double silent = packet->arrives_ms - l->heard_ms;
    bool judge = l->arrivals > 2 * WINDOW;
    for (uint32_t kind = 0; kind < KINDS && judge; kind++)
        for (uint32_t at = 0; at < THRESHOLDS; at++)
            l->tally[kind][at].alarms += silent >= limit_ms(l, (enum kind)kind, at);
    suspicion_listen(&l->suspicion, (uint64_t)(silent * MS));
    suspicion_beat(&l->suspicion);
    learn(l, silent);
    l->heard_ms = packet->arrives_ms;
    /* a crash between sending this packet and the next one: nothing comes after this one */
    if (judge && l->arrivals % CRASH_EVERY == 0) {
        double crash = packet->sent_ms + chance(l) * SUSPICION_PERIOD_MS / 2;
        for (uint32_t kind = 0; kind < KINDS; kind++)
            for (uint32_t at = 0; at < THRESHOLDS; at++) {
                double after = l->heard_ms + limit_ms(l, (enum kind)kind, at) - crash;
                histogram_record(&l->tally[kind][at].detected, (uint64_t)(fmax(after, 0) * MS));
            }
    }
    l->arrivals++;
}

static void run(struct line *l, double end_ms)
{
    double ping = 37, peers = 0; /* the next of either side */
    suspicion_begin(&l->suspicion, 0);
    while (ping < end_ms) {
        if (ping < peers) {
            double there = travel(l, ping);
            if (!isinf(there))
                send_back(l, awake(l, there));
            ping += SUSPICION_PERIOD_MS;
        } else {
            peers = awake(l, peers);
            send_back(l, peers);
            peers += SUSPICION_PERIOD_MS;
        }
        /* nothing that is sent from now on arrives before this */
        double now = fmin(ping, peers);
        uint32_t taken = 0;
        while (taken < l->pending_count && l->pending[taken].arrives_ms <= now)
            arrived(l, &l->pending[taken++]);
        l->pending_count -= taken;
        memmove(l->pending, l->pending + taken, l->pending_count * sizeof(l->pending[0]));
    }
}

/* Deviations above the mean that a normal variable exceeds with probability 10^-phi. */
static double deviations(double phi)
{
    double low = 0, high = 60;
    for (int i = 0; i < 60; i++) {
        double middle = (low + high) / 2, tail = erfc(middle / sqrt(2)) / 2;
        bool above = tail > 0 && -log10(tail) < phi;
        *(above ? &low : &high) = middle;
    }
    return low;
}

static void print(const struct line *l, double hours)
{
    for (uint32_t kind = 0; kind < KINDS; kind++)
        for (uint32_t at = 0; at < THRESHOLDS; at++) {
            const struct tally *t = &l->tally[kind][at];
            printf("%s %s %g %llu %g %.1f %.1f %.1f\n", l->profile->name, kinds[kind],
                   thresholds[kind][at], (unsigned long long)t->alarms, hours,
                   (double)histogram_quantile(&t->detected, 500000) / MS,
                   (double)histogram_quantile(&t->detected, 990000) / MS,
                   (double)t->detected.max / MS);
        }
}

int main(int argc, char **argv)
{
    double hours = argc > 1 ? strtod(argv[1], NULL) : 0;
    if (argc != 3 || !(hours > 0)) {
        fputs("keel-detector: give the hours of each profile and a seed: keel-detector 100 1\n",
              stderr);
        return 2;
    }
    for (uint32_t at = 0; at < THRESHOLDS; at++)
        deviate[at] = deviations(thresholds[NORMAL][at]);
    for (size_t i = 0; i < sizeof(profiles) / sizeof(profiles[0]); i++) {
        struct line *l = calloc(1, sizeof(*l));
        struct tally(*tally)[THRESHOLDS] = calloc(KINDS, sizeof(*tally));
        if (l == NULL || tally == NULL)
            return 1;
        l->profile = &profiles[i];
        l->random = strtoull(argv[2], NULL, 10);
        l->tally = tally;
        run(l, hours * HOUR_MS);
        print(l, hours);
        free(tally);
        free(l);
    }
    return 0;
}
