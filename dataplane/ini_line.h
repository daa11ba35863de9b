/* libinih passes over white space where a line begins, and over a byte order mark where the file
 * does. Who hands it lines and wants to know a section's head when it comes by has to see what it
 * sees: both readers of such files take the blanks away first. A line without blanks also continues
 * none before it, as libinih would have it.
 */
#ifndef KEEL_INI_LINE_H
#define KEEL_INI_LINE_H

#include <ctype.h>
#include <string.h>

/* The first byte within from..end - 1 that is no blank, or end. */
static inline const char *ini_line_begin(const char *from, const char *end)
{
    static const char mark[3] = {'\xef', '\xbb', '\xbf'};
    for (;;) { /* bound: the line */
        if (end - from >= 3 && memcmp(from, mark, sizeof(mark)) == 0)
            from += sizeof(mark);
        else if (from < end && isspace((unsigned char)*from))
            from++;
        else
            return from;
    }
}

#endif
