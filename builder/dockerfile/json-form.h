/*
 * builder/dockerfile/json-form.h - the JSON ("exec") form of an instruction's arguments.
 */
#ifndef BUILDER_DOCKERFILE_JSON_FORM_H
#define BUILDER_DOCKERFILE_JSON_FORM_H

#include "oci/base/err.h"
#include "oci/base/str.h"

/*
 * 1: the whole text is a JSON array of strings, now in *ret_args. 0: it is no JSON array, and means something
 * else. -1 with IB_USAGE: an array that holds anything but strings, or a string with a NUL character.
 */
int dockerfile_json_form(const char *text, struct ib_strv *ret_args, struct ib_err *err);

#endif
