/* `keelctl node ...`: the tree of names. */
#include "control/ctl_node.h"

#include "control/address.h"
#include "control/ctl_change.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum { CHILDREN_MAX = 64 };

static int64_t timeout_ns(const struct ctl *ctl)
{
    return (int64_t)ctl->timeout_ms * 1000000;
}

/* Content is bytes; people see what is printable of it. */
static void text_of(const struct keel_node *node, char *text, size_t room)
{
    size_t at = 0;
    for (size_t i = 0; i < node->size && at + 5 < room; i++) {
        uint8_t c = node->content[i];
        if (c >= ' ' && c < 0x7f && c != '\\')
            text[at++] = (char)c;
        else
            at += (size_t)snprintf(text + at, room - at, "\\x%02x", c);
    }
    text[at] = 0;
}

void ctl_node_rights_text(uint32_t rights, char text[4])
{
    size_t at = 0;
    if ((rights & KEEL_READ) != 0)
        text[at++] = 'r';
    if ((rights & KEEL_WRITE) != 0)
        text[at++] = 'w';
    if ((rights & KEEL_CHANGE_ACL) != 0)
        text[at++] = 'c';
    text[at] = 0;
}

static const char *mode_name(uint32_t mode)
{
    return mode == KEEL_EXCLUSIVE ? "exclusive" : mode == KEEL_SHARED ? "shared" : "free";
}

static json_t *described(const struct keel_node *node)
{
    char text[4 * KEEL_NODE_CONTENT_MAX + 8];
    text_of(node, text, sizeof(text));
    json_t *rights = json_array();
    for (size_t i = 0; i < node->rights_count; i++) {
        char letters[4], who[16];
        ctl_node_rights_text(node->rights[i].rights, letters);
        snprintf(who, sizeof(who), "%u", node->rights[i].principal);
        json_array_append_new(rights, json_pack("{s:s,s:s}", "principal",
                                                node->rights[i].principal == 0 ? "everybody" : who,
                                                "rights", letters));
    }
    return json_pack("{s:s,s:I,s:s,s:I,s:I,s:o,s:i,s:i,s:b,s:s,s:i,s:i,s:I,s:I,s:I}", "path",
                     node->path, "instance", (json_int_t)node->node, "content", text,
                     "content_generation", (json_int_t)node->content_generation, "acl_generation",
                     (json_int_t)node->acl_generation, "acl", rights, "children",
                     (int)node->children, "handles", (int)node->handles, "ephemeral",
                     node->ephemeral, "lock", mode_name(node->lock_mode), "holders",
                     (int)node->holders, "waiters", (int)node->waiters, "lock_generation",
                     (json_int_t)node->lock_generation, "holder_session", (json_int_t)node->holder,
                     "lock_delay_ms", (json_int_t)node->lock_delay_ms);
}

static int get(const struct ctl *ctl, struct keel *keel, struct keel_node *node)
{
    struct keel_result result = {0};
    int status = 0;
    int error = keel_node_get(keel, ctl->word[0], timeout_ns(ctl), node, &status);
    result.status = (uint32_t)status;
    return error == KEEL_OK ? CTL_DONE : ctl_session_fail(ctl, keel, error, &result);
}

int ctl_node_get(struct ctl *ctl)
{
    struct keel *keel = NULL;
    struct keel_node node;
    bool by_socket = ctl_node_by_socket(ctl);
    int code = by_socket ? ctl_node_look(ctl, &node) : ctl_session_open(ctl, false, 0, &keel);
    if (code == CTL_DONE && !by_socket)
        code = get(ctl, keel, &node);
    if (code == CTL_DONE) {
        json_t *object = described(&node);
        if (ctl->json) {
            code = ctl_print_json(object);
        } else {
            json_t *acl = json_incref(json_object_get(object, "acl"));
            static const char *const columns[] = {"principal=PRINCIPAL", "rights=RIGHTS", NULL};
            json_object_del(object, "acl");
            ctl_print_pairs(object, 0);
            ctl_print_table(acl, columns);
            json_decref(acl);
        }
        json_decref(object);
    }
    ctl_session_close(keel);
    return code;
}

