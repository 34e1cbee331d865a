/* Memory given back. */
#pragma once

/* Drop the clean pages of mapped files (program and libraries) that only the dynamic linker and
 * start-up touched: they come back from the page cache when used. Heap and relocated pages stay.
 * Call once, when start-up is over. */
void memory_trim(void);
