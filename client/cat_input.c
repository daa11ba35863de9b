/* keelcat's input: a stream of bytes cut into messages. */
#include "client/cat.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

bool input_open(struct cat_input *input, const char *path, enum cat_format format, char *problem)
{
    memset(input, 0, offsetof(struct cat_input, payload));
    input->format = format;
    input->fd = strcmp(path, "-") == 0 ? dup(STDIN_FILENO) : open(path, O_RDONLY | O_CLOEXEC);
    if (input->fd >= 0)
        return true;
    snprintf(problem, CAT_PROBLEM_SIZE,
             "input '%.200s': %s: name a file that can be read, or - for standard input", path,
             strerror(errno));
    return false;
}

void input_close(struct cat_input *input)
{
    if (input->fd >= 0)
        close(input->fd);
    input->fd = -1;
}

bool input_fill(struct cat_input *input, char *problem)
{
    if (input->start > 0) {
        memmove(input->buffer, input->buffer + input->start, input->end - input->start);
        input->end -= input->start;
        input->start = 0;
    }
    ssize_t n;
    do /* until it is not interrupted */
        n = read(input->fd, input->buffer + input->end, INPUT_BUFFER - input->end);
    while (n < 0 && errno == EINTR);
    if (n < 0 && errno != EAGAIN) {
        snprintf(problem, CAT_PROBLEM_SIZE,
                 "reading the input: %s: %s; what was read before is not lost, the same command "
                 "goes on behind it",
                 strerror(errno), errno == EISDIR ? "name a file" : "check the file and its drive");
        return false;
    }
    input->eof = n == 0;
    input->end += n > 0 ? (size_t)n : 0;
    return true;
}

static enum input_outcome too_large(const struct cat_input *input, size_t size, char *problem)
{
    snprintf(problem, CAT_PROBLEM_SIZE,
             "input %s %llu: %zu bytes: a message has at most %d: shorten it; neither it nor what "
             "follows was sent",
             input->format == CAT_LENGTH_PREFIXED ? "record" : "line",
             (unsigned long long)input->place, size, KEEL_PAYLOAD_MAX);
    return INPUT_ERROR;
}

static int digit(uint8_t c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static enum input_outcome hex_line(struct cat_input *input, const uint8_t *line, size_t size,
                                   const uint8_t **payload, size_t *payload_size, char *problem)
{
    if (size / 2 > KEEL_PAYLOAD_MAX)
        return too_large(input, size / 2, problem);
    bool good = size % 2 == 0;
    for (size_t i = 0; good && i < size / 2; i++) {
        int high = digit(line[2 * i]), low = digit(line[2 * i + 1]);
        good = high >= 0 && low >= 0;
        input->payload[i] = (uint8_t)((unsigned)high << 4 | (unsigned)low);
    }
    if (!good) {
        snprintf(problem, CAT_PROBLEM_SIZE,
                 "input line %llu: not an even number of hex digits: write two digits a byte, or "
                 "name another --format",
                 (unsigned long long)input->place);
        return INPUT_ERROR;
    }
    *payload = input->payload;
    *payload_size = size / 2;
    return INPUT_MESSAGE;
}

/* The next line or record, without its framing; INPUT_MORE if it is not there in full. */
static enum input_outcome next_piece(struct cat_input *input, const uint8_t **at, size_t *size,
                                     char *problem)
{
    const uint8_t *from = input->buffer + input->start;
    size_t have = input->end - input->start;
    if (input->format == CAT_LENGTH_PREFIXED) {
        size_t length = have >= 2 ? (size_t)from[0] << 8 | from[1] : 0;
        if (have >= 2 && have >= 2 + length) {
            *at = from + 2;
            *size = length;
            input->start += 2 + length;
            return INPUT_MESSAGE;
        }
        if (!input->eof || have == 0)
            return input->eof ? INPUT_END : INPUT_MORE;
        snprintf(problem, CAT_PROBLEM_SIZE,
                 "input record %llu: cut off at the end of the input, or its framing is not "
                 "length-prefixed: get the whole file, or name another --format",
                 (unsigned long long)input->place + 1);
        return INPUT_ERROR;
    }
    const uint8_t *newline = memchr(from, '\n', have);
    if (newline == NULL && !input->eof && have < INPUT_BUFFER)
        return INPUT_MORE;
    if (newline == NULL && have == 0)
        return INPUT_END;
    *at = from;
    *size = newline == NULL ? have : (size_t)(newline - from);
    input->start += *size + (newline != NULL);
    return INPUT_MESSAGE;
}

enum input_outcome input_next(struct cat_input *input, const uint8_t **payload, size_t *size,
                              char *problem)
{
    for (;;) { /* leaves out empty pieces; ends with the buffer */
        enum input_outcome outcome = next_piece(input, payload, size, problem);
        if (outcome != INPUT_MESSAGE)
            return outcome;
        input->place++;
        if (*size == 0) {
            input->empty++;
            continue;
        }
        if (input->format == CAT_HEX)
            outcome = hex_line(input, *payload, *size, payload, size, problem);
        else if (*size > KEEL_PAYLOAD_MAX)
            outcome = too_large(input, *size, problem);
        input->messages += outcome == INPUT_MESSAGE;
        return outcome;
    }
}
