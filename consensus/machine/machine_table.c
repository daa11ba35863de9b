#include "consensus/machine/machine_table.h"

uint32_t machine_table_cells(uint32_t slots)
{
    uint32_t size = 8;
    while (size < 2 * slots)
        size *= 2;
    return size;
}

void machine_table_insert(const struct machine *machine, uint32_t *cell, uint32_t mask,
                          uint32_t slot, machine_home *home)
{
    uint32_t at = home(machine, slot) & mask;
    /* unreachable: a table without a free cell */
    for (uint32_t probe = 0; probe <= mask && cell[at] != 0; probe++)
        at = (at + 1) & mask;
    ENSURE(cell[at] == 0);
    cell[at] = slot + 1;
}

/* Closes the hole by moving back what may stand there, so that what is found never depends on what
 * was once removed. */
void machine_table_remove(const struct machine *machine, uint32_t *cell, uint32_t mask,
                          uint32_t slot, machine_home *home)
{
    uint32_t hole = home(machine, slot) & mask;
    /* unreachable: a slot that is not in the table */
    for (uint32_t probe = 0; probe <= mask && cell[hole] != slot + 1; probe++)
        hole = (hole + 1) & mask;
    ENSURE(cell[hole] == slot + 1);
    uint32_t at = (hole + 1) & mask;
    /* unreachable: a table without a free cell */
    for (uint32_t probe = 0; probe <= mask && cell[at] != 0; probe++) {
        uint32_t from = home(machine, cell[at] - 1) & mask;
        if (((at - from) & mask) >= ((at - hole) & mask)) {
            cell[hole] = cell[at];
            hole = at;
        }
        at = (at + 1) & mask;
    }
    cell[hole] = 0;
}
