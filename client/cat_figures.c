/* keelcat's figures: latency, rates, pauses; as text, JSON and a progress line. */
#include "client/cat.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define NS_PER_S UINT64_C(1000000000)
#define NS_PER_MS UINT64_C(1000000)

static uint64_t clock_ns(clockid_t id)
{
    struct timespec now;
    clock_gettime(id, &now);
    return (uint64_t)now.tv_sec * NS_PER_S + (uint64_t)now.tv_nsec;
}

uint64_t figures_now_ns(void)
{
    return clock_ns(CLOCK_BOOTTIME);
}

uint64_t figures_utc_ns(void)
{
    return clock_ns(CLOCK_REALTIME);
}

void figures_time(uint64_t utc_ns, int digits, char text[32])
{
    time_t seconds = (time_t)(utc_ns / NS_PER_S);
    struct tm parts;
    gmtime_r(&seconds, &parts);
    size_t used = strftime(text, 32, "%Y-%m-%dT%H:%M:%S", &parts);
    uint64_t rest = utc_ns % NS_PER_S;
    snprintf(text + used, 32 - used, digits == 6 ? ".%06" PRIu64 "Z" : ".%09" PRIu64 "Z",
             digits == 6 ? rest / 1000 : rest);
}

void figures_submit(struct figures *f, uint64_t number, size_t size, uint64_t due_ns)
{
    f->due_ns[number % FIGURES_REFS] = due_ns;
    f->size[number % FIGURES_REFS] = size;
    f->submitted++;
    if (f->waiting_since_ns == 0)
        f->waiting_since_ns = figures_now_ns();
}

static void note_pause(struct figures *f, uint64_t now_ns, uint32_t leader, uint64_t gaps_ms)
{
    if (f->waiting_since_ns == 0)
        return;
    struct pause pause = {
        .ns = now_ns - f->waiting_since_ns, .after = f->last_number, .leader = leader};
    if (pause.ns <= f->longest.ns && pause.ns / NS_PER_MS < gaps_ms)
        return;
    pause.began_utc_ns = figures_utc_ns() - pause.ns;
    if (pause.ns > f->longest.ns)
        f->longest = pause;
    if (gaps_ms == UINT64_MAX || pause.ns < gaps_ms * NS_PER_MS)
        return;
    char began[32];
    figures_time(pause.began_utc_ns, 6, began);
    fprintf(stderr,
            "keelcat: pause of %.3f ms in acknowledgements from %s, after number %" PRIu64
            "; leader now %" PRIu32 "\n",
            (double)pause.ns / (double)NS_PER_MS, began, pause.after, leader);
    if (f->pause_count < FIGURES_PAUSES_MAX)
        f->pause[f->pause_count] = pause;
    f->pause_count++;
}

static void note_leader(struct figures *f, uint64_t number, uint32_t leader)
{
    if (leader == f->leader || leader == 0)
        return;
    f->leader = leader;
    if (f->reign_count < FIGURES_LEADERS_MAX)
        f->reign[f->reign_count] =
            (struct reign){.leader = leader, .began_utc_ns = figures_utc_ns(), .number = number};
    f->reign_count++;
}

void figures_ack(struct figures *f, const struct keel_result *result, uint32_t leader,
                 uint64_t gaps_ms)
{
    uint64_t now_ns = figures_now_ns();
    uint64_t due_ns = f->due_ns[result->number % FIGURES_REFS];
    note_pause(f, now_ns, leader, gaps_ms);
    note_leader(f, result->number, leader);
    histogram_record(&f->latency, now_ns > due_ns ? now_ns - due_ns : 0);
    f->acknowledged++;
    f->refused += result->status != KEEL_SEQUENCED;
    f->bytes += f->size[result->number % FIGURES_REFS];
    f->last_number = result->number;
    f->ended_ns = now_ns;
    f->waiting_since_ns = f->acknowledged == f->submitted ? 0 : now_ns;
}

/* --- text ------------------------------------------------------------------------------------- */

static double seconds(const struct figures *f)
{
    uint64_t end_ns = f->ended_ns > f->began_ns ? f->ended_ns : f->began_ns;
    double s = (double)(end_ns - f->began_ns) / (double)NS_PER_S;
    return s > 0 ? s : 1e-9;
}

