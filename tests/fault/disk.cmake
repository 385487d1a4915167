waft_fault(disk-full
  TAKES 30
  ABOUT "the disk full, then freed: no false acknowledgement, queries go on, heals within 1 s"
  COMMAND python3 ${CMAKE_CURRENT_SOURCE_DIR}/disk_full.py
  DEPENDS fault_clock_shim)
waft_fault(inject
  TAKES 540
  ABOUT "EIO, ENOSPC, EINTR, EMFILE, short writes at each call that changes a file"
  COMMAND python3 ${CMAKE_CURRENT_SOURCE_DIR}/inject.py
  DEPENDS ${inject} fault_clock_shim
  TIMEOUT 3600
  LONG_ONLY)
