#include "client/address.h"

#include "tests/unit/unit.h"

#include <stdio.h>
#include <string.h>

enum { MAX = 7 };

static int read_list(const char *text, enum address_form form, struct address out[MAX],
                     char problem[128])
{
    problem[0] = 0;
    return address_list(text, form, out, MAX, problem, 128);
}

static void reads_lists(void)
{
    struct address out[MAX];
    char problem[128], text[24];
    CU_ASSERT(read_list("1=10.0.0.1:7000, 3=10.0.0.3:65535", ADDRESS_MEMBER, out, problem) == 2);
    CU_ASSERT(out[0].id == 1 && out[0].ip == 0x0a000001 && out[0].port == 7000);
    CU_ASSERT(out[1].id == 3 && out[1].ip == 0x0a000003 && out[1].port == 65535);
    CU_ASSERT(read_list("", ADDRESS_MEMBER, out, problem) == 0);
    CU_ASSERT(read_list(" ,\t1=10.0.0.1:7000,, ", ADDRESS_MEMBER, out, problem) == 1);
    CU_ASSERT(read_list("1=10.0.0.1:7000 2=10.0.0.1:7001", ADDRESS_MEMBER, out, problem) == 2);
    CU_ASSERT(read_list("0.0.0.0:0", ADDRESS_PLAIN, out, problem) == 1);
    CU_ASSERT(read_list("239.1.2.3:9@10.0.0.5,10.0.0.9:31001", ADDRESS_LINE, out, problem) == 2);
    CU_ASSERT(out[0].interface_ip == 0x0a000005 && address_is_multicast(out[0].ip));
    CU_ASSERT(out[1].interface_ip == 0 && !address_is_multicast(out[1].ip));
    address_print(out[0].ip, out[0].port, text);
    CU_ASSERT(strcmp(text, "239.1.2.3:9") == 0);
}

static void names_what_is_wrong(void)
{
    static const struct {
        const char *text;
        enum address_form form;
        const char *word;
    } wrong[] = {
        {"10.0.0.1:7000", ADDRESS_MEMBER, "ID="},
        {"8=10.0.0.1:7000", ADDRESS_MEMBER, "1 to 7"},
        {"0=10.0.0.1:7000", ADDRESS_MEMBER, "1 to 7"},
        {"one=10.0.0.1:7000", ADDRESS_MEMBER, "1 to 7"},
        {"=10.0.0.1:7000", ADDRESS_MEMBER, "1 to 7"},
        {"1=10.0.0.1:7000,1=10.0.0.2:7000", ADDRESS_MEMBER, "twice"},
        {"1=10.0.0.1:7000,2=10.0.0.1:7000", ADDRESS_MEMBER, "twice"},
        {"1=10.0.0.1", ADDRESS_MEMBER, "IP:PORT"},
        {"1=10.0.0.1:0", ADDRESS_MEMBER, "port"},
        {"1=10.0.0.1:65536", ADDRESS_MEMBER, "port"},
        {"1=10.0.0.1:-1", ADDRESS_MEMBER, "port"},
        {"1=10.0.0.1:7000x", ADDRESS_MEMBER, "port"},
        {"1=10.0.0.256:7000", ADDRESS_MEMBER, "IPv4"},
        {"1=localhost:7000", ADDRESS_MEMBER, "IPv4"},
        {"1=10.0.0.1:7000@10.0.0.2", ADDRESS_MEMBER, "'@'"},
        {"10.0.0.1:7000@10.0.0.2", ADDRESS_LINE, "multicast"},
        {"239.1.1.1:7000@eth0", ADDRESS_LINE, "interface"},
        {"1.1.1.1:1,1.1.1.1:2,1.1.1.1:3,1.1.1.1:4,1.1.1.1:5,1.1.1.1:6,1.1.1.1:7,1.1.1.1:8",
         ADDRESS_LINE, "more"},
        {"1111111111111111111111111111111111111111111111111111111111111111111111111111111:1",
         ADDRESS_LINE, "too long"},
    };
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        struct address out[MAX];
        char problem[128];
        CU_ASSERT(read_list(wrong[i].text, wrong[i].form, out, problem) == -1);
        if (strstr(problem, wrong[i].word) == NULL) {
            printf("# %s: %s\n", wrong[i].text, problem);
            CU_FAIL("the problem is not named");
        }
    }
}

int main(void)
{
    static const struct unit_test tests[] = {
        {"reads lists of addresses", reads_lists},
        {"names what is wrong with one", names_what_is_wrong},
        {0},
    };
    return unit_main("address", tests);
}