static double ms_at(const struct figures *f, uint32_t per_million)
{
    return (double)histogram_quantile(&f->latency, per_million) / (double)NS_PER_MS;
}

void figures_progress(struct figures *f, const struct keel *keel)
{
    uint64_t now_ns = figures_now_ns();
    uint64_t since_ns = f->shown_ns != 0 ? f->shown_ns : f->began_ns;
    double span = (double)(now_ns - since_ns) / (double)NS_PER_S;
    struct keel_info info;
    keel_info(keel, &info);
    span = span > 0 ? span : 1e-9;
    fprintf(stderr,
            "%s%10" PRIu64 " acknowledged  %9.0f msg/s  %7.2f MB/s  p50 %.3f ms  p99 %.3f ms  "
            "leader %" PRIu32 "  %s%s",
            isatty(STDERR_FILENO) ? "\r" : "keelcat: ", f->acknowledged,
            (double)(f->acknowledged - f->shown_count) / span,
            (double)(f->bytes - f->shown_bytes) / span / 1e6, ms_at(f, 500000), ms_at(f, 990000),
            info.leader, keel_state_name((int)info.state), isatty(STDERR_FILENO) ? "\033[K" : "\n");
    f->shown_ns = now_ns;
    f->shown_count = f->acknowledged;
    f->shown_bytes = f->bytes;
}

void figures_text(FILE *out, const struct figures *f, const struct keel *keel, const char *name)
{
    struct keel_info info;
    struct keel_stats stats;
    char began[32] = "-";
    keel_info(keel, &info);
    keel_stats(keel, &stats);
    if (f->longest.began_utc_ns != 0)
        figures_time(f->longest.began_utc_ns, 6, began);
    fprintf(out, "session   %s  id %" PRIu64 "  epoch %" PRIu64 "%s\n", name, info.session,
            info.epoch, info.resumed ? "  resumed" : "");
    fprintf(out,
            "messages  %" PRIu64 " submitted  %" PRIu64 " acknowledged  %" PRIu64
            " refused  last number %" PRIu64 "\n",
            f->submitted, f->acknowledged, f->refused, info.answered);
    fprintf(out, "rate      %.0f msg/s  %.2f MB/s  in %.3f s\n",
            (double)f->acknowledged / seconds(f), (double)f->bytes / seconds(f) / 1e6, seconds(f));
    fprintf(out, "latency   p50 %.3f ms  p99 %.3f ms  p99.9 %.3f ms  max %.3f ms\n",
            ms_at(f, 500000), ms_at(f, 990000), ms_at(f, 999000),
            (double)f->latency.max / (double)NS_PER_MS);
    fprintf(out, "pause     longest %.3f ms  from %s  after number %" PRIu64 "\n",
            (double)f->longest.ns / (double)NS_PER_MS, began, f->longest.after);
    fprintf(out,
            "network   %" PRIu64 " packets out  %" PRIu64 " in  %" PRIu64
            " messages resent  %" PRIu64 " timeouts  %" PRIu64 " busy  %" PRIu64
            " redirected  %" PRIu64 " leader changes\n",
            stats.packets_sent, stats.packets_received, stats.messages_resent, stats.timeouts,
            stats.busy, stats.redirects, stats.leader_changes);
}

/* --- JSON ------------------------------------------------------------------------------------- */

static void json_string(FILE *out, const char *text)
{
    fputc('"', out);
    for (; *text != 0; text++) {
        if (*text == '"' || *text == '\\')
            fputc('\\', out);
        fputc((unsigned char)*text < 0x20 ? '?' : *text, out);
    }
    fputc('"', out);
}

static void json_pause(FILE *out, const struct pause *pause)
{
    fprintf(out,
            "{\"ns\":%" PRIu64 ",\"began_utc_ns\":%" PRIu64 ",\"after_number\":%" PRIu64
            ",\"leader\":%" PRIu32 "}",
            pause->ns, pause->began_utc_ns, pause->after, pause->leader);
}

