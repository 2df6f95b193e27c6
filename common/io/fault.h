/* An error that a person will read: an errno for the program and one line of text that names the object and, where it
 * is known, the remedy ("bridge 'br0' does not exist"). Of fixed size, so that it travels between processes. */
#ifndef VS_IO_FAULT_H
#define VS_IO_FAULT_H

#include "base/compiler.h"

struct vs_fault {
	char text[320];
};

/* Sets the text, without a newline at its end. Returns `error`, a negative errno: a function can end with it. */
int vs_fault(struct vs_fault *fault, int error, const char *fmt, ...) VS_PRINTF(3, 4);

#endif
