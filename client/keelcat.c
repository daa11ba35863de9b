/* keelcat: publish to a Keel cluster, follow and replay its feed, from a terminal. */
#include "client/cat.h"

#include <signal.h>
#include <stdarg.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

int cat_error(int code, const char *format, ...)
{
    char text[2 * CAT_PROBLEM_SIZE];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    fprintf(stderr, "keelcat: %s\n", text);
    return code;
}

int cat_exit_of(int keel_error)
{
    switch (keel_error) {
    case KEEL_OK:
        return CAT_DONE;
    case KEEL_ARGUMENT:
        return CAT_USAGE;
    case KEEL_UNREACHABLE:
        return CAT_UNREACHABLE;
    case KEEL_TIMEOUT:
        return CAT_TIMEOUT;
    case KEEL_NO_LEADER:
        return CAT_NO_LEADER;
    case KEEL_KEY:
    case KEEL_BUSY:
    case KEEL_REFUSED:
    case KEEL_SHUT_OUT:
    case KEEL_ENDED:
        return CAT_REFUSED;
    case KEEL_CONFLICT:
    case KEEL_FRAMING:
        return CAT_DAMAGED;
    default:
        return CAT_FAILED;
    }
}

int cat_signals(void)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGTERM);
    if (sigprocmask(SIG_BLOCK, &set, NULL) != 0)
        return -1;
    return signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
}

bool cat_signalled(int fd)
{
    struct signalfd_siginfo signal;
    return read(fd, &signal, sizeof(signal)) == (ssize_t)sizeof(signal);
}

/* --- help ------------------------------------------------------------------------------------- */

static const char help_all[] =
    "keelcat: publish to a Keel cluster, follow and replay its feed\n"
    "\n"
    "  keelcat publish [FILE|-]   sends messages, one session number each, and waits for results\n"
    "  keelcat follow             prints the sequenced feed as it comes, without gap\n"
    "  keelcat replay             prints the day from its first message to the present\n"
    "\n"
    "`keelcat COMMAND --help` lists options and examples; `keelcat --version`.\n"
    "\n"
    "Exit codes: 0 done, 1 failed or refused messages, 2 usage, 3 nothing reached, 4 timed out,\n"
    "5 no leader, 6 session or key refused or no key file, 7 feed lines differ or messages lost.\n";

static const char help_publish[] =
    "keelcat publish [FILE|-] [OPTIONS]: message k of the input becomes number k of the session\n"
    "\n"
    "  --config FILE       settings: [cluster] members, id; [client] key, principal, session,\n"
    "                      window, ttl_ms, bind; [feed] listen, request, framing, request_ms\n"
    "  --members LIST      1=IP:PORT,2=IP:PORT,...\n"
    "  --cluster HEX       cluster id to insist on (default: whichever the key proves)\n"
    "  --key FILE          this client's key, readable by its owner only\n"
    "  --principal N       client number, if the key file holds several\n"
    "  --session NAME      an open session of that name is resumed: what it answered is skipped\n"
    "  --window W          messages in flight, 1 to 64 (default 64)\n"
    "  --ttl-ms N          the session ends when silent for so long (default 10000); the\n"
    "                      cluster has limits, and a note says what it granted instead\n"
    "  --bind IP:PORT      local address\n"
    "  --format F          lines (default), length-prefixed (u16 big-endian), hex (one a line)\n"
    "  --rate N            messages a second; latency counts from when each was due\n"
    "  --count N           stop after N messages; the session stays open\n"
    "  --keep              leave the session open at the end of the input\n"
    "  --new               send the whole input even if the log knows an older session of this "
    "name\n"
    "  --resend-lost       send again what the log has results for and the cluster does not: it\n"
    "                      was recovered or restored without them\n"
    "  --log FILE          append what is submitted and acknowledged, each before it is sent\n"
    "  --sequencer FILE    act only while FILE holds a lock's sequencer, and show it with every "
    "message\n"
    "  --stats FILE        figures as JSON, replaced twice a second and at the end\n"
    "  --gaps MS           print each pause in acknowledgements of MS or more as it ends\n"
    "  --open-wait S       wait so long for the session (default 10)\n"
    "  --timeout S         give up after so long without an acknowledgement (default 60)\n"
    "  --progress          a line of figures twice a second\n"
    "  --json              closing figures as JSON\n"
    "\n"
    "Examples:\n"
    "  keelcat publish orders.bin --format length-prefixed --config gateway.conf --progress\n"
    "  printf 'one\\ntwo\\n' | keelcat publish --members 1=10.0.0.1:7400,2=10.0.0.2:7400 \\\n"
    "      --key gateway.key --session desk-7 --log desk-7.log\n"
    "  keelcat publish day.bin --format length-prefixed --config gateway.conf --rate 50000 \\\n"
    "      --gaps 5 --stats figures.json\n";

