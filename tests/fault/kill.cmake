# inject changes registers by their names on this architecture.
set(inject "")
if(CMAKE_SYSTEM_PROCESSOR STREQUAL "x86_64")
  waft_fault_program(inject)
  set(inject fault_inject)
endif()

waft_fault(kill
  TAKES 120
  ABOUT "the collector killed at every system call that changes a file"
  COMMAND python3 ${CMAKE_CURRENT_SOURCE_DIR}/kill.py
  DEPENDS ${inject} fault_clock_shim
  TIMEOUT 1800
  LONG_ONLY)
waft_fault(kill-load
  TAKES 330
  TIMEOUT 1800
  ABOUT "the collector killed every 2 s under load for 5 minutes"
  DEPENDS fault_clock_shim
  COMMAND python3 ${CMAKE_CURRENT_SOURCE_DIR}/kill_load.py)
waft_fault(recovery
  TAKES 60
  ABOUT "how long a start takes over a log full of spans that are in no file"
  COMMAND python3 ${CMAKE_CURRENT_SOURCE_DIR}/recovery.py)
waft_fault(kill-forward
  TAKES 60
  ABOUT "an agent killed at every such call while it forwards"
  COMMAND python3 ${CMAKE_CURRENT_SOURCE_DIR}/agent.py forward
  DEPENDS ${inject}
  TIMEOUT 1800
  LONG_ONLY)
waft_fault(kill-shed
  TAKES 240
  ABOUT "an agent killed at every such call while it gives up what gateways never got"
  COMMAND python3 ${CMAKE_CURRENT_SOURCE_DIR}/agent.py shed
  DEPENDS ${inject}
  TIMEOUT 1800
  LONG_ONLY)
