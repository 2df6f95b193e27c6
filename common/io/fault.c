#include "io/fault.h"

#include <stdarg.h>
#include <stdio.h>

int vs_fault(struct vs_fault *fault, int error, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(fault->text, sizeof(fault->text), fmt, ap);
	va_end(ap);
	return error;
}
