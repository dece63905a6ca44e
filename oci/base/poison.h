/*
 * oci/base/poison.h - functions that have no safe use here. Included last, after every other header.
 */
#ifndef OCI_BASE_POISON_H
#define OCI_BASE_POISON_H

#pragma GCC poison strcpy strcat sprintf vsprintf gets strtok atoi atol atoll atof system popen
#pragma GCC poison mktemp tempnam tmpnam

#endif
