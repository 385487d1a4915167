/*
 * main.c: waftctl, also as waft.
 */
#include "program.h"

int main(int argc, char **argv)
{
	return program_run(argc, argv);
}
