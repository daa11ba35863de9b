#include "nic-config/stage.h"

const struct host_stage *const stages[] = {&stage_hugepages};
const uint32_t stage_count = sizeof(stages) / sizeof(stages[0]);