static void json_session(FILE *out, const struct keel *keel, const char *name)
{
    struct keel_info info;
    struct keel_stats s;
    keel_info(keel, &info);
    keel_stats(keel, &s);
    fprintf(out, "\"session\":{\"name\":");
    json_string(out, name);
    fprintf(out,
            ",\"id\":%" PRIu64 ",\"epoch\":%" PRIu64 ",\"principal\":%" PRIu32
            ",\"window\":%" PRIu32 ",\"ttl_ms\":%" PRIu32
            ",\"resumed\":%s,\"state\":\"%s\",\"leader\":%" PRIu32 ",\"submitted\":%" PRIu64
            ",\"answered\":%" PRIu64 "},",
            info.session, info.epoch, info.principal, info.window, info.ttl_ms,
            info.resumed ? "true" : "false", keel_state_name((int)info.state), info.leader,
            info.submitted, info.answered);
    fprintf(out,
            "\"network\":{\"packets_sent\":%" PRIu64 ",\"packets_received\":%" PRIu64
            ",\"messages_resent\":%" PRIu64 ",\"timeouts\":%" PRIu64 ",\"busy\":%" PRIu64
            ",\"redirects\":%" PRIu64 ",\"leader_changes\":%" PRIu64 ",\"handshakes\":%" PRIu64
            ",\"rejected\":%" PRIu64 ",\"send_errors\":%" PRIu64 ",\"round_trip_ns\":%" PRIu64 "},",
            s.packets_sent, s.packets_received, s.messages_resent, s.timeouts, s.busy, s.redirects,
            s.leader_changes, s.handshakes_done, s.rejected, s.send_errors, s.round_trip_ns);
}

void figures_json(FILE *out, const struct figures *f, const struct keel *keel, const char *name,
                  int exit_code)
{
    fprintf(out, "{\"v\":1,");
    json_session(out, keel, name);
    fprintf(out,
            "\"submitted\":%" PRIu64 ",\"acknowledged\":%" PRIu64 ",\"refused\":%" PRIu64
            ",\"bytes\":%" PRIu64 ",\"seconds\":%.6f,\"messages_per_second\":%.1f,"
            "\"bytes_per_second\":%.1f,",
            f->submitted, f->acknowledged, f->refused, f->bytes, seconds(f),
            (double)f->acknowledged / seconds(f), (double)f->bytes / seconds(f));
    fprintf(out,
            "\"latency_ns\":{\"min\":%" PRIu64 ",\"p50\":%" PRIu64 ",\"p90\":%" PRIu64
            ",\"p99\":%" PRIu64 ",\"p999\":%" PRIu64 ",\"max\":%" PRIu64 "},\"longest_pause\":",
            f->latency.min, histogram_quantile(&f->latency, 500000),
            histogram_quantile(&f->latency, 900000), histogram_quantile(&f->latency, 990000),
            histogram_quantile(&f->latency, 999000), f->latency.max);
    json_pause(out, &f->longest);
    fprintf(out, ",\"pause_count\":%" PRIu32 ",\"pauses\":[", f->pause_count);
    for (uint32_t i = 0; i < f->pause_count && i < FIGURES_PAUSES_MAX; i++) {
        if (i > 0)
            fputc(',', out);
        json_pause(out, &f->pause[i]);
    }
    fprintf(out, "],\"leader_count\":%" PRIu32 ",\"leaders\":[", f->reign_count);
    for (uint32_t i = 0; i < f->reign_count && i < FIGURES_LEADERS_MAX; i++)
        fprintf(out,
                "%s{\"leader\":%" PRIu32 ",\"began_utc_ns\":%" PRIu64 ",\"number\":%" PRIu64 "}",
                i > 0 ? "," : "", f->reign[i].leader, f->reign[i].began_utc_ns, f->reign[i].number);
    if (exit_code < 0)
        fprintf(out, "],\"exit\":null}\n");
    else
        fprintf(out, "],\"exit\":%d}\n", exit_code);
}

bool figures_save(const char *path, const struct figures *f, const struct keel *keel,
                  const char *name, int exit_code)
{
    char beside[CAT_TEXT_MAX + 8];
    snprintf(beside, sizeof(beside), "%s.new", path);
    FILE *out = fopen(beside, "w");
    if (out == NULL)
        return false;
    figures_json(out, f, keel, name, exit_code);
    bool good = fflush(out) == 0 && !ferror(out);
    good = fclose(out) == 0 && good;
    return good && rename(beside, path) == 0;
}
