#include <keel.h>
#include <stdio.h>
#include <string.h>

static void answered(void *context, const struct keel_result *r)
{
    printf("message %llu: %s, feed number %llu of day %s\n", (unsigned long long)r->number,
           keel_status_name((int)r->status), (unsigned long long)r->feed, r->day);
    ++*(int *)context;
}

int main(int argc, char **argv) /* 1=10.0.0.1:7400,2=10.0.0.2:7400,3=10.0.0.3:7400 KEYFILE */
{
    int results = 0;
    char problem[KEEL_PROBLEM_SIZE];
    struct keel *keel;
    struct keel_options options = {.session = "example", .result = answered, .context = &results};
    options.members = argc > 2 ? argv[1] : "";
    options.key_file = argc > 2 ? argv[2] : "";
    if (keel_open(&keel, &options, problem) != KEEL_OK)
        return fprintf(stderr, "%s\n", problem), 1;
    for (const char *text = "one\0two\0three\0"; *text != 0; text += strlen(text) + 1)
        keel_submit(keel, text, strlen(text), NULL);
    while (results < 3 && keel_poll(keel, -1) >= 0)
        continue;
    int ended = keel_end(keel, 5000000000);
    keel_close(keel);
    return results == 3 && ended == KEEL_OK ? 0 : 1;
}
