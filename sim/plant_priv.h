/* plant_priv.h -- between plant.c (physics) and plant_points.c (registers). */
#ifndef SIM_PLANT_PRIV_H
#define SIM_PLANT_PRIV_H

struct plant;

void plant_map_init(struct plant *p);
/* Writes every member of the plant to its cells. */
void plant_map_renew(struct plant *p);

#endif
