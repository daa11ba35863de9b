/* `keelctl node ...` as the operator, by the admin socket: no client's key is needed, and every
 * right is there. What is shown is in the words of ctl_node.c.
 */
#include "control/ctl_node.h"

#include "control/ctl_change.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

bool ctl_node_by_socket(const struct ctl *ctl)
{
    static const int own[] = {CTL_CLIENT_CONFIG, CTL_CLIENT_MEMBERS, CTL_CLIENT_KEY,
                              CTL_CLIENT_PRINCIPAL};
    for (size_t i = 0; i < sizeof(own) / sizeof(own[0]); i++)
        if (ctl->value[own[i]] != NULL)
            return false;
    bool socket_named = strcmp(ctl->socket, CTL_SOCKET) != 0;
    return socket_named || (getenv("KEEL_CLIENT") == NULL && access(CTL_CLIENT_FILE, R_OK) != 0);
}

static uint64_t number(const json_t *row, const char *key)
{
    return (uint64_t)json_integer_value(json_object_get(row, key));
}

static uint32_t mode_of(const json_t *row)
{
    const char *lock = json_string_value(json_object_get(row, "lock"));
    return lock == NULL                     ? 0
           : strcmp(lock, "exclusive") == 0 ? KEEL_EXCLUSIVE
           : strcmp(lock, "shared") == 0    ? KEEL_SHARED
                                            : 0;
}

static void take_content(const json_t *row, struct keel_node *node)
{
    const char *hex = json_string_value(json_object_get(row, "content"));
    for (size_t i = 0; hex != NULL && hex[2 * i] != '\0' && i < KEEL_NODE_CONTENT_MAX; i++) {
        unsigned byte = 0;
        sscanf(hex + 2 * i, "%2x", &byte);
        node->content[i] = (uint8_t)byte;
        node->size = i + 1;
    }
}

int ctl_node_look(const struct ctl *ctl, struct keel_node *node)
{
    json_t *row = NULL, *asked = json_pack("{s:s}", "path", ctl->word[0]);
    if (ctl_value(ctl, "read") != NULL)
        json_object_set_new(asked, "read", json_true());
    int code = ctl_ask(ctl, "node get", asked, &row);
    if (code != CTL_DONE)
        return code;
    memset(node, 0, sizeof(*node));
    snprintf(node->path, sizeof(node->path), "%s", json_string_value(json_object_get(row, "path")));
    node->node = number(row, "instance");
    node->content_generation = number(row, "content_generation");
    node->acl_generation = number(row, "acl_generation");
    node->lock_generation = number(row, "lock_generation");
    node->holder = number(row, "holder_session");
    node->lock_delay_ms = number(row, "lock_delay_ms");
    node->children = (uint32_t)number(row, "children");
    node->handles = (uint32_t)number(row, "handles");
    node->holders = (uint32_t)number(row, "holders");
    node->waiters = (uint32_t)number(row, "waiters");
    node->lock_mode = mode_of(row);
    node->ephemeral = json_is_true(json_object_get(row, "ephemeral"));
    take_content(row, node);
    const json_t *acl = json_object_get(row, "acl");
    for (size_t i = 0; i < json_array_size(acl) && i < KEEL_NODE_ACL_MAX; i++) {
        const json_t *right = json_array_get(acl, i);
        node->rights[i].principal = (uint32_t)number(right, "principal");
        node->rights[i].rights = (uint32_t)number(right, "rights");
        node->rights_count = i + 1;
    }
    json_decref(row);
    return CTL_DONE;
}

int ctl_node_children(const struct ctl *ctl, const char *path, uint64_t *after, json_t *rows)
{
    json_t *result = NULL;
    json_t *asked = json_pack("{s:s,s:I}", "path", path, "after", (json_int_t)*after);
    if (ctl_value(ctl, "read") != NULL)
        json_object_set_new(asked, "read", json_true());
    int code = ctl_ask(ctl, "node list", asked, &result);
    if (code != CTL_DONE)
        return code;
    json_array_extend(rows, json_object_get(result, "children"));
    *after = number(result, "next");
    json_decref(result);
    return CTL_DONE;
}

void ctl_node_put_content(json_t *extra, const uint8_t *content, size_t size)
{
    char text[2 * KEEL_NODE_CONTENT_MAX + 1] = "";
    for (size_t i = 0; i < size; i++)
        snprintf(text + 2 * i, 3, "%02x", content[i]);
    json_object_set_new(extra, "content", json_string(text));
}

void ctl_node_put_rights(json_t *extra, const struct keel_right_of *rights, size_t count)
{
    json_t *list = json_array();
    for (size_t i = 0; i < count; i++) {
        char letters[4];
        ctl_node_rights_text(rights[i].rights, letters);
        json_array_append_new(list, json_pack("{s:I,s:s}", "principal",
                                              (json_int_t)rights[i].principal, "rights", letters));
    }
    json_object_set_new(extra, "acl", list);
}

int ctl_node_change(struct ctl *ctl, json_t *extra, uint64_t generation, const char *what)
{
    json_t *result = NULL;
    json_object_set_new(extra, "path", json_string(ctl->word[0]));
    if (generation != 0)
        json_object_set_new(extra, "if", json_integer((json_int_t)generation));
    int code = ctl_change(ctl, ctl->command->name, extra, &result);
    return code == CTL_DONE ? ctl_change_show(ctl, result, what) : code;
}
