waft_fault(files
  TAKES 240
  ABOUT "files moved, truncated, linked from outside: no path outside the store followed"
  COMMAND python3 ${CMAKE_CURRENT_SOURCE_DIR}/files.py
  TIMEOUT 1800)
