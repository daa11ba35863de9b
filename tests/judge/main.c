#include "judge.h"

#include <arpa/inet.h>
#include <getopt.h>
#include <stdlib.h>
#include <string.h>

static const char usage[] =
    "usage: keel-judge --ring ID=FILE... [--stopped ID...] [--gateway FILE...]\n"
    "                  [--complete-gateways]\n"
    "                  [--capture FILE... --line ID=ADDRESS... --feed-port PORT]\n"
    "                  [--framing raw|envelope] [--starts FILE] [--json] [--quiet]\n"
    "Proves from rings, gateway logs and captures of one run that nothing acknowledged was lost,\n"
    "doubled, reordered or changed. Exit: 0 proven, 1 not proven, 2 usage or unreadable evidence.\n"
    "The formats are described at the head of tests/judge/judge.h.\n";

struct judge {
    struct report report;
    struct rings rings;
    struct gateways gateways;
    struct feed feed;
    struct model model;
    bool json, quiet;
};

enum {
    OPT_RING = 256,
    OPT_STOPPED,
    OPT_GATEWAY,
    OPT_CAPTURE,
    OPT_LINE,
    OPT_PORT,
    OPT_FRAMING,
    OPT_STARTS,
    OPT_COMPLETE,
    OPT_JSON,
    OPT_QUIET,
    OPT_HELP
};

static const struct option options[] = {
    {"ring", required_argument, NULL, OPT_RING},
    {"stopped", required_argument, NULL, OPT_STOPPED},
    {"gateway", required_argument, NULL, OPT_GATEWAY},
    {"capture", required_argument, NULL, OPT_CAPTURE},
    {"line", required_argument, NULL, OPT_LINE},
    {"feed-port", required_argument, NULL, OPT_PORT},
    {"framing", required_argument, NULL, OPT_FRAMING},
    {"starts", required_argument, NULL, OPT_STARTS},
    {"complete-gateways", no_argument, NULL, OPT_COMPLETE},
    {"json", no_argument, NULL, OPT_JSON},
    {"quiet", no_argument, NULL, OPT_QUIET},
    {"help", no_argument, NULL, OPT_HELP},
    {0},
};

/* "3=rest": the id, 0 if there is none; *rest points behind the sign. */
static int id_take(const char *text, const char **rest)
{
    if (text[0] < '1' || text[0] > '0' + REPLICAS || text[1] != '=' || text[2] == '\0')
        return 0;
    *rest = text + 2;
    return text[0] - '0';
}

static const char *take_ring(struct judge *judge, const char *text)
{
    const char *path;
    int id = id_take(text, &path);
    if (id == 0)
        return "--ring wants ID=FILE, ID from 1 to 7";
    if (judge->rings.ring[id].id != 0)
        return "--ring names one replica twice";
    judge->rings.ring[id].id = id;
    judge->rings.given++;
    file_map(&judge->rings.ring[id].file, path, &judge->report);
    return NULL;
}

static const char *take_stopped(struct judge *judge, const char *text)
{
    if (text[0] < '1' || text[0] > '0' + REPLICAS || text[1] != '\0')
        return "--stopped wants an ID from 1 to 7";
    judge->rings.ring[text[0] - '0'].stopped = true;
    return NULL;
}

static const char *take_line_address(struct judge *judge, const char *text)
{
    const char *rest;
    int id = id_take(text, &rest);
    struct in_addr address;
    if (id == 0 || inet_pton(AF_INET, rest, &address) != 1)
        return "--line wants ID=IPV4-ADDRESS, ID from 1 to 7";
    if (judge->feed.address[id] != 0)
        return "--line names one replica twice";
    judge->feed.address[id] = ntohl(address.s_addr);
    return NULL;
}

static const char *take_option(struct judge *judge, int option, const char *text)
{
    struct gateways *gateways = &judge->gateways;
    struct feed *feed = &judge->feed;
    if (option == OPT_RING)
        return take_ring(judge, text);
    if (option == OPT_STOPPED)
        return take_stopped(judge, text);
    if (option == OPT_LINE)
        return take_line_address(judge, text);
    if (option == OPT_GATEWAY) {
        if (gateways->count == FILES_MAX)
            return "too many gateway logs";
        file_map(&gateways->file[gateways->count++], text, &judge->report);
    } else if (option == OPT_CAPTURE) {
        if (feed->capture_count == FILES_MAX)
            return "too many captures";
        file_map(&feed->capture[feed->capture_count++], text, &judge->report);
    } else if (option == OPT_STARTS) {
        file_map(&feed->starts_file, text, &judge->report);
    } else if (option == OPT_PORT) {
        char *end;
        unsigned long port = strtoul(text, &end, 10);
        if (*text == '\0' || *end != '\0' || port == 0 || port > UINT16_MAX)
            return "--feed-port wants a UDP port";
        feed->port = (uint16_t)port;
    } else if (option == OPT_FRAMING) {
        feed->envelope = strcmp(text, "envelope") == 0;
        if (!feed->envelope && strcmp(text, "raw") != 0)
            return "--framing is raw or envelope";
    } else if (option == OPT_COMPLETE) {
        gateways->complete = true;
    } else if (option == OPT_JSON) {
        judge->json = true;
    } else {
        judge->quiet = true;
    }
    return NULL;
}

static const char *take_arguments(struct judge *judge, int count, char **arguments)
{
    int option;
    const char *problem = NULL;
    while (problem == NULL && (option = getopt_long(count, arguments, "", options, NULL)) != -1) {
        if (option == OPT_HELP) {
            fputs(usage, stdout);
            exit(0);
        }
        problem = option == '?' ? "unknown option" : take_option(judge, option, optarg);
    }
    if (problem != NULL)
        return problem;
    if (optind != count)
        return "unexpected argument";
    if (judge->rings.given == 0)
        return "no --ring given";
    bool lines = false;
    for (int id = 1; id <= REPLICAS; id++)
        lines = lines || judge->feed.address[id] != 0;
    if (judge->feed.capture_count > 0 && (!lines || judge->feed.port == 0))
        return "--capture needs --line and --feed-port";
    return NULL;
}

static void judge_run(struct judge *judge)
{
    struct report *report = &judge->report;
    for (int id = 1; id <= REPLICAS; id++)
        if (judge->rings.ring[id].id != 0)
            ring_read(&judge->rings.ring[id], report);
    rings_compare(&judge->rings, report);
    feed_starts(&judge->feed, report);
    if (judge->rings.reference == NULL) {
        if (report->failure_count == 0 && judge->gateways.count + judge->feed.capture_count > 0)
            fail(report, "rings: empty, so nothing of the evidence is covered");
        return;
    }
    model_run(&judge->model, &judge->rings, report);
    if (judge->gateways.count > 0)
        gateways_check(&judge->gateways, &judge->model, &judge->rings, report);
    else
        note(report, "no gateway log: acknowledgements are not judged");
    feed_check(&judge->feed, &judge->model, &judge->gateways, report);
}

int main(int count, char **arguments)
{
    struct judge *judge = zalloc(1, sizeof(*judge));
    const char *problem = take_arguments(judge, count, arguments);
    if (problem != NULL) {
        fprintf(stderr, "keel-judge: %s\n%s", problem, usage);
        return 2;
    }
    if (!judge->report.unreadable)
        judge_run(judge);
    return report_print(&judge->report, judge->json, judge->quiet);
}
