/* handlers.h -- the handlers that routes.def names, by file. arg is the struct core. */
#ifndef CORE_HANDLERS_H
#define CORE_HANDLERS_H

#include "http/http.h"

/* auth_api.c */
extern http_handler auth_state, auth_setup, auth_login, auth_refresh, auth_logout, auth_me;
/* users_api.c */
extern http_handler users_list, user_create, user_patch, user_remove, own_password;
/* devices_api.c */
extern http_handler devices_list, devices_create, device_show, device_replace, device_patch, device_remove,
    device_status_show;
/* test_api.c */
extern http_handler device_test_settings, device_test_stored;
/* gateway_api.c */
extern http_handler device_plan, device_recorder, device_recorder_pcapng, recordings_list, recording_show,
    device_browse;
/* drivers_api.c */
extern http_handler drivers_list;
/* tags_api.c */
extern http_handler tags_list, device_tags_list, tag_create, tag_show, tag_replace, tag_patch, tag_remove;
/* tags_batch.c */
extern http_handler tags_batch;
/* write_api.c */
extern http_handler tag_write;
/* history_api.c */
extern http_handler history_get, history_post;
/* uns_api.c */
extern http_handler uns_values;
/* ingest_api.c */
extern http_handler system_ingest, system_dead_letters;
/* system_api.c */
extern http_handler system_status, system_gateways, system_ledger, system_routes, system_openapi, system_docs;

#endif
