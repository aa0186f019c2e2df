/* chance.h - small random numbers, quick and not secret. */
#ifndef WEFT_FLOW_CHANCE_H
#define WEFT_FLOW_CHANCE_H

#include <stdint.h>

/* One of 0 ... below - 1, each as likely as the others. */
uint32_t weft__by_chance(uint32_t below);

#endif
