waft_fault(collector-gone
  TAKES 700
  ABOUT "collector absent at the start, restarted every 2 s, stopped for a minute"
  TIMEOUT 3000
  COMMAND python3 ${CMAKE_CURRENT_SOURCE_DIR}/collector_gone.py)
