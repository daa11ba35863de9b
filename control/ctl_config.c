/* `keelctl config show|check|reload`. */
#include "control/config_check.h"
#include "control/ctl.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int ctl_config_show(struct ctl *ctl)
{
    json_t *result = NULL;
    const char *section = "";
    int code = ctl_ask(ctl, "config show", NULL, &result);
    if (code != CTL_DONE)
        return code;
    if (ctl->json)
        code = ctl_print_json(result);
    const json_t *keys = json_object_get(result, "keys");
    for (size_t i = 0; !ctl->json && i < json_array_size(keys); i++) {
        const json_t *key = json_array_get(keys, i);
        const char *of = json_string_value(json_object_get(key, "section"));
        if (of != NULL && strcmp(of, section) != 0)
            printf("%s[%s]\n", i > 0 ? "\n" : "", section = of);
        printf("%s = %s%s\n", json_string_value(json_object_get(key, "key")),
               json_string_value(json_object_get(key, "value")),
               json_is_true(json_object_get(key, "default")) ? "    ; default" : "");
    }
    json_decref(result);
    return code;
}

int ctl_config_check(struct ctl *ctl)
{
    int code = CTL_DONE;
    struct config_checked *checked = malloc(sizeof(*checked));
    if (checked == NULL)
        return ctl_fail(CTL_FAILED, "out of memory");
    const struct config *c = &checked->config;
    bool good = config_check(ctl->word[0], checked);
    if (ctl->json) {
        json_t *shown = json_pack("{s:b,s:s,s:i,s:i}", "good", good, "problem", checked->problem,
                                  "replica", (int)c->id, "keys", (int)checked->keys);
        code = ctl_print_json(shown);
        json_decref(shown);
    } else if (good) {
        printf("%s: replica %u, data %s, port %s, %u keys\n", ctl->word[0], c->id, c->data,
               c->device, checked->keys);
    }
    if (!good)
        code = ctl_fail(CTL_FAILED, "config check: %s", checked->problem);
    free(checked);
    return code;
}

int ctl_config_reload(struct ctl *ctl)
{
    static const char *const columns[] = {"what=WHAT", "change=CHANGE", "name=NAME", NULL};
    json_t *result = NULL;
    int code = ctl_ask(ctl, "config reload", NULL, &result);
    if (code != CTL_DONE)
        return code;
    if (ctl->json)
        code = ctl_print_json(result);
    else if (json_is_true(json_object_get(result, "changed")))
        ctl_print_table(json_object_get(result, "changes"), columns);
    else
        puts("nothing has changed");
    json_decref(result);
    return code;
}
