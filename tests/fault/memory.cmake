# The daemon with a malloc that fails when it is told to.
add_executable(fault_collectord ${CMAKE_SOURCE_DIR}/collector/main.c fail_malloc.c)
target_link_libraries(fault_collectord PRIVATE waft_collector)
foreach(function malloc calloc realloc aligned_alloc posix_memalign strdup strndup)
  target_link_options(fault_collectord PRIVATE -Wl,--wrap=${function})
endforeach()
_waft_test_program(fault_collectord)
waft_fault(memory
  TAKES 120
  ABOUT "the daemon's malloc fails at each n-th call, while it starts and while it works"
  DEPENDS fault_collectord
  COMMAND python3 ${CMAKE_CURRENT_SOURCE_DIR}/memory.py)
