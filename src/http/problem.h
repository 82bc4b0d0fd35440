/* problem.h -- problem+json bodies (RFC 9457). Pure. */
#ifndef HTTP_PROBLEM_H
#define HTTP_PROBLEM_H

#include "http/http.h"

/* "Not Found"; "Error" for numbers that we do not send. */
const char *problem_status_text(int status);
int problem_status_of(enum nx_err err);
/* Prints the document. Does not take problem->errors. */
void problem_print(const struct http_problem *problem, const char *instance, const char *request_id, struct wbuf *out);

#endif
