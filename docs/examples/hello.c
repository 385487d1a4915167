#include <stdio.h>
#include <waft/waft.h>

WAFT_TRACED(int, price, (int items), (items)) /* each call is a span, with its result */
{
	return items * 5;
}

int main(void)
{
	WAFT_SPAN(span, "shop.order"); /* ends on every way out of the block */
	waft_attr_int(&span, "items", 3);
	printf("%d\n", price(3));
	return 0;
}
