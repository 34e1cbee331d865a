/* The names that the running processes go by, read once for many facts. */
#pragma once

struct process_list;

void process_list_free(struct process_list *l); /* takes NULL */
