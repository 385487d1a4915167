waft_fault(signals
  TAKES 240
  ABOUT "SIGTERM under load, SIGHUP with good and bad files: drains within 5 s"
  TIMEOUT 1200
  COMMAND python3 ${CMAKE_CURRENT_SOURCE_DIR}/signals.py)