int ctl_node_list(struct ctl *ctl)
{
    static const char *const columns[] = {"path=PATH", "instance=INSTANCE", "lock=LOCK",
                                          "ephemeral=EPHEMERAL", NULL};
    const char *path = ctl->word_count > 0 ? ctl->word[0] : "/";
    struct keel *keel = NULL;
    struct keel_child children[CHILDREN_MAX];
    struct keel_result result = {0};
    uint64_t after = 0;
    json_t *rows = json_array();
    bool by_socket = ctl_node_by_socket(ctl);
    int code = by_socket ? CTL_DONE : ctl_session_open(ctl, false, 0, &keel);
    while (code == CTL_DONE) { /* at most as many packets as hold all nodes */
        int status = 0;
        if (by_socket) {
            code = ctl_node_children(ctl, path, &after, rows);
            if (after == 0)
                break;
            continue;
        }
        int count = keel_node_children(keel, path, &after, timeout_ns(ctl), children, CHILDREN_MAX,
                                       &status);
        result.status = (uint32_t)status;
        if (count < 0) {
            code = ctl_session_fail(ctl, keel, count, &result);
            break;
        }
        for (int i = 0; i < count; i++)
            json_array_append_new(rows, json_pack("{s:s,s:I,s:s,s:b}", "path", children[i].path,
                                                  "instance", (json_int_t)children[i].node, "lock",
                                                  mode_name(children[i].lock_mode), "ephemeral",
                                                  children[i].ephemeral));
        if (after == 0)
            break;
    }
    ctl_session_close(keel);
    if (code == CTL_DONE && ctl->json) {
        json_t *object = json_pack("{s:s,s:O}", "path", path, "children", rows);
        code = ctl_print_json(object);
        json_decref(object);
    } else if (code == CTL_DONE) {
        ctl_print_table(rows, columns);
    }
    json_decref(rows);
    return code;
}

/* A session, the operation that `begin` sends to a node, and what became of it. */
struct operation {
    struct ctl *ctl;
    struct keel *keel;
    uint64_t node; /* instance */
    struct keel_result result;
};

static int finish(struct operation *o, int error, uint64_t number)
{
    if (error == KEEL_OK)
        error = keel_wait(o->keel, number, timeout_ns(o->ctl), &o->result);
    return error == KEEL_OK ? CTL_DONE : ctl_session_fail(o->ctl, o->keel, error, &o->result);
}

/* A session, and in it a handle of the node that the first word names. */
static int begin(struct operation *o, struct ctl *ctl, uint32_t flags, const char *content)
{
    uint64_t number;
    *o = (struct operation){.ctl = ctl};
    int code = ctl_session_open(ctl, false, 0, &o->keel);
    if (code != CTL_DONE)
        return code;
    int error = keel_node_open(o->keel, ctl->word[0], flags, 0, content, strlen(content), &number);
    code = finish(o, error, number);
    o->node = o->result.feed;
    return code;
}

static int end(struct operation *o, int code, const char *key)
{
    if (code == CTL_DONE) {
        json_t *object = json_pack("{s:s,s:I,s:I}", "path", o->ctl->word[0], "instance",
                                   (json_int_t)o->node, key, (json_int_t)o->result.feed);
        if (o->ctl->json)
            code = ctl_print_json(object);
        else
            printf("%s: done: %s %" PRIu64 "\n", o->ctl->command->name, key, o->result.feed);
        json_decref(object);
    }
    ctl_session_close(o->keel);
    return code;
}

/* The text of an option, or all that stands on standard input. */
static int content_of(struct ctl *ctl, int option, uint8_t content[KEEL_NODE_CONTENT_MAX + 1],
                      size_t *size)
{
    const char *text = ctl->value[option];
    if (text == NULL) {
        *size = fread(content, 1, KEEL_NODE_CONTENT_MAX + 1, stdin);
    } else {
        *size = strlen(text);
        memcpy(content, text,
               *size < KEEL_NODE_CONTENT_MAX + 1 ? *size : KEEL_NODE_CONTENT_MAX + 1);
    }
    if (*size > KEEL_NODE_CONTENT_MAX)
        return ctl_fail(CTL_USAGE, "%s: a node holds at most %d bytes", ctl->command->name,
                        KEEL_NODE_CONTENT_MAX);
    return CTL_DONE;
}

static int generation_of(struct ctl *ctl, int option, uint64_t *generation)
{
    const char *text = ctl->value[option];
    *generation = 0;
    if (text != NULL && !address_number(text, 1, INT64_MAX, generation))
        return ctl_fail(CTL_USAGE, "%s: --if %s: give a generation, as `keelctl node get` shows it",
                        ctl->command->name, text);
    return CTL_DONE;
}

/* A session's own number keeps its operations from being done twice. */
static bool no_session_option(const struct ctl *ctl)
{
    if (ctl_value(ctl, "request-id") == NULL && !ctl_dry_run(ctl))
        return false;
    ctl_fail(CTL_USAGE,
             "%s: --request-id and --dry-run are for operators, by the admin socket: leave "
             "--members, --key and --config out",
             ctl->command->name);
    return true;
}

