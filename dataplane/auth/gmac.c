#include "dataplane/auth/gmac.h"

bool gmac_init(struct gmac *gmac)
{
    const uint64_t needed = IMB_FEATURE_AESNI | IMB_FEATURE_PCLMULQDQ;
    IMB_MGR *manager = alloc_mb_mgr(0);
    IMB_ARCH arch = IMB_ARCH_NONE;

    if (manager == NULL)
        return false;
    init_mb_mgr_auto(manager, &arch);
    bool sound = imb_get_errno(manager) == 0 && arch != IMB_ARCH_NONE && arch != IMB_ARCH_NOAESNI &&
                 (manager->features & needed) == needed &&
                 ((manager->features & IMB_FEATURE_SELF_TEST) == 0 ||
                  (manager->features & IMB_FEATURE_SELF_TEST_PASS) != 0);
    /* The direct functions are plain code without state: they outlive the manager. */
    gmac->run = manager->gcm128_enc;
    gmac->expand = manager->gcm128_pre;
    free_mb_mgr(manager);
    return sound && gmac->run != NULL && gmac->expand != NULL;
}

void gmac_expand(const struct gmac *gmac, const uint8_t key[GMAC_KEY_SIZE], struct gmac_key *out)
{
    gmac->expand(key, &out->data);
}
