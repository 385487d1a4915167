/* Rendezvous hashing of partitions. See forward_route.h. */
#include "forward_route.h"

#include "ids.h"

#include <string.h>

/* FNV-1a (Fowler, Noll, Vo), 64 bits. */
static uint64_t hash_text(const char *text)
{
	uint64_t hash = 0xcbf29ce484222325u;

	for (; *text != '\0'; text++)
		hash = (hash ^ (uint8_t)*text) * 0x100000001b3u;
	return hash;
}

/* The best of those that are up, else of all. */
static uint8_t best(const struct route *route, unsigned int partition)
{
	uint64_t highest = 0;
	size_t found = route->gateway_count;

	for (size_t i = 0; i < route->gateway_count; i++) {
		uint64_t weight = id_mix(route->names[i] ^ id_mix(partition + 1));

		if (route->up[i] && (found == route->gateway_count || weight > highest)) {
			highest = weight;
			found = i;
		}
	}
	return (uint8_t)(found < route->gateway_count ? found : route->owners[partition]);
}

void route_init(struct route *route, const char *const *endpoints, size_t count)
{
	memset(route, 0, sizeof(*route));
	route->gateway_count = count;
	for (size_t i = 0; i < count; i++) {
		route->names[i] = hash_text(endpoints[i]);
		route->up[i] = true;
	}
	for (unsigned int i = 0; i < WIRE_PARTITIONS; i++)
		route->owners[i] = best(route, i);
}

size_t route_take(struct route *route, unsigned int partition)
{
	if (route->unanswered[partition] == 0)
		route->owners[partition] = best(route, partition);
	route->unanswered[partition]++;
	return route->owners[partition];
}

void route_answered(struct route *route, unsigned int partition)
{
	route->unanswered[partition]--;
}

bool route_set(struct route *route, size_t gateway, bool up)
{
	bool any = false;

	route->up[gateway] = up;
	for (size_t i = 0; i < route->gateway_count; i++)
		any |= route->up[i];
	for (unsigned int i = 0; any && i < WIRE_PARTITIONS; i++)
		if (!route->up[route->owners[i]])
			route->owners[i] = best(route, i);
	return any;
}