int ctl_node_create(struct ctl *ctl)
{
    struct operation o;
    const char *text = ctl->value[CTL_CLIENT_OWN] != NULL ? ctl->value[CTL_CLIENT_OWN] : "";
    if (strlen(text) > KEEL_NODE_CONTENT_MAX)
        return ctl_fail(CTL_USAGE, "node create: a node holds at most %d bytes",
                        KEEL_NODE_CONTENT_MAX);
    if (ctl_node_by_socket(ctl)) {
        json_t *extra = json_object();
        ctl_node_put_content(extra, (const uint8_t *)text, strlen(text));
        return ctl_node_change(ctl, extra, 0, "made");
    }
    if (no_session_option(ctl))
        return CTL_USAGE;
    int code = begin(&o, ctl, KEEL_CREATE | KEEL_EXCLUSIVE_CREATE, text);
    return end(&o, code, "instance");
}

int ctl_node_set(struct ctl *ctl)
{
    struct operation o;
    uint8_t content[KEEL_NODE_CONTENT_MAX + 1];
    size_t size = 0;
    uint64_t generation, number;
    int code = content_of(ctl, CTL_CLIENT_OWN, content, &size);
    if (code == CTL_DONE)
        code = generation_of(ctl, CTL_CLIENT_OWN + 1, &generation);
    if (code == CTL_DONE && ctl_node_by_socket(ctl)) {
        json_t *extra = json_object();
        ctl_node_put_content(extra, content, size);
        return ctl_node_change(ctl, extra, generation, "written");
    }
    if (code != CTL_DONE || no_session_option(ctl))
        return CTL_USAGE;
    code = begin(&o, ctl, 0, "");
    if (code == CTL_DONE) {
        int error = keel_node_set(o.keel, o.node, content, size, generation, &number);
        code = finish(&o, error, number);
    }
    return end(&o, code, "content_generation");
}

int ctl_node_delete(struct ctl *ctl)
{
    struct operation o;
    uint64_t generation, number;
    int code = generation_of(ctl, CTL_CLIENT_OWN, &generation);
    if (code == CTL_DONE && ctl_node_by_socket(ctl))
        return ctl_node_change(ctl, json_object(), generation, "deleted");
    if (code != CTL_DONE || no_session_option(ctl))
        return CTL_USAGE;
    code = begin(&o, ctl, 0, "");
    if (code == CTL_DONE) {
        int error = keel_node_delete(o.keel, o.node, generation, &number);
        code = finish(&o, error, number);
    }
    return end(&o, code, "index");
}

/* "100:rwc", "everybody:r" */
static bool right_of(const char *word, struct keel_right_of *right)
{
    const char *colon = strchr(word, ':');
    char who[16] = {0};
    uint64_t principal = 0;
    if (colon == NULL || (size_t)(colon - word) >= sizeof(who) || colon[1] == 0)
        return false;
    memcpy(who, word, (size_t)(colon - word));
    if (strcmp(who, "everybody") != 0 && !address_number(who, 16, UINT32_MAX, &principal))
        return false;
    *right = (struct keel_right_of){.principal = (uint32_t)principal};
    for (const char *c = colon + 1; *c != 0; c++) {
        uint32_t bit = *c == 'r'   ? KEEL_READ
                       : *c == 'w' ? KEEL_WRITE
                       : *c == 'c' ? KEEL_CHANGE_ACL
                                   : 0;
        if (bit == 0)
            return false;
        right->rights |= bit;
    }
    return true;
}

int ctl_node_acl(struct ctl *ctl)
{
    struct operation o;
    struct keel_right_of rights[KEEL_NODE_ACL_MAX];
    uint64_t generation, number;
    size_t count = (size_t)ctl->word_count - 1;
    for (size_t i = 0; i < count; i++)
        if (!right_of(ctl->word[i + 1], &rights[i]))
            return ctl_fail(CTL_USAGE,
                            "node acl: '%s': write PRINCIPAL:RIGHTS, like 100:rwc or everybody:r "
                            "(read, write, change the list)",
                            ctl->word[i + 1]);
    int code = generation_of(ctl, CTL_CLIENT_OWN, &generation);
    if (code == CTL_DONE && ctl_node_by_socket(ctl)) {
        json_t *extra = json_object();
        ctl_node_put_rights(extra, rights, count);
        return ctl_node_change(ctl, extra, generation, "list set");
    }
    if (code != CTL_DONE || no_session_option(ctl))
        return CTL_USAGE;
    code = begin(&o, ctl, 0, "");
    if (code == CTL_DONE) {
        int error = keel_node_acl(o.keel, o.node, rights, count, generation, &number);
        code = finish(&o, error, number);
    }
    return end(&o, code, "acl_generation");
}
