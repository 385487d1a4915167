# Without the sanitizers' libraries, which would have to come before it.
add_library(fault_clock_shim MODULE clock_shim.c)
set_target_properties(fault_clock_shim PROPERTIES PREFIX "" COMPILE_OPTIONS "-fno-sanitize=all"
  LINK_OPTIONS "-fno-sanitize=all")
waft_fault(clock
  TAKES 60
  ABOUT "the clock set back 2 days, forward, around midnight: each line in the file of its rule"
  COMMAND python3 ${CMAKE_CURRENT_SOURCE_DIR}/clock.py
  DEPENDS fault_clock_shim)
