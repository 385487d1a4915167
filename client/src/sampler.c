/* See sampler.h. */
#include "sampler.h"

#include <errno.h>
#include <string.h>

/* "0.25" without regard to the locale; also "1", "1.0", ".5", "1e-3". */
static int ratio_parse(const char *text, double *ret_ratio)
{
	double value = 0;
	double scale = 1;
	int exponent = 0;
	int sign = 1;
	bool digits = false;

	for (; *text >= '0' && *text <= '9'; text++, digits = true)
		value = value * 10 + (*text - '0');
	if (*text == '.')
		for (text++; *text >= '0' && *text <= '9'; text++, digits = true)
			value += (*text - '0') * (scale /= 10);
	if (digits && (*text == 'e' || *text == 'E')) {
		text++;
		sign = *text == '-' ? -1 : 1;
		text += *text == '-' || *text == '+';
		if (*text == '\0')
			return -EINVAL;
		for (; *text >= '0' && *text <= '9'; text++)
			if (exponent < 400)
				exponent = exponent * 10 + (*text - '0');
	}
	for (; exponent > 0; exponent--)
		value = sign > 0 ? value * 10 : value / 10;
	if (!digits || *text != '\0' || !(value >= 0 && value <= 1))
		return -EINVAL;
	*ret_ratio = value;
	return 0;
}

int sampler_parse(const char *name, const char *arg, struct sampler *ret_sampler)
{
	static const char parent[] = "parentbased_";
	const uint64_t none = UINT64_C(1) << 56;
	double ratio = 1;

	*ret_sampler = (struct sampler){.parent_based = true};
	if (name == NULL || *name == '\0')
		return 0;
	if (strncmp(name, parent, sizeof(parent) - 1) == 0)
		name += sizeof(parent) - 1;
	else
		ret_sampler->parent_based = false;
	if (strcmp(name, "always_on") == 0)
		return 0;
	if (strcmp(name, "always_off") == 0) {
		ret_sampler->threshold = none;
		return 0;
	}
	if (strcmp(name, "traceidratio") == 0 &&
		(arg == NULL || *arg == '\0' || ratio_parse(arg, &ratio) == 0)) {
		ret_sampler->threshold = (uint64_t)((1 - ratio) * (double)none + 0.5);
		return 0;
	}
	*ret_sampler = (struct sampler){.parent_based = true};
	return -EINVAL;
}