static const char help_readers[] =
    "keelcat follow [OPTIONS]: the sequenced feed, in order and without gap, as it comes\n"
    "keelcat replay [OPTIONS]: the same from the day's first message to the present, then exit\n"
    "\n"
    "  --config FILE       settings: [feed] listen, request, framing, request_ms\n"
    "  --listen ADDR       a line: IP:PORT, or GROUP:PORT@INTERFACE-IP; repeat for more lines\n"
    "  --request ADDR      a request server IP:PORT; repeat for more\n"
    "  --framing F         raw (default) or envelope, as the line is configured\n"
    "  --from N            follow: first number; also 'start', 'next' (default)\n"
    "  --day NAME          trading day to begin with (needed without --listen)\n"
    "                      (replay without --listen needs --count too: only a line says where\n"
    "                      the present is)\n"
    "  --count N           exit after N messages\n"
    "  --until-end         follow: exit at the day's end\n"
    "  --idle-exit S       exit when no message came for S seconds (replay: 10)\n"
    "  --request-ms N      repeat an unanswered request after N ms (default 1000)\n"
    "  --bind IP:PORT      local address of requests\n"
    "  --format F          lines (default), length-prefixed, hex, decode (for people)\n"
    "  --stats FILE        closing figures as JSON\n"
    "  --progress          a line of figures twice a second, and lines that fall silent\n"
    "\n"
    "Examples:\n"
    "  keelcat follow --listen 10.0.0.9:7410 --request 10.0.0.1:7411 --request 10.0.0.2:7411 \\\n"
    "      --from start --format decode --framing envelope\n"
    "  keelcat follow --listen 239.1.1.1:7410@10.0.0.9 --request 10.0.0.1:7411 --until-end\n"
    "  keelcat replay --listen 10.0.0.9:7410 --request 10.0.0.1:7411 --format length-prefixed \\\n"
    "      > day.bin\n"
    "  keelcat replay --day 20250106 --count 5000 --request 10.0.0.1:7411\n";

void cat_help(FILE *out, const char *command)
{
    fputs(strcmp(command, "publish") == 0 ? help_publish : help_readers, out);
}

int main(int argc, char **argv)
{
    static const char *const names[] = {"publish", "follow", "replay"};
    struct cat_options options;
    bool help;
    if (argc < 2) {
        fputs(help_all, stderr);
        return CAT_USAGE;
    }
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0) {
        fputs(help_all, stdout);
        return CAT_DONE;
    }
    if (strcmp(argv[1], "--version") == 0) {
        puts("keelcat " KEEL_VERSION);
        return CAT_DONE;
    }
    for (int i = 0; i < 3; i++) {
        if (strcmp(argv[1], names[i]) != 0)
            continue;
        int result = cat_options_read(&options, (enum cat_command)i, argc - 1, argv + 1, &help);
        if (result != CAT_DONE || help)
            return result;
        return i == CAT_PUBLISH ? cat_publish(&options) : cat_follow(&options);
    }
    return cat_error(CAT_USAGE, "'%s': no such command: see `keelcat --help`", argv[1]);
}
